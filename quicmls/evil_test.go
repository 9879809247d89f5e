package quicmls

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// A peer that is authenticated, and then breaks the rules of streams under its own good keys, is
// told so, and the connection ends.
func TestRecordsThatBreakTheRules(t *testing.T) {
	const data = record.ContentApplicationData
	flip := func(rec []byte, at int) []byte {
		rec[(at+len(rec))%len(rec)] ^= 1
		return rec
	}
	for _, c := range []struct {
		name  string
		sent  func(s *rawStream) []byte
		want  error
		alert channel.Alert
	}{
		{"garbage", func(s *rawStream) []byte { return bytes.Repeat([]byte{1}, 1<<10) }, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"flipped bit of the epoch", func(s *rawStream) []byte { return flip(s.seal(data, "x"), 0) }, nil, 0},
		{"flipped bit of the length", func(s *rawStream) []byte { return append(flip(s.seal(data, "x"), 2), 0) }, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"flipped bit of the content", func(s *rawStream) []byte { return flip(s.seal(data, "x"), 3) }, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"flipped bit of the tag", func(s *rawStream) []byte { return flip(s.seal(data, "x"), -1) }, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"record twice", func(s *rawStream) []byte { return bytes.Repeat(s.seal(data, ""), 2) }, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"record left out", func(s *rawStream) []byte { s.seal(data, "x"); return s.seal(data, "x") }, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"another epoch later on", func(s *rawStream) []byte {
			return append(s.seal(data, ""), flip(s.seal(data, "x"), 0)...)
		}, record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"longest header", func(s *rawStream) []byte { return []byte{byte(s.protection.Epoch()), 0xff, 0xff} }, record.ErrOverflow, channel.AlertRecordOverflow},
		{"header of one octet too much", func(s *rawStream) []byte {
			return []byte{byte(s.protection.Epoch()), record.MaxCiphertext >> 8, record.MaxCiphertext&0xff + 1}
		}, record.ErrOverflow, channel.AlertRecordOverflow},
		{"header of nothing", func(s *rawStream) []byte { return []byte{byte(s.protection.Epoch()), 0, 0} }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"header of a tag alone", func(s *rawStream) []byte {
			return append([]byte{byte(s.protection.Epoch()), 0, 16}, make([]byte, 16)...)
		}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"two-party message", func(s *rawStream) []byte { return s.seal(record.ContentHandshake, "x") }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"unknown type", func(s *rawStream) []byte { return s.seal(99, "x") }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"no type", func(s *rawStream) []byte { return s.seal(0, "") }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"alert that is no end", func(s *rawStream) []byte { return s.seal(record.ContentAlert, "\x02\x0a") }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"short alert", func(s *rawStream) []byte { return s.seal(record.ContentAlert, "\x02") }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"end of the epoch with content", func(s *rawStream) []byte { return s.seal(record.ContentEpochEnd, "x") }, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"nothing over and over", func(s *rawStream) (out []byte) {
			for range maxIdleRecord + 1 {
				out = append(out, s.seal(data, "")...)
			}
			return out
		}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			raw := openRaw(t, client)
			raw.send(c.sent(raw))
			b := accept(t, server)
			if c.want == nil { // of the epoch before the first: the stream alone is reset
				if err := readError(b); !errors.Is(err, ErrEpochGone) {
					t.Errorf("Read: %v", err)
				}
				cancelled(t, "Write", writeError(raw), ErrorCodeEpochGone, true)
				exchangeOnAnother(t, client, server)
				return
			}
			within(t, "Read", func() {
				for range 2 {
					if err := readError(b); !errors.Is(err, c.want) {
						t.Errorf("Read: %v, want %v", err, c.want)
					}
				}
			})
			if err := writeError(b); err == nil || errors.Is(err, record.ErrErased) {
				t.Errorf("Write: %v", err)
			}
			if err := server.Update(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("Update: %v, want %v", err, c.want)
			}
			told(t, client, c.alert)
		})
	}
}

func exchangeOnAnother(t *testing.T, client, server *Conn) {
	t.Helper()
	a, b := openPair(t, client, server)
	exchange(t, a, b)
}

