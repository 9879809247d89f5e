package systemd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// A service manager that takes no messages any more does not keep the service from going on.
func TestAManagerThatDoesNotListenIsNotWaitedFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	const most = 100_000 // more than any system lets lie
	for range most {
		if err = Alive(); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after many messages: %v, want os.ErrDeadlineExceeded", err)
	}
}
