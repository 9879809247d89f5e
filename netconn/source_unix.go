//go:build unix

package netconn

import (
	"os"
	"syscall"
)

const canReadRaw = true

// readRaw reads a socket that does not block. again says that nothing is there yet.
func readRaw(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch err {
		case nil:
			return n, false, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, true, nil
		}
		return 0, false, os.NewSyscallError("read", err)
	}
}
