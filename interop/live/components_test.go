package live

import (
	"errors"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// What components of an application do, as draft-ietf-mls-extensions has it, of which OpenMLS has much.

// part is a component of both, whose updates are appended to what it keeps; absent is one that keeps nothing at first.
const part, absent = 0x8001, 0x8002

// componentContext is that of a group in which part keeps "a", and whose members support AppDataUpdate, so that its
// dictionary changes by that alone.
func componentContext(t *testing.T) mls.Extensions {
	dictionary, err := mls.AppDataDictionary{
		{ID: mls.ComponentAppComponents, Data: mls.ComponentsList{part, absent}.Marshal()}, {ID: part, Data: []byte("a")},
	}.Extension()
	if err != nil {
		t.Fatal(err)
	}
	required := mls.RequiredCapabilities{
		Extensions: []mls.ExtensionType{mls.ExtensionAppDataDictionary},
		Proposals:  []mls.ProposalType{mls.ProposalAppDataUpdate, mls.ProposalAppEphemeral},
	}
	return mls.Extensions{required.Extension(), dictionary}
}

// componentPeer is a process whose members have components.
type componentPeer struct {
	*process
	context mls.Extensions
}

func (p componentPeer) NewMember(suite ciphersuite.ID, identity string) (member, error) {
	m, err := p.newMember(map[string]any{"suite": suite, "identity": []byte(identity), "components": []uint16{part, absent}})
	if err == nil {
		for _, x := range p.context {
			m.(*peerMember).context = append(m.(*peerMember).context, extension{uint16(x.Type), x.Data})
		}
	}
	return m, err
}

// withComponents calls play with the stage of each way to give two roles to OpenMLS and Mendlink.
func withComponents(t *testing.T, play func(s *stage)) {
	appended := func(old []byte, updates []mls.ComponentUpdate) ([]byte, error) {
		for _, u := range updates {
			old = append(slices.Clip(old), u.Data...)
		}
		return old, nil
	}
	context := componentContext(t)
	theirs := componentPeer{openMLS.start(t), context}
	ours := mendlink{suites: ciphersuite.Default(), context: context, selfRemove: true, components: []mls.Component{
		{ID: part, Name: "part", Update: appended}, {ID: absent, Name: "absent", Update: appended},
	}}
	for _, cast := range [][]implementation{{ours, theirs}, {theirs, ours}} {
		for _, public := range []bool{false, true} {
			play(&stage{T: t, suite: 1, roles: cast, public: public})
		}
	}
}

// componentData returns what a member's group keeps for a component, nil for nothing.
func (s *stage) componentData(a *actor, component uint16) []byte {
	s.Helper()
	switch m := a.member.(type) {
	case *ourMember:
		dictionary, err := m.group.Extensions().AppDataDictionary()
		s.must(err, "%s reads its dictionary", a.name)
		data, _ := dictionary.Find(mls.ComponentID(component))
		return data
	case *peerMember:
		var r struct{ Data []byte }
		s.must(m.call("app_data", map[string]any{"component": component}, &r), "%s reads its dictionary", a.name)
		return r.Data
	}
	s.Fatalf("no dictionary of %T", a.member)
	return nil
}

func TestOpenMLSComponentsKeepData(t *testing.T) {
	withComponents(t, func(s *stage) {
		alice := s.create()
		bob := s.add(alice, 1)[0]
		update := func(component uint16, data string) proposal {
			return proposal{AppDataUpdate: &item{component, []byte(data)}}
		}
		want := func(component uint16, data string) {
			s.Helper()
			s.agree()
			for _, a := range s.group {
				if got := s.componentData(a, component); string(got) != data {
					s.Errorf("%s has %q for component %#04x, want %q", a.name, got, component, data)
				}
			}
		}
		want(part, "a")
		s.commitWith(alice, commit{Proposals: []proposal{update(part, "b"), update(absent, "first"), update(part, "c")}})
		want(part, "abc")
		want(absent, "first")
		s.propose(bob, update(part, "d"))
		s.propose(alice, update(part, "e"))
		s.commit(bob)
		want(part, "abcde")
		removed := uint16(absent)
		s.commitWith(bob, commit{Proposals: []proposal{{AppDataRemove: &removed}}})
		want(absent, "")
		s.commitWith(alice, commit{Proposals: []proposal{{AppEphemeral: &item{part, []byte("seen and gone")}}, update(part, "f")}})
		want(part, "abcdef")
		carol := s.add(alice, 1)[0]
		want(part, "abcdef")
		s.commitWith(carol, commit{Proposals: []proposal{update(part, "g")}})
		want(part, "abcdefg")
		s.talk()
	})
}

// A commit of OpenMLS whose updates a component of ours refuses, or whose outcome it sees differently, is refused.
func TestOpenMLSUpdatesThatAComponentRefuses(t *testing.T) {
	theirs := componentPeer{openMLS.start(t), componentContext(t)}
	for name, updated := range map[string]func(old []byte, updates []mls.ComponentUpdate) ([]byte, error){
		"refuses":     func([]byte, []mls.ComponentUpdate) ([]byte, error) { return nil, errors.New("no") },
		"differently": func(old []byte, updates []mls.ComponentUpdate) ([]byte, error) { return updates[0].Data, nil },
	} {
		ours := mendlink{suites: ciphersuite.Default(), components: []mls.Component{{ID: part, Name: "part", Update: updated}, {ID: absent, Name: "absent"}}}
		s := &stage{T: t, suite: 1, roles: []implementation{theirs, ours}}
		alice := s.create()
		bob := s.add(alice, 1)[0]
		made, err := alice.Commit(commit{Proposals: []proposal{{AppDataUpdate: &item{part, []byte("b")}}}})
		s.must(err, "alice commits")
		if _, err := bob.Process(made.Message); err == nil {
			t.Errorf("%s: the commit is accepted", name)
		}
		s.agree() // in the epoch before
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

// Members of either implementation leave by themselves, and members of either commit it.
func TestOpenMLSMembersRemoveThemselves(t *testing.T) {
	withComponents(t, func(s *stage) {
		alice := s.create()
		others := s.add(alice, 3)
		s.propose(others[0], proposal{SelfRemove: true})
		s.commit(alice)
		if len(s.group) != 3 {
			s.Fatalf("%d members are left, want 3", len(s.group))
		}
		s.propose(alice, proposal{SelfRemove: true})
		s.commit(others[2]) // of the other implementation than the one that committed before
		if len(s.group) != 2 {
			s.Fatalf("%d members are left, want 2", len(s.group))
		}
		s.talk()
	})
}

// In a group whose GroupContext asks for it, all that is authenticated is a SafeAAD, and its items arrive.
func TestOpenMLSSafeAAD(t *testing.T) {
	dictionary, err := mls.AppDataDictionary{{ID: mls.ComponentSafeAAD, Data: mls.ComponentsList{}.Marshal()}}.Extension()
	if err != nil {
		t.Fatal(err)
	}
	context := mls.Extensions{dictionary}
	theirs := componentPeer{openMLS.start(t), context}
	ours := mendlink{suites: ciphersuite.Default(), context: context, components: []mls.Component{{ID: part, Name: "part"}, {ID: absent, Name: "absent"}}}
	for _, cast := range [][]implementation{{ours, theirs}, {theirs, ours}} {
		s := &stage{T: t, suite: 1, roles: cast}
		alice := s.create()
		bob := s.add(alice, 1)[0]
		s.commit(bob)
		s.commit(alice)
		for _, said := range []mls.SafeAAD{nil, {{ID: part, Data: []byte("of a part")}}, {{ID: part, Data: nil}, {ID: absent, Data: []byte("of another")}}} {
			for _, way := range [][2]*actor{{alice, bob}, {bob, alice}} {
				message := s.protectWith(way[0], said)
				component := mls.ComponentID(part)
				if len(said) > 1 {
					component = absent
				}
				want, _ := said.Find(component)
				if got := s.itemOf(way[1], message, component); string(got) != string(want) {
					t.Errorf("%s hears %q of component %#04x, want %q", way[1].name, got, uint16(component), want)
				}
			}
		}
	}
}

// protectWith has a member send a message with a SafeAAD.
func (s *stage) protectWith(a *actor, said mls.SafeAAD) (message []byte) {
	s.Helper()
	switch m := a.member.(type) {
	case *ourMember:
		aad, err := said.Marshal()
		s.must(err, "marshalling a SafeAAD")
		message, err = m.group.Protect([]byte("hello"), aad)
		s.must(err, "%s sends a message", a.name)
	case *peerMember:
		items := []item{}
		for _, i := range said {
			items = append(items, item{uint16(i.ID), i.Data})
		}
		var err error
		message, err = m.message("protect", map[string]any{"data": []byte("hello"), "safe_aad": items})
		s.must(err, "%s sends a message", a.name)
	}
	return message
}

// itemOf has a member process an application message, and returns the item of a component in its SafeAAD.
func (s *stage) itemOf(a *actor, message []byte, component mls.ComponentID) []byte {
	s.Helper()
	switch m := a.member.(type) {
	case *ourMember:
		received, err := m.group.Process(message)
		s.must(err, "%s processes a message", a.name)
		said, err := mls.ParseSafeAAD(received.(*mls.ReceivedApplication).AuthenticatedData)
		s.must(err, "%s reads a SafeAAD", a.name)
		data, _ := said.Find(component)
		return data
	case *peerMember:
		var r struct {
			SafeAAD []byte `json:"safe_aad"`
		}
		s.must(m.call("process", map[string]any{"message": message, "component": component}, &r), "%s processes a message", a.name)
		return r.SafeAAD
	}
	s.Fatalf("no message for %T", a.member)
	return nil
}
