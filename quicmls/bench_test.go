package quicmls

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
)

// These are about what this package adds to a stream or a datagram: beneath is a QUIC stream that
// takes and gives octets at no cost. bench/cmd/quicbench has the rest.

var benchmarkSizes = []int{1, 1 << 10, 16 << 10, 64 << 10}

func BenchmarkWrite(b *testing.B) {
	client, _ := newConnPair(b)
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var s SendStream
			s.init(client, &freeSender{id: 1000})
			defer client.sending.remove(&s)
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	client, server := newConnPair(b)
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			from, to := &freeSender{id: 1000, keep: true}, new(freeReceiver)
			var out SendStream
			out.init(client, from)
			defer client.sending.remove(&out)
			var in ReceiveStream
			in.init(server, to)
			defer server.receiving.remove(&in)
			const ahead = 1 << 20 // octets
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if len(to.data) == 0 {
					b.StopTimer()
					from.data = from.data[:0]
					for len(from.data) < ahead {
						if _, err := out.Write(p); err != nil {
							b.Fatal(err)
						}
					}
					to.data, to.most = from.data, len(from.data)/(max(1, ahead/size))
					to.most = record.StreamOverhead*((size+record.MaxPlaintext-1)/record.MaxPlaintext) + size
					b.StartTimer()
				}
				if _, err := io.ReadFull(&in, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStream is the part of this package in a stream that is opened, written once, and
// closed, at both ends.
func BenchmarkStream(b *testing.B) {
	client, server := newConnPair(b)
	p := make([]byte, 1<<10)
	id := quic.StreamID(1000)
	b.ReportAllocs()
	for b.Loop() {
		id += 4
		from, to := &freeSender{id: id, keep: true}, &freeReceiver{id: id}
		var out SendStream
		out.init(client, from)
		if _, err := out.Write(p); err != nil {
			b.Fatal(err)
		}
		if err := out.Close(); err != nil {
			b.Fatal(err)
		}
		var in ReceiveStream
		in.init(server, to)
		to.data, to.most = from.data, len(from.data)
		if _, err := io.ReadFull(&in, p); err != nil {
			b.Fatal(err)
		}
		if n, err := in.Read(p); err != io.EOF {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkDatagram(b *testing.B) {
	client, server := newConnPair(b)
	p, buf := make([]byte, 1100), make([]byte, 0, maxDatagram)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		sealed, _, err := client.sending.sealDatagram(buf, p)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := server.openDatagram(b.Context(), sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSetUp is a whole connection over loopback, with QUIC.
func BenchmarkSetUp(b *testing.B) {
	initiator, responder := newConfigs(b)
	l, err := Listen("127.0.0.1:0", responder)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.ReportAllocs()
	for b.Loop() {
		accepted := make(chan error, 1)
		var server *Conn
		go func() {
			var err error
			if server, err = l.Accept(b.Context()); err == nil {
				err = server.HandshakeContext(b.Context())
			}
			accepted <- err
		}()
		client, err := Dial(b.Context(), l.Addr().String(), initiator)
		if err != nil {
			b.Fatal(err)
		}
		if err := <-accepted; err != nil {
			b.Fatal(err)
		}
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	}
}

// freeSender takes all that is written to it, and keeps it if that is wanted.
type freeSender struct {
	id   quic.StreamID
	keep bool
	data []byte
}

func (s *freeSender) StreamID() quic.StreamID            { return s.id }
func (s *freeSender) Context() context.Context           { return context.Background() }
func (s *freeSender) Close() error                       { return nil }
func (s *freeSender) CancelWrite(quic.StreamErrorCode)   {}
func (s *freeSender) SetWriteDeadline(t time.Time) error { return nil }
func (s *freeSender) SetPriority(int8, bool)             {}

func (s *freeSender) Write(p []byte) (int, error) { return len(p), s.TryWriteAll(p) }

func (s *freeSender) TryWriteAll(p []byte) error {
	if s.keep {
		s.data = append(s.data, p...)
	}
	return nil
}

// freeReceiver has octets that were sealed on the stream 1000, or that of id, and gives what is
// left of the last most of them at once, as if no more had come yet.
type freeReceiver struct {
	id   quic.StreamID
	data []byte
	most int
	left int
}

func (r *freeReceiver) StreamID() quic.StreamID {
	if r.id == 0 {
		return 1000
	}
	return r.id
}

func (r *freeReceiver) CancelRead(quic.StreamErrorCode)   {}
func (r *freeReceiver) SetReadDeadline(t time.Time) error { return nil }

func (r *freeReceiver) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	if r.left == 0 {
		r.left = r.most
	}
	n := copy(p[:min(len(p), r.left)], r.data)
	r.data = r.data[n:]
	r.left -= n
	return n, nil
}
