// Package systemd speaks to the service manager: sockets that it has opened, and messages about the state of the
// service. Without one there are no sockets, and messages go nowhere. See sd_listen_fds(3) and sd_notify(3).
package systemd

import (
	"fmt"
	"net"
	"os"
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
		s.files[name] = append(s.files[name], os.NewFile(uintptr(firstFD+i), name))
	}
	return s, nil
}

// Listener returns the stream socket of that name.
func (s *Sockets) Listener(name string) (net.Listener, error) {
	f, err := s.take(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("systemd: socket %q: %w", name, err)
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it is the manager's
	}
	return l, nil
}

// PacketConn returns the datagram socket of that name.
func (s *Sockets) PacketConn(name string) (net.PacketConn, error) {
	f, err := s.take(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("systemd: socket %q: %w", name, err)
	}
	return c, nil
}

func (s *Sockets) take(name string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := s.files[name]
	if len(files) == 0 {
		return nil, fmt.Errorf("systemd: no socket %q was passed on; FileDescriptorName= names one", name)
	}
	s.files[name] = files[1:]
	return files[0], nil
}
