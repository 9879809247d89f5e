//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package identity

import (
	"os"
	"syscall"
)

// lockFile waits for the lock that a file stands for. It ends with unlock, or with the
// process. The file stays, as to remove it would let two have the lock.
func lockFile(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return func() { file.Close() }, nil
}
