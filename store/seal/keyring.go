package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

var (
	// ErrUnknownKey means that something is sealed under a key that the [Keyring] does not have.
	ErrUnknownKey = errors.New("seal: sealed under a key that is not known")
	// ErrForged means that something is not what was sealed, or is not where
	// it was put: it was damaged, moved, or replaced by what was there before.
	ErrForged = errors.New("seal: not what was sealed here")
)

// What is sealed has this form:
//
//	struct {
//	  uint8 format = 1;
//	  uint8 key_id[8];
//	  uint8 nonce[24];
//	  uint8 ciphertext[];  /* with a tag of 16 octets */
//	} Sealed;
//
// The associated data are format and key_id, and what the caller gives.
const (
	format     = 1
	keyIDSize  = 8
	headerSize = 1 + keyIDSize
	prefixSize = headerSize + chacha20poly1305.NonceSizeX
)

// Overhead is by how many octets sealing makes something longer.
const Overhead = prefixSize + chacha20poly1305.Overhead

// A keyID tells keys apart and says nothing about them.
type keyID [keyIDSize]byte

// A Keyring has the key under which records are sealed now, and those under
// which there may still be some. It is safe for concurrent use.
type Keyring struct {
	current keyID
	keys    map[keyID]cipher.AEAD
}

// NewKeyring returns a Keyring that seals under the key current and opens what was sealed under
// any of the keys. Each is of [KeySize] octets, drawn at random; the caller can erase them
// afterwards. The Keyring itself cannot be erased, only forgotten.
//
// To replace a key without a break: give all processes the new one as a former one; then make it
// current in all of them; then call the store's Reseal; then destroy the old one.
func NewKeyring(current []byte, former ...[]byte) (*Keyring, error) {
	k := &Keyring{keys: make(map[keyID]cipher.AEAD)}
	var err error
	if k.current, err = k.add(current); err != nil {
		return nil, err
	}
	for _, key := range former {
		if _, err := k.add(key); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// LoadKeyring is [NewKeyring] with the keys that sources give.
func LoadKeyring(ctx context.Context, current Source, former ...Source) (*Keyring, error) {
	var keys [][]byte
	defer func() {
		for _, key := range keys {
			clear(key)
		}
	}()
	for _, source := range append([]Source{current}, former...) {
		key, err := source(ctx)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return NewKeyring(keys[0], keys[1:]...)
}

func (k *Keyring) add(key []byte) (keyID, error) {
	if len(key) != KeySize {
		return keyID{}, fmt.Errorf("%w: it has %d octets, want %d", ErrKey, len(key), KeySize)
	}
	if bytes.Count(key, key[:1]) == KeySize {
		return keyID{}, fmt.Errorf("%w: all its octets are the same", ErrKey)
	}
	id, err := hkdf.Key(sha256.New, key, nil, "mendlink store key ID", keyIDSize)
	if err != nil {
		return keyID{}, err
	}
	recordKey, err := hkdf.Key(sha256.New, key, nil, "mendlink store record", chacha20poly1305.KeySize)
	if err != nil {
		return keyID{}, err
	}
	defer clear(recordKey)
	aead, err := chacha20poly1305.NewX(recordKey)
	if err != nil {
		return keyID{}, err
	}
	k.keys[keyID(id)] = aead
	return keyID(id), nil
}

// IsCurrent reports whether something was sealed under the key that seals now.
func (k *Keyring) IsCurrent(sealed []byte) bool {
	return len(sealed) >= headerSize && keyID(sealed[1:headerSize]) == k.current
}

// Seal returns plaintext in a sealed form. It opens only together with the same place, which says what
// it is and where it belongs.
func (k *Keyring) Seal(plaintext, place []byte) []byte {
	sealed, room := k.begin(len(plaintext))
	return k.finish(sealed, append(room, plaintext...), place)
}

// begin returns the beginning of a sealed form, and the room behind it where n octets
// of plaintext are to be written, so that ciphertext takes their place.
func (k *Keyring) begin(n int) (sealed, room []byte) {
	sealed = make([]byte, 0, Overhead+n)
	sealed = append(append(sealed, format), k.current[:]...)
	sealed = sealed[:prefixSize]
	rand.Read(sealed[headerSize:]) // never fails
	return sealed, sealed[prefixSize:prefixSize]
}

func (k *Keyring) finish(sealed, plaintext, place []byte) []byte {
	return k.keys[k.current].Seal(sealed, sealed[headerSize:], plaintext, bound(sealed[:headerSize], place))
}

// Open returns the plaintext of what was sealed for the same place, and which the caller
// erases. The error matches [ErrUnknownKey] or [ErrForged].
func (k *Keyring) Open(sealed, place []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, fmt.Errorf("%w: %d octets, want at least %d", ErrForged, len(sealed), Overhead)
	}
	if sealed[0] != format {
		return nil, fmt.Errorf("%w: format %d, want %d", ErrForged, sealed[0], format)
	}
	aead, ok := k.keys[keyID(sealed[1:headerSize])]
	if !ok {
		return nil, fmt.Errorf("%w: its ID is %x", ErrUnknownKey, sealed[1:headerSize])
	}
	plaintext, err := aead.Open(nil, sealed[headerSize:prefixSize], sealed[prefixSize:], bound(sealed[:headerSize], place))
	if err != nil {
		return nil, ErrForged
	}
	return plaintext, nil
}

// bound returns the associated data. The header has a fixed size, so that the two
// cannot be taken for one another.
func bound(header, place []byte) []byte {
	return append(bytes.Clone(header), place...)
}
