package mls

import (
	"crypto"
	"io"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// countingSigner counts the signatures that it makes.
type countingSigner struct {
	crypto.Signer
	made int
}

func (s *countingSigner) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.made++
	return s.Signer.Sign(rand, digest, o)
}

func TestWelcomeOnlyLeadsIntoTheSameGroup(t *testing.T) {
	for _, withPath := range []bool{false, true} {
		c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 1)
		o := CommitOptions{OmitPath: !withPath, WelcomeOnly: true, Proposals: []Proposal{c.invite(LeafOptions{}), c.invite(LeafOptions{})}}
		counting := &countingSigner{Signer: c.members[0].g.signer}
		c.members[0].g.signer = counting
		pending, err := c.members[0].g.Commit(o)
		if err != nil {
			t.Fatal(err)
		}
		want := 1 // the GroupInfo
		if withPath {
			want++ // the leaf
		}
		if counting.made != want {
			t.Errorf("%d signatures, want %d", counting.made, want)
		}
		state, err := pending.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		restored, err := RestorePendingCommit(c.members[0].cfg, counting, state)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]*PendingCommit{"made": pending, "restored": restored} {
			if len(p.Message()) != 0 || p.Is(nil) || p.Is([]byte{}) {
				t.Errorf("%s: there is a message: %x", name, p.Message())
			}
		}
		restored.Erase()
		c.deliver(0, pending)
		c.checkAgreement()
		c.checkMessages()
		c.commit(1, CommitOptions{})
	}
}

// Members who are there already need the commit.
func TestWelcomeOnlyIsRefusedWhereTheCommitIsNeeded(t *testing.T) {
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 2)
	g := c.members[0].g
	before := mustMarshal(t, g)
	if _, err := g.Commit(CommitOptions{WelcomeOnly: true, Proposals: []Proposal{c.invite(LeafOptions{})}}); err == nil {
		t.Error("a member is left behind")
	}
	if _, err := g.Commit(CommitOptions{WelcomeOnly: true, Proposals: []Proposal{&Remove{Removed: 1}}}); err == nil {
		t.Error("a member who is removed is not told")
	}
	alone := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 1)
	if _, err := alone.members[0].g.Commit(CommitOptions{WelcomeOnly: true}); err == nil {
		t.Error("there is no Welcome")
	}
	wantEqual(t, "the state after refusals", mustMarshal(t, g), before)
	c.invited = nil
	c.commit(1, CommitOptions{})
}

func TestWelcomeOnlyChecksTheAuthenticatedData(t *testing.T) {
	c := emptyCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	speaking := Extensions{mustExtension(AppDataDictionary{{ComponentSafeAAD, ComponentsList{0x8001}.Marshal()}})}
	leaf := LeafOptions{Extensions: speaking}
	c.found(GroupOptions{Extensions: speaking, Leaf: leaf})
	o := CommitOptions{WelcomeOnly: true, Proposals: []Proposal{c.invite(leaf)}, AuthenticatedData: []byte("no SafeAAD")}
	_, err := c.members[0].g.Commit(o)
	wantCheck(t, err, CheckSafeAAD)
}
