//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

const (
	lockRetry   = 20 * time.Millisecond
	lockTimeout = 10 * time.Second
)

// lockFile waits for the lock that a file stands for while it exists. One that a process has
// left behind when it crashed has to be removed by hand.
func lockFile(path string) (unlock func(), err error) {
	for waited := time.Duration(0); waited < lockTimeout; waited += lockRetry {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() {
				file.Close()
				os.Remove(path)
			}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		time.Sleep(lockRetry)
	}
	return nil, fmt.Errorf("%s is there for longer than %v", path, lockTimeout)
}
