package tlspsk

import "errors"

var (
	// ErrConfig means that a [Config] asks for something that cannot be.
	ErrConfig = errors.New("tlspsk: Config cannot be used")
	// ErrEncoding means that this version of Go encodes sessions in a way that this
	// package does not know. Nothing can be keyed by a group then.
	ErrEncoding = errors.New("tlspsk: crypto/tls encodes sessions in an unknown way")
	// ErrKeyUsed means that a key was used, handed over or erased before.
	ErrKeyUsed = errors.New("tlspsk: key is used up")
	// ErrKnownKey means that a server expects that key already.
	ErrKnownKey = errors.New("tlspsk: key is expected already")
	// ErrUnknownKey means that a client has no key, or one that the server does not expect.
	ErrUnknownKey = errors.New("tlspsk: unknown key")
	// ErrNotKeyed means that a connection is not keyed by a group: the other end
	// wanted to go on without, or with what was not agreed on.
	ErrNotKeyed = errors.New("tlspsk: connection is not keyed by the group")
	// ErrServerName means that a client calls the server by another name.
	ErrServerName = errors.New("tlspsk: another server name")
	// ErrUnknownConnection means that a connection is not one of this server's, or
	// that its key was asked for before.
	ErrUnknownConnection = errors.New("tlspsk: unknown connection")
	// ErrClosed means that a server was closed.
	ErrClosed = errors.New("tlspsk: server is closed")
)
