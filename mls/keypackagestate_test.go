package mls

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestKeyPackagesRoundTrip(t *testing.T) {
	for _, suite := range ciphersuite.Default().IDs() {
		t.Run(suite.String(), func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, suite, 1)
			add := c.invite(LeafOptions{})
			joiner := c.invited[0]
			state, err := joiner.bundle.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			given := bytes.Clone(state)
			restored, err := RestoreKeyPackage(joiner.cfg, joiner.id.Signer, given)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "what was given", given, state)
			clear(given)
			again, err := restored.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "restored key package", again, state)
			wantEqual(t, "message", restored.Message(), joiner.bundle.Message())

			if _, err := RestoreKeyPackage(joiner.cfg, c.members[0].id.Signer, state); err == nil {
				t.Error("restored with another signer")
			}
			for n := range len(state) {
				if _, err := RestoreKeyPackage(joiner.cfg, joiner.id.Signer, state[:n]); err == nil {
					t.Fatalf("restored from the first %d octets", n)
				}
			}
			spoilt := bytes.Clone(state)
			spoilt[0] ^= 0xff
			_, err = RestoreKeyPackage(joiner.cfg, joiner.id.Signer, spoilt)
			wantError(t, "another version", err, ErrUnsupported)

			joiner.bundle.Erase()
			joiner.bundle = restored
			c.commit(0, CommitOptions{Proposals: []Proposal{add}})
			c.checkMessages()
			_, err = restored.Marshal()
			wantError(t, "marshalling after its use", err, ErrErased)
		})
	}
}

func TestOnlySignerKnowsOneKey(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	lookup := OnlySigner(c.members[0].id.Signer)
	for i, m := range c.members {
		key, err := c.suite.SignaturePublicKey(m.id.Signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		signer, err := lookup(c.suite, key)
		if (err == nil) != (i == 0) || (signer != nil) != (i == 0) {
			t.Errorf("member %d: %v, %v", i, signer, err)
		}
	}
	if _, err := OnlySigner(nil)(c.suite, nil); err == nil {
		t.Error("no signer has a key")
	}
}
