package mls

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// joinExternal has a new client join by a commit of its own, by the GroupInfo of
// a member, and everybody process that.
func (c *crowd) joinExternal(by int, joiner *client, o ExternalJoinOptions) {
	c.t.Helper()
	pending := c.externalJoin(by, joiner, o)
	var stay []*client
	for i, m := range c.members {
		next := c.process(i, pending.Message()).(*ReceivedCommit).Group()
		if next == nil { // it was an earlier appearance of the joiner
			m.g.Erase()
			continue
		}
		m.adopt(next)
		stay = append(stay, m)
	}
	joiner.g = pending.Group()
	c.members = append(stay, joiner)
	c.checkAgreement()
}

func (c *crowd) externalJoin(by int, joiner *client, o ExternalJoinOptions) *PendingCommit {
	c.t.Helper()
	info, err := c.members[by].g.GroupInfo(GroupInfoOptions{WithoutTree: c.apart})
	if err != nil {
		c.t.Fatal(err)
	}
	if c.apart {
		o.RatchetTree = c.members[by].g.RatchetTree()
	}
	if o.Identity.Signer == nil {
		o.Identity = joiner.id
	}
	pending, err := JoinExternal(joiner.cfg, info, o)
	if err != nil {
		c.t.Fatalf("%s joins: %v", joiner.name, err)
	}
	return pending
}

func TestClientsJoinByACommitOfTheirOwn(t *testing.T) {
	for _, id := range []ciphersuite.ID{suite1, ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256, ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519} {
		for _, apart := range []bool{false, true} {
			c := newCrowd(t, id, 1)
			c.apart = apart
			for n := 1; n < 9; n++ {
				c.joinExternal(n/2, c.newClient(), ExternalJoinOptions{AuthenticatedData: []byte("hello")})
				c.commit(n/3, CommitOptions{})
			}
			c.checkMessages()
			// Into a gap, and into a tree that shrank.
			c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: c.members[4].g.OwnLeaf()}}})
			c.joinExternal(1, c.newClient(), ExternalJoinOptions{})
			c.restart()
			c.checkMessages()
		}
	}
}

func TestClientComesBackInPlaceOfItsEarlierSelf(t *testing.T) {
	for size := 1; size < 6; size++ {
		for lost := range size {
			c := newCrowd(t, suite1, size)
			for i := range c.members {
				c.commit(i, CommitOptions{})
			}
			again := c.newClient()
			again.id = c.members[lost].id
			by := (lost + 1) % size
			c.joinExternal(by, again, ExternalJoinOptions{Resync: func(l *LeafNode) bool {
				return l.Credential.Equal(again.id.Credential)
			}})
			if len(c.members) != size {
				t.Fatalf("%d members, want %d", len(c.members), size)
			}
			c.checkMessages()
		}
	}
	c := newCrowd(t, suite1, 3)
	info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
	stranger := c.newClient()
	_, err := JoinExternal(stranger.cfg, info, ExternalJoinOptions{Identity: stranger.id, Resync: func(*LeafNode) bool { return false }})
	if !errors.Is(err, ErrNoSuchMember) {
		t.Errorf("error %v, want ErrNoSuchMember", err)
	}
	// Without Resync, a second leaf with the same key is refused.
	again := c.newClient()
	_, err = JoinExternal(again.cfg, info, ExternalJoinOptions{Identity: c.members[1].id})
	wantCheck(t, err, CheckLeafSignatureKeyUnique)
}

func TestExternalCommitMixesPSKsIn(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.psks["key"] = []byte("a shared secret")
	psk := PreSharedKeyID{Type: PSKExternal, ID: []byte("key")}
	c.joinExternal(0, c.newClient(), ExternalJoinOptions{PSKs: []PreSharedKeyID{psk}})
	joiner := c.newClient()
	pending := c.externalJoin(0, joiner, ExternalJoinOptions{PSKs: []PreSharedKeyID{psk}})
	c.psks["key"] = []byte("another secret")
	_, err := c.members[0].g.Process(pending.Message())
	wantCheck(t, err, CheckConfirmationTag)
}

func TestGroupInfoServesOneEpoch(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	first, second := c.externalJoin(0, c.newClient(), ExternalJoinOptions{}), c.externalJoin(0, c.newClient(), ExternalJoinOptions{})
	for i := range c.members {
		c.members[i].adopt(c.process(i, first.Message()).(*ReceivedCommit).Group())
	}
	if _, err := c.members[1].g.Process(second.Message()); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("error %v, want ErrWrongEpoch", err)
	}
}

func TestGroupInfoHoldsWhatIsAskedFor(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	x := Extension{Type: 0xF123, Data: []byte("more")}
	for _, o := range []GroupInfoOptions{{}, {WithoutTree: true}, {WithoutExternalPub: true}, {Extensions: Extensions{x}}} {
		info, err := c.members[0].g.cfg.parseGroupInfo(must(c.members[0].g.GroupInfo(o)))
		if err != nil {
			t.Fatal(err)
		}
		_, tree := info.extensions.Find(ExtensionRatchetTree)
		_, pub := info.extensions.Find(ExtensionExternalPub)
		data, more := info.extensions.Find(x.Type)
		if tree == o.WithoutTree || pub == o.WithoutExternalPub || more != (o.Extensions != nil) || more && !bytes.Equal(data, x.Data) {
			t.Errorf("%+v: extensions are %v", o, info.extensions)
		}
	}
}

