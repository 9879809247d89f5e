//go:build !linux

package forward

import "syscall"

// ownerOnly does nothing: elsewhere a Unix socket has no mode before it has a name.
func ownerOnly(string, string, syscall.RawConn) error { return nil }
