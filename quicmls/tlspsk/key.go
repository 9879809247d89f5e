package tlspsk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/mendlink/mendlink/channel"
)

const (
	labelID     = "Mendlink TLS PSK identity"
	labelSecret = "Mendlink TLS PSK"

	// secretSize is that of the hash of the TLS cipher suites that Go prefers, in octets.
	secretSize = 32
)

// An Exporter derives octets from the current epoch of a session. A
// [channel.Session] is one, and so are a netconn.Conn and a quicmls.Conn.
type Exporter interface {
	ExportFrom(from channel.Role, label string, context []byte, length int) ([]byte, error)
}

// An ID names a key in the clear. It is drawn from the epoch like the key, so that
// nobody else can tell which session it belongs to, or guess one.
type ID [32]byte

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// A Key is the pre-shared key of one connection. It is handed over to a [Client] or a
// [Server], which erases it when it was used; whoever has no use for it calls
// [Key.Erase]. It is safe for concurrent use.
type Key struct {
	id     ID
	mu     sync.Mutex
	secret []byte // nil once it is used up
	owned  bool   // by a Client or a Server
}

// Export draws a key from the current epoch of a session. dialer is the role, in the
// session, of the end that is going to be the TLS client: the two directions of dialing have different
// keys. number tells the connections of one epoch apart. It must not be used twice in an epoch, also not
// after an attempt that failed.
//
// Both ends have to call it in the same epoch, which they have reached when an update
// is done at both. If they do not, their keys differ and the handshake fails.
func Export(session Exporter, dialer channel.Role, number uint32) (*Key, error) {
	context := binary.BigEndian.AppendUint32(nil, number)
	id, err := session.ExportFrom(dialer, labelID, context, len(ID{}))
	if err != nil {
		return nil, fmt.Errorf("tlspsk: drawing the identity of key %d: %w", number, err)
	}
	secret, err := session.ExportFrom(dialer, labelSecret, context, secretSize)
	if err != nil {
		return nil, fmt.Errorf("tlspsk: drawing key %d: %w", number, err)
	}
	if len(id) != len(ID{}) || len(secret) != secretSize {
		clear(secret)
		return nil, fmt.Errorf("tlspsk: the exporter gave %d and %d octets, want %d and %d", len(id), len(secret), len(ID{}), secretSize)
	}
	return &Key{id: ID(id), secret: secret}, nil
}

// ID returns what names the key at both ends.
func (k *Key) ID() ID { return k.id }

// Erase forgets the key. A handshake that is under way with it goes on or fails, others fail.
func (k *Key) Erase() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.erase()
}

func (k *Key) erase() {
	clear(k.secret)
	k.secret = nil
}

// own marks the key as handed over, once.
func (k *Key) own() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owned || k.secret == nil {
		return fmt.Errorf("%w: %v", ErrKeyUsed, k.id)
	}
	k.owned = true
	return nil
}

// copySecret returns a copy of the secret, nil if it is used up.
func (k *Key) copySecret() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.secret)
}

// use uses the key up, and reports whether nobody has before.
func (k *Key) use() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	unused := k.secret != nil
	k.erase()
	return unused
}
