package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// listenUnix listens on a Unix socket that only the owner of the process can connect to. One that a process
// has left behind makes room: of those who find it at the same time, one.
func listenUnix(path string) (net.Listener, error) {
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	defer unlock()
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
			return nil, fmt.Errorf("forward: somebody listens on %s already", path)
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("forward: %w", err)
			}
		}
	}
	owners := net.ListenConfig{Control: ownerOnly}
	l, err := owners.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil { // where ownerOnly could do nothing, or the umask took something away
		l.Close()
		return nil, fmt.Errorf("forward: %w", err)
	}
	return l, nil
}
