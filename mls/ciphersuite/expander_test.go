package ciphersuite

import (
	"bytes"
	"testing"
)

// One Expander gives what as many calls of the suite do, whatever came before,
// also where the output takes more than one block.
func TestExpanderAgreesWithTheSuite(t *testing.T) {
	for _, id := range Default().IDs() {
		s, err := Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		secret := bytes.Repeat([]byte{0xA5}, s.HashSize())
		e := s.NewExpander(secret)
		for _, length := range []int{0, 1, 16, s.HashSize(), s.HashSize() + 1, 3 * s.HashSize(), 12} {
			for _, context := range []string{"", "context"} {
				got := e.ExpandWithLabel("label", []byte(context), length)
				// The definition (RFC 9420, Section 8), on KDF.Expand.
				info := []byte{byte(length >> 8), byte(length), 13}
				info = append(append(info, "MLS 1.0 label"...), byte(len(context)))
				if want := s.Expand(secret, append(info, context...), length); !bytes.Equal(got, want) {
					t.Errorf("%v: %d octets in context %q: %x, want %x", s, length, context, got, want)
				}
			}
		}
		if got, want := e.Expand([]byte("info"), 100), s.Expand(secret, []byte("info"), 100); !bytes.Equal(got, want) {
			t.Errorf("%v: Expand: %x, want %x", s, got, want)
		}
		if got, want := e.DeriveSecret("name"), s.DeriveSecret(secret, "name"); !bytes.Equal(got, want) {
			t.Errorf("%v: DeriveSecret: %x, want %x", s, got, want)
		}
	}
}
