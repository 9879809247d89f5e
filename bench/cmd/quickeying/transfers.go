package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/quic-go/quic-go"
)

const (
	mebibyte = 1 << 20
	readSize = 64 << 10
)

// A pipe is one direction of a connection.
type pipe struct {
	write func([]byte) error
	read  func(buffer []byte) (n int, err error)
}

// transfers are ways for a mebibyte over a stream: as it is, over a connection that a
// group keys, and in records on a connection that it does not key.
func transfers(write int) ([]contestant, func() error, error) {
	keyed, err := x25519.keyed()
	if err != nil {
		return nil, nil, err
	}
	plain, err := x25519.throwAway()
	if err != nil {
		return nil, nil, errors.Join(err, keyed.close())
	}
	end := func() error { return errors.Join(keyed.close(), plain.close()) }
	bare, err := stream(plain)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	group, err := stream(keyed.road)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	beneath, err := stream(plain)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	nested, err := records(beneath)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return []contestant{
		{"QUIC as it is", bare.transfer(write)},
		{"keyed by the group", group.transfer(write)},
		{"records in a stream", nested.transfer(write)},
	}, end, nil
}

// stream returns a stream of a new connection.
func stream(r *road) (pipe, error) {
	client, server, err := r.connect()
	if err != nil {
		return pipe{}, err
	}
	out, err := client.OpenUniStream()
	if err != nil {
		return pipe{}, err
	}
	if _, err := out.Write([]byte{0}); err != nil { // so that the stream is there
		return pipe{}, err
	}
	in, err := server.AcceptUniStream(ctx)
	if err != nil {
		return pipe{}, err
	}
	if _, err := io.ReadFull(in, make([]byte, 1)); err != nil {
		return pipe{}, err
	}
	return overStream(out, in), nil
}

func overStream(out *quic.SendStream, in *quic.ReceiveStream) pipe {
	return pipe{
		write: func(b []byte) error {
			_, err := out.Write(b)
			return err
		},
		read: in.Read,
	}
}

// records returns a pipe that protects what goes through another in records with
// AES-128-GCM and up to 16 KiB each, of which those of a write go together.
func records(beneath pipe) (pipe, error) {
	suite, err := ciphersuite.Default().Lookup(x25519.suite)
	if err != nil {
		return pipe{}, err
	}
	seal, err := record.NewProtection(suite, make([]byte, suite.HashSize()))
	if err != nil {
		return pipe{}, err
	}
	open, err := record.NewProtection(suite, make([]byte, suite.HashSize()))
	if err != nil {
		return pipe{}, err
	}
	const batch = 16 // records, at most, in a write
	sealed := make([]byte, 0, batch*record.MaxRecord)
	arrived := make([]byte, readSize+record.MaxRecord)
	start, end := 0, 0 // of what has arrived and is not opened
	write := func(b []byte) error {
		for len(b) > 0 {
			sealed = sealed[:0]
			for range batch {
				n := min(len(b), record.MaxPlaintext)
				if n == 0 {
					break
				}
				if sealed, err = seal.Seal(sealed, record.ContentApplicationData, b[:n]); err != nil {
					return err
				}
				b = b[n:]
			}
			if err := beneath.write(sealed); err != nil {
				return err
			}
		}
		return nil
	}
	read := func(buffer []byte) (int, error) {
		for {
			size, err := firstRecord(arrived[start:end])
			if err != nil {
				return 0, err
			}
			if size != 0 {
				_, content, err := open.Open(buffer[:0], arrived[start:start+size])
				start += size
				return len(content), err
			}
			if len(arrived)-end < readSize {
				end = copy(arrived, arrived[start:end])
				start = 0
			}
			n, err := beneath.read(arrived[end:])
			if err != nil {
				return 0, err
			}
			end += n
		}
	}
	return pipe{write, read}, nil
}

// firstRecord returns how long the record is that b begins with, 0 if it is not complete.
func firstRecord(b []byte) (int, error) {
	if len(b) < record.HeaderSize {
		return 0, nil
	}
	h, err := record.ParseHeader(b)
	if err != nil || len(b) < record.HeaderSize+h.Length {
		return 0, err
	}
	return record.HeaderSize + h.Length, nil
}

// transfer is a mebibyte in writes of a size.
func (p pipe) transfer(size int) measure.Op {
	return func(n int) (func() error, error) {
		out, in := make([]byte, size), make([]byte, readSize)
		return func() error {
			sent := make(chan error, 1)
			go func() {
				sent <- func() error {
					for range n * mebibyte / size {
						if err := p.write(out); err != nil {
							return err
						}
					}
					return nil
				}()
			}()
			received := 0
			for received < n*mebibyte {
				k, err := p.read(in)
				if err != nil {
					return err
				}
				received += k
			}
			if received != n*mebibyte {
				return fmt.Errorf("%d octets came, want %d", received, n*mebibyte)
			}
			return <-sent
		}, nil
	}
}
