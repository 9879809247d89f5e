package mls

import (
	"bytes"
	"errors"
	"testing"
)

// applicationPSK returns a proposal of a component's pre-shared key.
func (c *crowd) applicationPSK(component ComponentID, id string) *PreSharedKey {
	return &PreSharedKey{PSK: PreSharedKeyID{
		Type: PSKApplication, Component: component, ID: []byte(id), Nonce: make([]byte, c.suite.HashSize()),
	}}
}

func TestApplicationPSKsAreMixedIn(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.componentPSKs[componentPSK{0x8001, "file"}] = []byte("the contents of a file")
	c.componentPSKs[componentPSK{0x8002, "file"}] = []byte("another file")
	c.psks["file"] = []byte("an external key")

	c.commit(0, CommitOptions{Proposals: []Proposal{c.applicationPSK(0x8001, "file")}, OmitPath: true})
	c.checkMessages()
	// One name in two components, and of an external key, are three keys.
	external := &PreSharedKey{PSK: PreSharedKeyID{Type: PSKExternal, ID: []byte("file")}}
	c.commit(1, CommitOptions{Proposals: []Proposal{c.applicationPSK(0x8001, "file"), c.applicationPSK(0x8002, "file"), external}})
	// A proposal waits through a restart, and the Welcome names the key.
	c.propose(2, c.applicationPSK(0x8002, "file"))
	c.restart()
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}})
	c.checkMessages()
	// Who joins from outside can bring one.
	c.joinExternal(0, c.newClient(), ExternalJoinOptions{PSKs: []PreSharedKeyID{c.applicationPSK(0x8001, "file").PSK}})
	c.checkMessages()
}

func TestApplicationPSKsThatAreNotShared(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	key := componentPSK{0x8001, "file"}
	c.componentPSKs[key] = []byte("the contents of a file")
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{c.applicationPSK(0x8001, "file")}})
	if err != nil {
		t.Fatal(err)
	}
	c.componentPSKs[key] = []byte("the contents of a changed file")
	wantCheck(t, c.refused(pending.Message()), CheckConfirmationTag)
	delete(c.componentPSKs, key)
	c.componentPSKs[componentPSK{0x8002, "file"}] = []byte("the contents of a file")
	c.psks["file"] = []byte("the contents of a file")
	if err := c.refused(pending.Message()); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("error %v, want ErrUnknownPSK", err)
	}
	c.componentPSKs[key] = []byte("the contents of a file")
	c.deliver(0, pending)
}

// Keys with the same secret, of which one is a component's, do not lead to the
// same epoch: neither type, component nor name can be mistaken.
func TestApplicationPSKsAreSeparated(t *testing.T) {
	c := emptyCrowd(t, suite1)
	nonce := make([]byte, c.suite.HashSize())
	cfg := &Config{PSK: func(PreSharedKeyID) ([]byte, error) { return []byte("the same secret"), nil }}
	seen := make(map[string]PreSharedKeyID)
	for _, id := range []PreSharedKeyID{
		{Type: PSKExternal, ID: []byte("name"), Nonce: nonce},
		{Type: PSKExternal, ID: []byte("\x80\x01\x04name"), Nonce: nonce},
		{Type: PSKApplication, Component: 0x8001, ID: []byte("name"), Nonce: nonce},
		{Type: PSKApplication, Component: 0x8002, ID: []byte("name"), Nonce: nonce},
		{Type: PSKApplication, Component: 0x8001, ID: []byte("other"), Nonce: nonce},
	} {
		secret, err := combinePSKs(cfg, c.suite, []PreSharedKeyID{id}, func(*PreSharedKeyID) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(secret)]; ok {
			t.Errorf("%+v gives the same PSK secret as %+v", id, other)
		}
		seen[string(secret)] = id
	}
}

func TestPreSharedKeyIDsThatDoNotDecode(t *testing.T) {
	good := marshal(&PreSharedKeyID{Type: PSKApplication, Component: 0x8001, ID: []byte("id"), Nonce: []byte("nonce")})
	if want := []byte("\x03\x80\x01\x02id\x05nonce"); !bytes.Equal(good, want) {
		t.Errorf("encoded as %x, want %x", good, want)
	}
	var id PreSharedKeyID
	if err := unmarshal(good, &id); err != nil || id.Component != 0x8001 || string(id.ID) != "id" || string(id.Nonce) != "nonce" {
		t.Errorf("decoded as %+v, %v", id, err)
	}
	for n := range good {
		if err := unmarshal(good[:n], new(PreSharedKeyID)); err == nil {
			t.Errorf("%x, which is cut short, is accepted", good[:n])
		}
	}
	if err := unmarshal(append(bytes.Clone(good), 0), new(PreSharedKeyID)); err == nil {
		t.Error("a trailing octet is accepted")
	}
	for _, kind := range []byte{0, 4, 255} {
		if err := unmarshal(append([]byte{kind}, good[1:]...), new(PreSharedKeyID)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("type %d: error %v, want ErrUnsupported", kind, err)
		}
	}
}

// applicationPSKRefusals breaks the rules on pre-shared keys with those of
// components.
func applicationPSKRefusals() []refusal {
	proposals := func(make func(c *crowd) []Proposal) func(t *testing.T) error {
		return func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			c.componentPSKs[componentPSK{0x8001, "key"}] = []byte("a pre-shared key")
			return c.refusedProposals(make(c)...)
		}
	}
	return []refusal{
		{CheckProposalPSKTwice, "of a component", proposals(func(c *crowd) []Proposal {
			return []Proposal{c.applicationPSK(0x8001, "key"), c.applicationPSK(0x8001, "key")}
		})},
		{CheckProposalPSKNonce, "of a component, too long", proposals(func(c *crowd) []Proposal {
			p := c.applicationPSK(0x8001, "key")
			p.PSK.Nonce = append(p.PSK.Nonce, 0)
			return []Proposal{p}
		})},
		{CheckProposalPSKNonce, "of a component, from outside", func(t *testing.T) error {
			c, signer := withExternalSender(t, 3)
			p := c.applicationPSK(0x8001, "key")
			p.PSK.Nonce = p.PSK.Nonce[1:]
			return c.refused(c.externalProposal(Sender{Type: SenderExternal}, signer, p))
		}},
		{CheckWelcomePSKNonce, "of a component", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			return c.refusedWelcome(LeafOptions{}, CommitOptions{}, func(f *forgedWelcome) {
				c.componentPSKs[componentPSK{0x8001, "key"}] = []byte("a pre-shared key")
				f.secrets.psks = []PreSharedKeyID{c.applicationPSK(0x8001, "key").PSK}
				f.secrets.psks[0].Nonce = nil
			}, nil)
		}},
	}
}