func TestProposalsMadeOutsideAreCommitted(t *testing.T) {
	c, signer := withExternalSender(t, 4)
	g := c.members[0].g
	o := ExternalProposalOptions{Suite: c.suite.ID(), GroupID: g.GroupID(), Epoch: g.Epoch(), Signer: signer, AuthenticatedData: []byte("aad")}
	c.psks["key"] = []byte("a shared secret")
	joiner := c.newClient()
	var err error
	if joiner.bundle, err = NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: c.suite.ID(), Identity: joiner.id}); err != nil {
		t.Fatal(err)
	}
	messages := [][]byte{
		must(ProposeAsExternalSender(joiner.cfg, o, &Remove{Removed: 2})),
		must(ProposeAsExternalSender(joiner.cfg, o, &PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("key")}})),
		must(joiner.bundle.ProposeJoin(joiner.cfg, g.GroupID(), g.Epoch(), nil)),
	}
	for _, message := range messages {
		for i := range c.members {
			p := c.process(i, message).(*ReceivedProposal)
			if p.Sender.Type == SenderMember {
				t.Errorf("sender is %+v", p.Sender)
			}
		}
	}
	c.invited = []*client{joiner}
	c.commit(1, CommitOptions{})
	c.checkMessages()
	if len(c.members) != 4 || c.members[0].g.tree.leafNode(2) == nil || string(c.members[0].g.tree.leafNode(2).Credential.Identity) != joiner.name {
		t.Errorf("members are %v", c.members[0].g.Members())
	}
	for _, p := range []Proposal{&Update{}, &ExternalInit{}} {
		if _, err := ProposeAsExternalSender(joiner.cfg, o, p); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: error %v, want ErrUnsupported", p.ProposalType(), err)
		}
	}
}

// memberService believes every member and no external sender.
type memberService struct{ refuse error }

func (memberService) ValidateLeaf(_, _ *LeafNode) error { return nil }

func (s memberService) ValidateExternalSender(*ExternalSender) error { return s.refuse }

// leafService does not know what an external sender is.
type leafService struct{}

func (leafService) ValidateLeaf(_, _ *LeafNode) error { return nil }

func TestExternalSendersNeedTheAuthenticationService(t *testing.T) {
	bad := errors.New("not the boss")
	senders := newCrowd(t, suite1, 1).boss()
	for _, service := range []AuthenticationService{memberService{bad}, leafService{}} {
		c := emptyCrowd(t, suite1)
		founder := c.newClient()
		founder.cfg.AuthenticationService = service
		_, err := NewGroup(founder.cfg, GroupOptions{Suite: suite1, Identity: founder.id, Extensions: Extensions{senders}})
		wantCheck(t, err, CheckExternalSenderCredential)

		c = newCrowd(t, suite1, 2)
		c.members[0].g.cfg.AuthenticationService = service
		_, err = c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{senders}}}})
		wantCheck(t, err, CheckExternalSenderCredential)

		// Those who join ask as well.
		c = newCrowd(t, suite1, 1)
		c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{senders}}}})
		joiner := c.newClient()
		joiner.cfg.AuthenticationService = service
		_, err = JoinExternal(joiner.cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{})), ExternalJoinOptions{Identity: joiner.id})
		wantCheck(t, err, CheckExternalSenderCredential)
		_, err = NewObserver(joiner.cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{})), nil)
		wantCheck(t, err, CheckExternalSenderCredential)
	}
}

func TestExternalJoinRefusesABadGroupInfo(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	g := c.members[0].g
	joiner := c.newClient()
	try := func(spoil func(*groupInfo)) error {
		info, err := g.signGroupInfo(GroupInfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spoil(info)
		if info.signature, err = c.suite.SignWithLabel(c.rand, g.signer, "GroupInfoTBS", info.toBeSigned()); err != nil {
			t.Fatal(err)
		}
		_, err = JoinExternal(joiner.cfg, marshal(&mlsMessage{wireFormat: WireFormatGroupInfo, groupInfo: info}), ExternalJoinOptions{Identity: joiner.id})
		return err
	}
	wantCheck(t, try(func(i *groupInfo) { i.extensions = i.extensions[1:] }), CheckExternalPub)
	wantCheck(t, try(func(i *groupInfo) { i.extensions[0].Data = []byte{1} }), CheckExternalPub)
	wantCheck(t, try(func(i *groupInfo) { i.extensions[0].Data = []byte{1, 1} }), CheckExternalPub)
	wantCheck(t, try(func(i *groupInfo) { i.extensions = i.extensions[:1] }), CheckTreeMissing)
	wantCheck(t, try(func(i *groupInfo) { i.signer = 1 }), CheckGroupInfoSignature)
	wantCheck(t, try(func(i *groupInfo) { i.context.treeHash = nil }), CheckTreeHash)
	if err := try(func(i *groupInfo) { i.context.cipherSuite = 0xFFFF }); !errors.As(err, new(*ciphersuite.UnsupportedError)) {
		t.Errorf("error %v, want UnsupportedError", err)
	}
	if _, err := JoinExternal(joiner.cfg, joiner.messageOfAnotherKind(t, c), ExternalJoinOptions{Identity: joiner.id}); err == nil {
		t.Error("a key package passes for a GroupInfo")
	}
}

func (m *client) messageOfAnotherKind(t *testing.T, c *crowd) []byte {
	t.Helper()
	bundle, err := NewKeyPackage(m.cfg, KeyPackageOptions{Suite: c.suite.ID(), Identity: m.id})
	if err != nil {
		t.Fatal(err)
	}
	return bundle.Message()
}
