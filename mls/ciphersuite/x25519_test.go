package ciphersuite

import (
	"bytes"
	"crypto/ecdh"
	"testing"

	"github.com/cloudflare/circl/dh/x25519"
	"pgregory.net/rapid"
)

// Public keys come from the tables of another library than shared secrets: both
// circl's ladder and the standard library have to agree with them.
func TestX25519PublicKeysAreThoseOfTheLadder(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, scalar []byte) {
		key, err := curve25519{}.newKey(scalar, nil)
		if err != nil {
			t.Fatalf("%x: %v", scalar, err)
		}
		var want x25519.Key
		x25519.KeyGen(&want, (*x25519.Key)(scalar))
		std, err := ecdh.X25519().NewPrivateKey(scalar)
		if err != nil {
			t.Fatalf("%x: %v", scalar, err)
		}
		if !bytes.Equal(key.public(), want[:]) || !bytes.Equal(key.public(), std.PublicKey().Bytes()) {
			t.Fatalf("%x: public key %x, want %x, crypto/ecdh has %x", scalar, key.public(), want, std.PublicKey().Bytes())
		}
	}
	for _, b := range []byte{0x00, 0x01, 0x07, 0x7f, 0x80, 0xf8, 0xff} {
		check(t, bytes.Repeat([]byte{b}, x25519.Size))
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.SliceOfN(rapid.Byte(), x25519.Size, x25519.Size).Draw(t, "scalar"))
	})
}
