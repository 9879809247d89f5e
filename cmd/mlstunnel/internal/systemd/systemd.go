// Package systemd speaks to the service manager: sockets that it has opened, and messages about the state of the
// service. Without one there are no sockets, and messages go nowhere. See sd_listen_fds(3) and sd_notify(3).
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// firstFD is the first descriptor that is passed on.
const firstFD = 3

// Sockets are those that the service manager has passed on, by name.
type Sockets struct {
	mu    sync.Mutex
	files map[string][]*os.File
}

// Take returns the sockets of the environment and removes them from it, so that no child takes them for its
// own.
func Take() (*Sockets, error) {
	defer func() {
		for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			os.Unsetenv(name)
		}
	}()
	s := &Sockets{files: make(map[string][]*os.File)}
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return s, nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1024 {
		return nil, fmt.Errorf("systemd: LISTEN_FDS is %q, not a number of sockets", os.Getenv("LISTEN_FDS"))
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		name := "unknown"
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		s.add(name, os.NewFile(uintptr(firstFD+i), name))
	}
	return s, nil
}

// Listener returns a stream socket of that name. Once it is closed the socket can be had again, as the manager keeps it
// open in any case.
func (s *Sockets) Listener(name string) (net.Listener, error) {
	l, giveBack, err := open(s, name, net.FileListener)
	if err != nil {
		return nil, err
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it is the manager's
	}
	return &listener{l, giveBack}, nil
}

// PacketConn returns a datagram socket of that name. Once it is closed the socket can be had again.
func (s *Sockets) PacketConn(name string) (net.PacketConn, error) {
	c, giveBack, err := open(s, name, udp)
	if err != nil {
		return nil, err
	}
	return &packetConn{c, giveBack}, nil
}

func udp(f *os.File) (*net.UDPConn, error) {
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("is of the kind %s, want udp", c.LocalAddr().Network())
	}
	return u, nil
}

// A listener is a socket that is given back when it is closed.
type listener struct {
	net.Listener
	giveBack func()
}

func (l *listener) Close() error {
	defer l.giveBack()
	return l.Listener.Close()
}

// A packetConn is one as well, and has all that QUIC makes use of.
type packetConn struct {
	*net.UDPConn
	giveBack func()
}

func (c *packetConn) Close() error {
	defer c.giveBack()
	return c.UDPConn.Close()
}

var errNotFree = errors.New("none that was passed on is free; FileDescriptorName= names one, and each is for one forward")

// open makes something of a copy of the first socket of a name that is of the right kind, which nobody else gets until it
// is given back.
func open[T any](s *Sockets, name string, as func(*os.File) (T, error)) (opened T, giveBack func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	why := errNotFree
	for i, f := range s.files[name] {
		if opened, err = as(f); err != nil {
			why = err
			continue
		}
		s.files[name] = slices.Delete(s.files[name], i, i+1)
		return opened, sync.OnceFunc(func() { s.add(name, f) }), nil
	}
	return opened, nil, fmt.Errorf("systemd: socket %q: %w", name, why)
}

func (s *Sockets) add(name string, f *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = append(s.files[name], f)
}
