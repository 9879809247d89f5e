package forward

import (
	"os"
	"syscall"
)

// ownerOnly has a Unix socket be for its owner alone from the beginning: Linux makes the file with the mode of the socket.
func ownerOnly(_, _ string, c syscall.RawConn) error {
	var err error
	if closed := c.Control(func(fd uintptr) { err = os.NewSyscallError("fchmod", syscall.Fchmod(int(fd), 0o600)) }); closed != nil {
		return closed
	}
	return err
}
