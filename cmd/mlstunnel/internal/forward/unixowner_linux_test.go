package forward

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestAUnixSocketIsForTheOwnerFromTheBeginning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "front")
	defer syscall.Umask(syscall.Umask(0))
	owners := net.ListenConfig{Control: ownerOnly}
	l, err := owners.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket begins with the mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestAUnixSocketCanBeUsedWhateverTheUmask(t *testing.T) {
	path := filepath.Join(t.TempDir(), "front")
	defer syscall.Umask(syscall.Umask(0o777))
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has the mode %v, %v, want 0600", info.Mode(), err)
	}
}
