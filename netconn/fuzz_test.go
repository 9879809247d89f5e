package netconn

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel/record"
)

// deaf is a transport from which a fixed text comes, and then the end.
type deaf struct {
	net.Conn
	in []byte
}

func (d *deaf) Read(p []byte) (int, error) {
	if len(d.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, d.in)
	d.in = d.in[n:]
	return n, nil
}

func (d *deaf) Write(p []byte) (int, error)      { return len(p), nil }
func (d *deaf) Close() error                     { return nil }
func (d *deaf) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (d *deaf) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (d *deaf) SetDeadline(time.Time) error      { return nil }
func (d *deaf) SetReadDeadline(time.Time) error  { return nil }
func (d *deaf) SetWriteDeadline(time.Time) error { return nil }

// Whatever comes, before there are keys and after, is an error in the end: never a
// handshake, data or a panic.
func FuzzReceive(f *testing.F) {
	ic, rc := newConfigs(f)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), false)
	f.Add([]byte("\x16\x03\x03\x00\x04\xe0\x00\x00\x00"), true)
	f.Add([]byte("\x15\x03\x03\x00\x02\x01\x00"), true)
	f.Add([]byte("\x17\x03\x03\x00\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), false)
	hello := captureHello(f, ic)
	f.Add(hello, false)
	f.Add(append(hello, hello...), false)
	f.Fuzz(func(t *testing.T, in []byte, initiator bool) {
		c := newConn(&deaf{in: in}, rc, initiator)
		defer c.Close()
		if n, err := c.Read(make([]byte, 100)); n != 0 || err == nil || err == io.EOF || c.ConnectionState().HandshakeComplete {
			t.Fatalf("%d, %v", n, err)
		}
	})
}

func captureHello(f *testing.F, config *Config) []byte {
	a, b := net.Pipe()
	c := Client(a, config)
	defer c.Close()
	go c.Handshake()
	hello := make([]byte, record.MaxRecord)
	n, err := b.Read(hello)
	if err != nil {
		f.Fatal(err)
	}
	b.Close()
	return hello[:n]
}
