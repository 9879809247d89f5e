package live

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// OpenMLS and Mendlink give a component the same secret of an epoch, once
// (draft-ietf-mls-extensions, Section 4.4).
func TestOpenMLSComponentsGetTheSameSecret(t *testing.T) {
	theirs, ours := openMLS.start(t), mendlink{suites: ciphersuite.Default()}
	for _, cast := range [][]implementation{{ours, theirs}, {theirs, ours}} {
		s := &stage{T: t, suite: 1, roles: cast}
		alice := s.create()
		bob := s.add(alice, 1)[0]
		for _, a := range []*actor{alice, bob} {
			s.commit(a)
			for _, component := range []uint16{0, 1, 0x8001, 0xFFFF} {
				secrets := [2][]byte{safeExport(s, alice, component), safeExport(s, bob, component)}
				if !bytes.Equal(secrets[0], secrets[1]) || len(secrets[0]) != 32 {
					t.Errorf("component %#04x of %s and %s: %x and %x", component, alice.name, bob.name, secrets[0], secrets[1])
				}
			}
		}
	}
}

func safeExport(s *stage, a *actor, component uint16) []byte {
	s.Helper()
	switch m := a.member.(type) {
	case *ourMember:
		secret, err := m.group.SafeExportSecret(mls.ComponentID(component))
		s.must(err, "%s exports", a.name)
		if _, err := m.group.SafeExportSecret(mls.ComponentID(component)); err == nil {
			s.Errorf("%s exports the same secret twice", a.name)
		}
		return secret
	case *peerMember:
		var r struct{ Secret []byte }
		s.must(m.call("safe_export", map[string]any{"component": component}, &r), "%s exports", a.name)
		return r.Secret
	}
	s.Fatalf("no export from %T", a.member)
	return nil
}
