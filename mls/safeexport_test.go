package mls

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// The members get the same secret of a component, once in an epoch, and a
// restored state does not give it again.
func TestSafeExportSecretIsSharedAndTakenOnce(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 3)
	seen := make(map[string]bool)
	for epoch := range 2 {
		for _, component := range []ComponentID{0x0001, 0xF020, 0xFFFF} {
			var first []byte
			for i, m := range c.members {
				if i == 2 {
					m.g.EraseExporterSecret() // which is another one
				}
				secret, err := m.g.SafeExportSecret(component)
				if err != nil || len(secret) != c.suite.HashSize() {
					t.Fatalf("epoch %d, component %#04x: %d octets, %v", epoch, uint16(component), len(secret), err)
				}
				if i == 0 {
					first = secret
				}
				if !bytes.Equal(secret, first) {
					t.Errorf("epoch %d, component %#04x: member %d has another secret", epoch, uint16(component), i)
				}
				for _, g := range []*Group{m.g, m.clone(t)} {
					if _, err := g.SafeExportSecret(component); !errors.Is(err, ErrErased) {
						t.Errorf("epoch %d, component %#04x: taken twice: %v", epoch, uint16(component), err)
					}
				}
				if where := holds(m.g.secretsForTest(), secret); len(where) > 0 {
					t.Errorf("epoch %d, component %#04x: still at %v", epoch, uint16(component), where)
				}
			}
			if seen[string(first)] {
				t.Errorf("epoch %d, component %#04x: seen before", epoch, uint16(component))
			}
			seen[string(first)] = true
		}
		c.commit(epoch, CommitOptions{})
	}
	g := c.members[0].g
	g.Erase()
	if _, err := g.SafeExportSecret(1); !errors.Is(err, ErrErased) {
		t.Errorf("after Erase: %v", err)
	}
}
