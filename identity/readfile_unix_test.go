//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package identity

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestANamedPipeIsRefusedAndNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 1)
	go func() {
		_, err := LoadPrivateKey(path)
		refused <- err
	}()
	select {
	case err := <-refused:
		if at, ok := errors.AsType[*FileError](err); !ok || at.Path != path || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the pipe is waited for")
	}
}