// A key of another stream, direction or epoch opens nothing.
func TestKeysOfAnotherStream(t *testing.T) {
	for _, c := range []struct {
		name string
		key  func(t *testing.T, c *Conn, id uint64) *record.StreamProtection
	}{
		{"stream", func(t *testing.T, c *Conn, id uint64) *record.StreamProtection {
			p, err := c.sending.begin(id + 4)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}},
		{"direction", func(t *testing.T, c *Conn, id uint64) *record.StreamProtection {
			p, err := c.receiving.secret.Stream(c.receiving.secret.Epoch(), c.receiving.secret.StreamKey(id))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}},
		{"epoch", func(t *testing.T, c *Conn, id uint64) *record.StreamProtection {
			key := c.sending.secret.StreamKey(id)
			epoch := c.sending.secret.Epoch()
			update(t, c)
			p, err := c.sending.secret.Stream(epoch+1, key) // says that it is of the new one
			if err != nil {
				t.Fatal(err)
			}
			return p
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			raw := openRaw(t, client)
			raw.protection = c.key(t, client, uint64(raw.StreamID()))
			raw.data("x")
			if err := readError(accept(t, server)); !errors.Is(err, record.ErrAuthentication) {
				t.Errorf("Read: %v", err)
			}
			told(t, client, channel.AlertBadRecordMAC)
		})
	}
}

func TestControlStreamThatBreaksTheRules(t *testing.T) {
	seal := func(ct record.ContentType, content string) func(*testing.T, *control) {
		return func(t *testing.T, c *control) {
			out, err := c.protection.Seal(nil, ct, []byte(content))
			if err == nil {
				err = c.write(out)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	octets := func(b string) func(*testing.T, *control) {
		return func(t *testing.T, c *control) {
			if err := c.write([]byte(b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		sent  func(*testing.T, *control)
		want  error
		alert channel.Alert
	}{
		{"application data", seal(record.ContentApplicationData, "x"), record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"alert", seal(record.ContentAlert, "\x02\x00"), record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"end of an epoch", seal(record.ContentEpochEnd, ""), record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"nothing", seal(record.ContentHandshake, ""), record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"oversized message", seal(record.ContentHandshake, "\xe3\xff\xff\xff"), channel.ErrMessageSize, channel.AlertRecordOverflow},
		{"message that has no place", seal(record.ContentHandshake, "\xe4\x00\x00\x01x"), channel.ErrUnexpectedMessage, channel.AlertUnexpectedMessage},
		{"unprotected", octets("\x16\x03\x03\x00\x01x"), record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"no header", octets("GET / HTTP/1.1\r\n\r\n"), record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"oversized record", octets("\x17\x03\x03\xff\xff"), record.ErrOverflow, channel.AlertRecordOverflow},
		{"garbage", octets("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32)), record.ErrAuthentication, channel.AlertBadRecordMAC},
		{"closed", func(t *testing.T, c *control) { c.out.(*quic.Stream).Close() }, ErrControl, channel.AlertUnexpectedMessage},
		{"closed within a record", func(t *testing.T, c *control) {
			octets("\x17\x03\x03\x00\x20x")(t, c)
			c.out.(*quic.Stream).Close()
		}, ErrControl, channel.AlertUnexpectedMessage},
		{"reset", func(t *testing.T, c *control) { c.out.(*quic.Stream).CancelWrite(77) }, ErrControl, channel.AlertUnexpectedMessage},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			_, b := openPair(t, client, server)
			failed := make(chan error)
			go func() { failed <- readError(b) }()
			client.control.writeMu.Lock()
			c.sent(t, &client.control)
			client.control.writeMu.Unlock()
			within(t, "the end", func() {
				<-server.Context().Done()
				if err := <-failed; err == nil {
					t.Error("a Read that waited says that all is well")
				}
			})
			if err := server.closedBy(); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			told(t, client, c.alert)
		})
	}
}

// Who does not take two-party messages is noticed with the next one.
func TestControlStreamThatIsNotRead(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	client.control.out.(*quic.Stream).CancelRead(78)
	within(t, "the update", func() {
		if err := server.Update(t.Context()); err == nil {
			t.Error("an update that the peer cannot have seen is confirmed")
		}
		<-client.Context().Done()
	})
}

// A peer that opens another stream first has none for two-party messages.
func TestApplicationStreamBeforeTheControlStream(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	client, server := quicPair(t, ic, rc)
	raw, err := client.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(raw, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)); err != nil {
		t.Fatal(err)
	}
	c := Server(server, rc)
	if err := c.HandshakeContext(t.Context()); !errors.Is(err, record.ErrUnexpected) {
		t.Errorf("HandshakeContext: %v", err)
	}
	<-client.Context().Done()
	var closed *quic.ApplicationError
	if _, err := raw.Read(make([]byte, 1)); !errors.As(err, &closed) || closed.ErrorCode != errorCodeAlert|quic.ApplicationErrorCode(channel.AlertUnexpectedMessage) {
		t.Errorf("the peer gets %v", err)
	}
}
