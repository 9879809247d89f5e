package systemd

import (
	"net"
	"os"
	"testing"
)

// passedOn are a stream and a datagram socket of one name, as ListenStream= and ListenDatagram= of one unit are.
func passedOn(t *testing.T) (s *Sockets, stream, datagram string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s = &Sockets{files: make(map[string][]*os.File)}
	for _, socket := range []interface{ File() (*os.File, error) }{l.(*net.TCPListener), c.(*net.UDPConn)} {
		f, err := socket.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		s.add("front", f)
	}
	return s, l.Addr().String(), c.LocalAddr().String()
}

func TestASocketThatIsClosedCanBeHadAgain(t *testing.T) {
	s, stream, datagram := passedOn(t)
	for range 2 {
		c, err := s.PacketConn("front")
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.Listener("front")
		if err != nil {
			t.Fatal(err)
		}
		if l.Addr().String() != stream || c.LocalAddr().String() != datagram {
			t.Errorf("got %v and %v, want %s and %s", l.Addr(), c.LocalAddr(), stream, datagram)
		}
		if _, err := s.Listener("front"); err == nil {
			t.Error("a stream socket is there for two")
		}
		if _, err := s.PacketConn("front"); err == nil {
			t.Error("a datagram socket is there for two")
		}
		for range 2 { // as whoever closes may do
			l.Close()
			c.Close()
		}
	}
	if n := len(s.files["front"]); n != 2 {
		t.Errorf("there are %d sockets, want 2", n)
	}
	if _, err := s.Listener("back"); err == nil {
		t.Error("a socket is there that nobody has passed on")
	}
}
