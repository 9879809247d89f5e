package quicmls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
)

// A script is a stream on which these octets come, in pieces, and then the end.
type script struct {
	in    []byte
	piece int
}

func (*script) StreamID() quic.StreamID         { return 4 }
func (*script) CancelRead(quic.StreamErrorCode) {}
func (*script) SetReadDeadline(time.Time) error { return nil }
func (s *script) Read(p []byte) (n int, _ error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n = copy(p, s.in[:min(len(s.in), s.piece)])
	s.in = s.in[n:]
	return n, nil
}

// closedQUIC returns a QUIC connection that has ended.
func closedQUIC(f *testing.F) *quic.Conn {
	toClient, toServer := withoutProof(f)
	l, err := quic.ListenAddr("127.0.0.1:0", toClient, nil)
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	q, err := quic.DialAddr(f.Context(), l.Addr().String(), toServer, nil)
	if err != nil {
		f.Fatal(err)
	}
	q.CloseWithError(0, "")
	return q
}

// spoken is what a peer has said by a list of records: what is to be read, and whether that ends well.
type spoken struct {
	sealed []byte
	data   []byte
	ended  bool // by a last record, and nothing behind it
	wrong  bool // a record that must not be
	ahead  bool // it goes on in an epoch that does not come
}

// speakScript seals a list of records: a type, a length of two octets, and the content. Those
// behind the end of an epoch are of the next, of which there are so many.
func speakScript(t *testing.T, in []byte, epochs uint64) (s spoken) {
	epoch := uint64(1)
	seal := func() *record.StreamProtection {
		secret := epochSecret(t, epoch)
		p, err := secret.Stream(epoch, secret.StreamKey(4))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := seal()
	for idle := 0; len(in) >= 3; {
		kind, size := record.ContentType(in[0]), min(int(binary.BigEndian.Uint16(in[1:])), len(in)-3)
		content := in[3 : 3+size]
		in = in[3+size:]
		var err error
		if s.sealed, err = p.Seal(s.sealed, kind, content); err != nil {
			return s // there is no such record
		}
		// Zeros at the end are padding, and what stands before them is the type.
		inner := bytes.TrimRight(append(bytes.Clone(content), byte(kind)), "\x00")
		if len(inner) == 0 {
			inner = []byte{0}
		}
		content, kind = inner[:len(inner)-1], record.ContentType(inner[len(inner)-1])
		switch {
		case s.wrong || s.ahead:
		case s.ended:
			s.ended, s.wrong = false, true
		case kind == record.ContentApplicationData:
			if s.data = append(s.data, content...); len(content) > 0 {
				idle = 0
			} else if idle++; idle > maxIdleRecord {
				s.wrong = true
			}
		case kind == record.ContentEpochEnd && len(content) == 0:
			epoch++
			p = seal()
			s.ahead = epoch > epochs && len(in) >= 3
		case kind == record.ContentAlert && bytes.Equal(content, closeNotify):
			s.ended = true
		default:
			s.wrong = true
		}
	}
	return s
}

// A peer that has all keys may say whatever it likes on a stream: what is read is what it said, up to
// what it must not say, and only its last record is an end.
func FuzzStreamOfAPeer(f *testing.F) {
	ic, rc := newConfigs(f)
	q := closedQUIC(f)
	one := func(t record.ContentType, content string) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{byte(t)}, uint16(len(content))), content...)
	}
	list := func(records ...[]byte) []byte { return bytes.Join(records, nil) }
	data, end, last := one(record.ContentApplicationData, "data"), one(record.ContentEpochEnd, ""), one(record.ContentAlert, string(closeNotify))
	f.Add(list(data, last), uint16(1), []byte(nil))
	f.Add(list(data, end, data, end, data, last), uint16(7), []byte(nil))
	f.Add(list(end, end, end, end, end, data), uint16(100), []byte(nil))
	f.Add(list(data, last, data), uint16(100), []byte(nil))
	f.Add(list(data, data), uint16(100), []byte("\x01\x00\x11xxxxxxxxxxxxxxxxx"))
	f.Add(bytes.Repeat(one(record.ContentApplicationData, ""), maxIdleRecord+2), uint16(100), []byte(nil))
	f.Add(list(data, one(record.ContentHandshake, "\xe5")), uint16(20), []byte(nil))
	f.Add(list(data, one(record.ContentEpochEnd, "x")), uint16(20), []byte(nil))
	f.Fuzz(func(t *testing.T, in []byte, piece uint16, garbage []byte) {
		client, server, _, _ := detachedPair(t, ic, rc)
		defer release(client)
		defer release(server)
		server.quic = q
		server.receiving.erase() // the keys of the test instead
		const epochs = 4
		for epoch := uint64(1); epoch <= epochs; epoch++ {
			server.receiving.install(epochSecret(t, epoch))
		}
		want := speakScript(t, in, epochs)
		s := new(ReceiveStream)
		s.init(server, &script{in: append(want.sealed, garbage...), piece: 1 + int(piece)})
		if want.ahead { // it would wait for good
			if err := s.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(s)
		if !bytes.Equal(got, want.data) {
			t.Fatalf("read %q, want %q", got, want.data)
		}
		switch {
		case want.wrong:
			if !errors.Is(err, record.ErrUnexpected) || server.ctx.Err() == nil {
				t.Fatalf("%v, want record.ErrUnexpected, and the end of the connection", err)
			}
		case want.ahead:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%v, want os.ErrDeadlineExceeded", err)
			}
		case want.ended && len(garbage) == 0:
			if err != nil {
				t.Fatalf("%v, want io.EOF", err)
			}
		case err == nil:
			t.Fatal("io.EOF, though nobody has said so")
		}
	})
}
