package record

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		name   string
		header string
		want   Header
		err    error
	}{
		{"protected", "\x17\x03\x03\x00\x11", Header{ContentApplicationData, 17}, nil},
		{"longest protected", "\x17\x03\x03\x41\x00", Header{ContentApplicationData, MaxCiphertext}, nil},
		{"too long protected", "\x17\x03\x03\x41\x01", Header{}, ErrOverflow},
		{"handshake", "\x16\x03\x03\x40\x00", Header{ContentHandshake, MaxPlaintext}, nil},
		{"too long handshake", "\x16\x03\x03\x40\x01", Header{}, ErrOverflow},
		{"alert", "\x15\x03\x03\x00\x02", Header{ContentAlert, 2}, nil},
		{"change_cipher_spec", "\x14\x03\x03\x00\x01", Header{}, ErrUnexpected},
		{"heartbeat", "\x18\x03\x03\x00\x01", Header{}, ErrUnexpected},
		{"old version", "\x16\x03\x01\x00\x01", Header{}, ErrUnexpected},
		{"text", "hello", Header{}, ErrUnexpected},
	} {
		got, err := ParseHeader([]byte(c.header))
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
	var e *HeaderError
	if _, err := ParseHeader([]byte("hello, world")); !errors.As(err, &e) || string(e.Header[:]) != "hello" {
		t.Errorf("got %v, want a HeaderError that shows the header", err)
	}
	if _, err := ParseHeader([]byte{23, 3, 3, 0}); err == nil {
		t.Error("four octets are taken for a header")
	}
}

func TestAppendPlaintextFramesWhatParseHeaderReads(t *testing.T) {
	content := []byte("client hello")
	b, err := AppendPlaintext([]byte("x"), ContentHandshake, content)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHeader(b[1:])
	if err != nil || h != (Header{ContentHandshake, len(content)}) || !bytes.Equal(b[1+HeaderSize:], content) {
		t.Errorf("%x: %v, %v", b, h, err)
	}
	if got, err := AppendPlaintext([]byte("x"), ContentHandshake, make([]byte, MaxPlaintext+1)); !errors.Is(err, ErrOverflow) || string(got) != "x" {
		t.Errorf("too much content: %q, %v", got, err)
	}
}

func TestCheckProtocol(t *testing.T) {
	for _, c := range []struct{ first, want string }{
		{"\x16\x03\x01\x02\x00\x01", "TLS"},
		{"\x16\x03\x03\x00\x40\x02", "TLS"},
		{"\x16\x03\x03\x02\x00\x01", "TLS"},
		{"\x15\x03\x01\x00\x02\x02", "TLS"},
		{"\x15\x03\x01\x00\x02", "TLS"},
		{"GET / HTTP/1.1\r\n", "HTTP"},
		{"POST /", "HTTP"},
		{"PRI * HTTP/2.0", "HTTP"},
		{"HTTP/1.1 400 Bad Request", "HTTP"},
		{"SSH-2.0-OpenSSH_9.9", "SSH"},
		{"\x16\x03\x03\x02\x00\xe0", ""}, // ours
		{"\x15\x03\x03\x00\x02\x02", ""}, // an alert of ours looks like one of TLS 1.3
		{"hello, world", ""},
		{"", ""},
	} {
		err := CheckProtocol([]byte(c.first))
		var f *ForeignProtocolError
		errors.As(err, &f)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.first, err)
		case c.want != "" && (f == nil || f.Protocol != c.want || !errors.Is(err, ErrUnexpected)):
			t.Errorf("%q: %v, want %s", c.first, err, c.want)
		}
	}
}

// The first octets of real peers, as they go over the wire.
func TestCheckProtocolKnowsRealPeers(t *testing.T) {
	for _, c := range []struct {
		want  string
		speak func(net.Conn)
	}{
		{"TLS", func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "x"}).Handshake() }},
		{"HTTP", func(c net.Conn) {
			tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
			if r, err := (&http.Client{Transport: tr}).Get("http://x/"); err == nil {
				r.Body.Close()
			}
		}},
		{"TLS", func(c net.Conn) { // a TLS server's answer to our hello
			go c.Read(make([]byte, 1))
			tls.Server(&scripted{Conn: c, in: []byte{22, 3, 3, 0, 5, 0xe0, 0, 0, 1, 0}}, &tls.Config{}).Handshake()
		}},
	} {
		ours, theirs := net.Pipe()
		go func() {
			c.speak(theirs)
			theirs.Close()
		}()
		first := make([]byte, SniffSize)
		if _, err := io.ReadFull(ours, first); err != nil {
			t.Fatal(err)
		}
		ours.Close()
		var f *ForeignProtocolError
		if err := CheckProtocol(first); !errors.As(err, &f) || f.Protocol != c.want {
			t.Errorf("% x: %v, want %s", first, err, c.want)
		}
	}
}

// scripted is a connection from which a fixed text comes.
type scripted struct {
	net.Conn
	in []byte
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte("\x17\x03\x03\x00\x11"))
	f.Add([]byte("GET / HTTP/1.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		CheckProtocol(b)
		if h, err := ParseHeader(b); err == nil && (h.Length < 0 || h.Length > MaxCiphertext) {
			t.Fatalf("length %d", h.Length)
		}
	})
}
