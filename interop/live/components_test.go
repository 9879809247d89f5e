package live

import (
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// What components of an application do, as draft-ietf-mls-extensions has it, of which OpenMLS has much.

// withComponents calls play with the stage of each way to give two roles to OpenMLS and Mendlink.
func withComponents(t *testing.T, play func(s *stage)) {
	theirs, ours := openMLS.start(t), mendlink{suites: ciphersuite.Default()}
	for _, cast := range [][]implementation{{ours, theirs}, {theirs, ours}} {
		for _, public := range []bool{false, true} {
			play(&stage{T: t, suite: 1, roles: cast, public: public})
		}
	}
}

func TestOpenMLSPreSharedKeysOfComponents(t *testing.T) {
	withComponents(t, func(s *stage) {
		alice := s.create()
		bob := s.add(alice, 1)[0]
		for _, component := range []uint16{1, 0x8001} { // the same name twice, of two keys
			secret := []byte{byte(component), 1, 2, 3}
			for _, a := range []*actor{alice, bob} {
				addComponentPSK(s, a, component, []byte("name"), secret)
			}
		}
		before := s.agree()
		s.commitWith(alice, commit{Proposals: []proposal{{AppPSK: &item{1, []byte("name")}}}})
		s.agree()
		s.propose(bob, proposal{AppPSK: &item{0x8001, []byte("name")}})
		s.commit(alice)
		if after := s.agree(); after.Epoch != before.Epoch+2 {
			s.Errorf("epoch %d after two commits in epoch %d", after.Epoch, before.Epoch)
		}
		s.talk()
	})
}

func addComponentPSK(s *stage, a *actor, component uint16, id, secret []byte) {
	s.Helper()
	switch m := a.member.(type) {
	case *ourMember:
		m.psks[componentPSK(component, id)] = secret
	case *peerMember:
		s.must(m.call("app_psk", map[string]any{"component": component, "id": id, "secret": secret}, nil), "%s takes a key", a.name)
	}
}
