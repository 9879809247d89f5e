//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package forward

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	lockRetry   = 10 * time.Millisecond
	lockTimeout = 10 * time.Second
)

// lockDirectory waits for the lock that a directory stands for, and leaves nothing behind. It ends with unlock, or with the
// process. A directory that this process cannot read has no lock.
func lockDirectory(path string) (unlock func(), err error) {
	directory, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	for waited := time.Duration(0); ; waited += lockRetry {
		err := syscall.Flock(int(directory.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { directory.Close() }, nil
		case err != syscall.EWOULDBLOCK && err != syscall.EINTR:
			directory.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		case waited >= lockTimeout:
			directory.Close()
			return nil, fmt.Errorf("somebody has locked %s for longer than %v", path, lockTimeout)
		}
		time.Sleep(lockRetry)
	}
}
