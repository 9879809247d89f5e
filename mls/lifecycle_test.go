package mls

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// forEachFormat runs test with encrypted and with public handshake messages.
func forEachFormat(t *testing.T, test func(*testing.T, WireFormat)) {
	for _, f := range []WireFormat{WireFormatPrivateMessage, WireFormatPublicMessage} {
		t.Run(f.String(), func(t *testing.T) { test(t, f) })
	}
}

func TestEverySuiteCarriesAGroupThroughItsLife(t *testing.T) {
	ids := ciphersuite.Default().IDs()
	if len(ids) != 18 {
		t.Errorf("%d suites, want 18", len(ids))
	}
	for _, id := range ids {
		t.Run(id.String(), func(t *testing.T) {
			t.Parallel()
			forEachFormat(t, func(t *testing.T, f WireFormat) {
				c := emptyCrowd(t, id)
				c.format, c.apart = f, f == WireFormatPublicMessage
				c.found(GroupOptions{})
				c.add(0, 1)
				c.checkMessages()
				for by := range 2 {
					c.commit(by, CommitOptions{})
					c.checkMessages()
				}
				c.restart()
				c.add(1, 1)
				c.proposeUpdate(2, LeafChanges{})
				c.propose(2, &Remove{Removed: c.members[1].g.OwnLeaf()})
				c.commit(0, CommitOptions{})
				c.checkMessages()
				if len(c.members) != 2 {
					t.Errorf("%d members, want 2", len(c.members))
				}
			})
		})
	}
}

func TestGroupsOfAllSizesHealInTurn(t *testing.T) {
	for _, n := range []int{2, 3, 5, 8, 17} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, suite1, n)
			c.checkMessages()
			for by := range n {
				c.commit(by, CommitOptions{})
				if by%4 == 0 {
					c.checkMessages()
				}
			}
			if got := c.members[0].g.Epoch(); got != uint64(n+1) {
				t.Errorf("epoch %d, want %d", got, n+1)
			}
			for x, p := range c.members[0].g.tree.nodes {
				if n&(n-1) == 0 && p.blank() {
					t.Errorf("node %d is blank after everybody's commit", x)
				}
			}
		})
	}
}

func TestMembersJoinOneByOne(t *testing.T) {
	c := newCrowd(t, suite1, 1)
	for n := 1; n < 10; n++ {
		c.format, c.apart = WireFormat(1+n%2), n%3 == 0
		c.add(n-1, 1) // the newest adds the next
		c.checkMessages()
	}
}

func TestAddWithoutPathLetsTheNewMembersIn(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	before := c.members[0].g.tree.rootHash(c.suite)
	keys := bytes.Clone(c.members[0].g.tree.leafNode(0).EncryptionKey)
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{}), c.invite(LeafOptions{})}, OmitPath: true})
	c.checkMessages()
	g := c.members[0].g
	if bytes.Equal(g.tree.rootHash(c.suite), before) || !bytes.Equal(g.tree.leafNode(0).EncryptionKey, keys) {
		t.Error("a commit without a path has to add the members and keep the committer's key")
	}
	c.commit(4, CommitOptions{})
	c.checkMessages()
}

func TestOmittedPathIsThereWhereTheProposalsNeedIt(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}, OmitPath: true})
	if err != nil {
		t.Fatal(err)
	}
	if received := c.process(1, pending.Message()).(*ReceivedCommit); !received.HasPath {
		t.Error("a commit of a Remove has no path")
	}
}

func TestUpdatesByProposalReplaceTheLeaf(t *testing.T) {
	forEachFormat(t, func(t *testing.T, f WireFormat) {
		c := newCrowd(t, suite1, 4)
		c.format = f
		before := slices.Clone(c.members[0].g.Members())
		c.proposeUpdate(1, LeafChanges{})
		c.proposeUpdate(3, LeafChanges{})
		c.commit(0, CommitOptions{})
		for i, m := range c.members[0].g.Members() {
			kept := bytes.Equal(m.Leaf.EncryptionKey, before[i].Leaf.EncryptionKey)
			if want := i == 2; kept != want {
				t.Errorf("leaf %d kept its key: %v, want %v", i, kept, want)
			}
		}
		c.checkMessages()
		for by := range c.members {
			c.commit(by, CommitOptions{})
		}
		c.checkMessages()
	})
}

func TestUpdateSurvivesACommitThatIsDropped(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.proposeUpdate(1, LeafChanges{})
	lost, err := c.members[0].g.Commit(CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.process(1, lost.Message()).(*ReceivedCommit).Erase()
	lost.Erase()
	c.commit(2, CommitOptions{})
	c.checkMessages()
	c.commit(1, CommitOptions{})
	c.commit(0, CommitOptions{})
	c.checkMessages()
}

func TestLeafChangesReachEverybody(t *testing.T) {
	for _, how := range []string{"commit", "update", "update and restart"} {
		t.Run(how, func(t *testing.T) {
			c := newCrowd(t, suite1, 3)
			signer, err := c.suite.GenerateSigner(c.rand)
			if err != nil {
				t.Fatal(err)
			}
			capabilities := c.members[0].g.tree.leafNode(1).Capabilities
			capabilities.Extensions = append(capabilities.Extensions, 0x8001)
			changes := LeafChanges{
				Identity:     &Identity{Credential: BasicCredential([]byte("another name")), Signer: signer},
				Capabilities: &capabilities,
				Extensions:   &Extensions{{Type: 0x8001, Data: []byte{1}}},
			}
			switch how {
			case "commit":
				c.commit(1, CommitOptions{Leaf: changes})
			case "update":
				c.proposeUpdate(1, changes)
				c.commit(2, CommitOptions{})
			case "update and restart":
				// The saved state cannot hold the new signer: the proposal is
				// forgotten, and the commit that refers to it is out of reach.
				c.proposeUpdate(1, changes)
				restored, err := RestoreGroup(c.members[1].cfg, c.members[1].id.Signer, mustMarshal(t, c.members[1].g))
				if err != nil {
					t.Fatal(err)
				}
				pending, err := c.members[2].g.Commit(CommitOptions{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = restored.Process(pending.Message())
				wantCheck(t, err, CheckProposalUnknownRef)
				return
			}
			leaf := c.members[0].g.tree.leafNode(1)
			if string(leaf.Credential.Identity) != "another name" || len(leaf.Extensions) != 1 || !slices.Contains(leaf.Capabilities.Extensions, 0x8001) {
				t.Errorf("leaf is %+v", leaf)
			}
			c.checkMessages()
			c.restart()
			c.commit(1, CommitOptions{})
			c.checkMessages()
		})
	}
}

func TestRemovedMembersAreOutAndTheTreeShrinks(t *testing.T) {
	forEachFormat(t, func(t *testing.T, f WireFormat) {
		c := newCrowd(t, suite1, 9)
		c.format = f
		for by := range c.members {
			c.commit(by, CommitOptions{})
		}
		removed := c.members[8]
		stale := removed.clone(t)
		c.commit(3, CommitOptions{Proposals: []Proposal{&Remove{Removed: 8}}})
		if size := c.members[0].g.tree.size; size != 8 {
			t.Errorf("tree of %d leaves, want 8", size)
		}
		c.checkMessages()
		message, err := c.members[0].g.Protect([]byte("secret"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stale.Process(message); !errors.Is(err, ErrWrongEpoch) {
			t.Errorf("error %v, want ErrWrongEpoch", err)
		}

		// A hole in the middle is filled by the next member.
		c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}, &Remove{Removed: 5}}})
		c.add(c.at(7), 1)
		if c.members[6].g.OwnLeaf() != 2 {
			t.Errorf("new member at leaf %d, want 2", c.members[6].g.OwnLeaf())
		}
		c.checkMessages()

		// In one commit a member goes and another takes its leaf.
		c.commit(c.at(7), CommitOptions{Proposals: []Proposal{&Remove{Removed: 3}, c.invite(LeafOptions{}), c.invite(LeafOptions{})}})
		c.checkMessages()
		for len(c.members) > 1 {
			last := c.members[len(c.members)-1].g.OwnLeaf()
			c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: last}}})
		}
		if size := c.members[0].g.tree.size; size != 1 {
			t.Errorf("tree of %d leaves, want 1", size)
		}
		c.commit(0, CommitOptions{})
		c.add(0, 2)
		c.checkMessages()
	})
}

func TestRemovedMemberLearnsOfIt(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 1}}, AuthenticatedData: []byte("bye")})
	if err != nil {
		t.Fatal(err)
	}
	received := c.process(1, pending.Message()).(*ReceivedCommit)
	if received.Group() != nil {
		t.Error("a removed member is in the next epoch")
	}
	received.Erase()
	if string(received.AuthenticatedData) != "bye" || received.Sender != (Sender{Type: SenderMember}) || len(received.Proposals) != 1 || received.Proposals[0].ByReference {
		t.Errorf("received %+v", received)
	}
}

func TestReceivedHandshakeMessagesSayWhatTheyHold(t *testing.T) {
	forEachFormat(t, func(t *testing.T, f WireFormat) {
		c := newCrowd(t, suite1, 3)
		message, err := c.members[1].g.Propose(&Remove{Removed: 2}, ProposeOptions{WireFormat: f, AuthenticatedData: []byte("why")})
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(message)
		if err != nil || h.WireFormat != f || h.Epoch != 1 || h.ContentType != ContentProposal || !bytes.Equal(h.GroupID, c.members[0].g.GroupID()) {
			t.Errorf("header %+v, %v", h, err)
		}
		p := c.process(0, message).(*ReceivedProposal)
		if p.Sender != (Sender{Type: SenderMember, Leaf: 1}) || string(p.AuthenticatedData) != "why" || p.Proposal.(*Remove).Removed != 2 {
			t.Errorf("received %+v", p)
		}
		c.process(2, message)
		pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: f, AuthenticatedData: []byte("so be it")})
		if err != nil {
			t.Fatal(err)
		}
		received := c.process(1, pending.Message()).(*ReceivedCommit)
		if received.Sender != (Sender{Type: SenderMember}) || string(received.AuthenticatedData) != "so be it" || !received.HasPath ||
			len(received.Proposals) != 1 || !received.Proposals[0].ByReference || received.Proposals[0].Sender.Leaf != 1 {
			t.Errorf("received %+v", received)
		}
	})
}

func TestPendingProposalsCanBeLeftOut(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.propose(1, &Remove{Removed: 2})
	c.commit(0, CommitOptions{WithoutPending: true})
	if len(c.members) != 3 {
		t.Errorf("%d members, want 3", len(c.members))
	}
	c.commit(0, CommitOptions{}) // proposals end with their epoch
	if len(c.members) != 3 {
		t.Errorf("%d members, want 3", len(c.members))
	}
}

func TestMessagesOutOfOrderAndLost(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	a, b := c.members[0].g, c.members[1].g
	var messages [][]byte
	for i := range 12 {
		m, err := a.Protect([]byte{byte(i)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
	for _, i := range []int{3, 0, 2, 9, 1, 11, 4} { // the others are lost
		received, err := b.Process(messages[i])
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if got := received.(*ReceivedApplication).Data; !bytes.Equal(got, []byte{byte(i)}) {
			t.Errorf("message %d holds %x", i, got)
		}
		if _, err := b.Process(messages[i]); !errors.Is(err, ErrKeyConsumed) {
			t.Errorf("message %d again: %v, want %v", i, err, ErrKeyConsumed)
		}
	}
	c.restart()
	if _, err := c.members[1].g.Process(messages[10]); err != nil {
		t.Errorf("message 10 after a restart: %v", err)
	}
	if _, err := c.members[1].g.Process(messages[11]); !errors.Is(err, ErrKeyConsumed) {
		t.Errorf("message 11 again after a restart: %v, want %v", err, ErrKeyConsumed)
	}
	c.commit(1, CommitOptions{})
	c.checkMessages()
}

func TestMessagesOfThePastEpochWhileItIsKept(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	old := c.members[1].g
	late, err := c.members[0].g.Protect([]byte("late"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := c.members[0].g.Commit(CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := c.process(1, pending.Message()).(*ReceivedCommit).Group()
	if _, err := next.Process(late); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("error %v, want ErrWrongEpoch", err)
	}
	if _, err := old.Process(late); err != nil {
		t.Error(err)
	}
	old.Erase()
	if _, err := old.Process(late); !errors.Is(err, ErrErased) {
		t.Errorf("error %v, want ErrErased", err)
	}
	c.members[0].adopt(pending.Group())
	c.members[1].g = next
	c.checkAgreement()
	c.checkMessages()
}

func TestPaddingHidesTheLength(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	c.members[0].g.cfg.Padding = func(n int) int { return 255 - (n+255)%256 }
	lengths := make(map[int]bool)
	for n := range 100 {
		data := bytes.Repeat([]byte{1}, n)
		m, err := c.members[0].g.Protect(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		lengths[len(m)] = true
		if got := c.process(1, m).(*ReceivedApplication).Data; !bytes.Equal(got, data) {
			t.Errorf("%d octets came, want %d", len(got), n)
		}
	}
	if len(lengths) != 1 {
		t.Errorf("lengths %v, want one", lengths)
	}
	c.commit(0, CommitOptions{})
	c.members[0].g.cfg.Padding = func(int) int { return -1 }
	c.checkMessages()
}

func TestCommitsCrossAndOneWins(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	pending := make([]*PendingCommit, 2)
	for i := range pending {
		var err error
		if pending[i], err = c.members[i].g.Commit(CommitOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pending[1].Erase()
	c.deliver(0, pending[0])
	c.checkMessages()
	if _, err := c.members[2].g.Process(pending[1].Message()); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("error %v, want ErrWrongEpoch", err)
	}
	c.commit(1, CommitOptions{})
	c.checkMessages()
}

func TestACommitIsDroppedAndMadeAgain(t *testing.T) {
	forEachFormat(t, func(t *testing.T, f WireFormat) {
		c := newCrowd(t, suite1, 3)
		c.format = f
		var made []*PendingCommit
		for range 3 {
			p, err := c.members[0].g.Commit(CommitOptions{WireFormat: f, Proposals: []Proposal{&Remove{Removed: 2}}})
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, p)
		}
		made[0].Erase()
		// Whether the others look at the dropped ones or not: the last counts.
		c.process(1, made[1].Message()).(*ReceivedCommit).Erase()
		made[1].Erase()
		made[1].Erase()
		c.checkAgreement()
		c.checkMessages()
		c.deliver(0, made[2])
		c.checkMessages()
	})
}

func TestPreSharedKeysAreMixedIn(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	c.psks["a"], c.psks["b"] = []byte("the first secret"), []byte("the second secret, which is longer")
	nonce := func(b byte) []byte { return bytes.Repeat([]byte{b}, c.suite.HashSize()) }
	external := func(id string, n byte) *PreSharedKey {
		return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKExternal, ID: []byte(id), Nonce: nonce(n)}}
	}
	resumption := func(epoch uint64) *PreSharedKey {
		return &PreSharedKey{PSK: PreSharedKeyID{
			Type: PSKResumption, Usage: ResumptionApplication, Group: c.members[0].g.GroupID(), Epoch: epoch, Nonce: nonce(9),
		}}
	}

	c.commit(0, CommitOptions{Proposals: []Proposal{external("a", 1)}}) // epoch 2
	c.commit(1, CommitOptions{Proposals: []Proposal{external("b", 1), external("a", 1), external("a", 2)}, OmitPath: true})
	c.propose(0, external("a", 3))
	c.commit(1, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}}) // epoch 4: a Welcome with a PSK
	c.checkMessages()
	c.commit(2, CommitOptions{Proposals: []Proposal{resumption(4)}}) // the current one
	c.checkMessages()

	// Epochs 3 and 4 are at hand at the two elder members, 2 at nobody.
	c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}, resumption(4)}})
	c.restart()
	c.commit(0, CommitOptions{Proposals: []Proposal{resumption(5), resumption(6)}})
	c.checkMessages()
	if _, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{resumption(4)}}); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("error %v, want ErrUnknownPSK", err)
	}

	// Different keys under the same name are found out.
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{external("a", 5)}})
	if err != nil {
		t.Fatal(err)
	}
	c.psks["a"] = []byte("the wrong secret")
	_, err = c.members[1].g.Process(pending.Message())
	wantCheck(t, err, CheckConfirmationTag)
	delete(c.psks, "a")
	if _, err = c.members[1].g.Process(pending.Message()); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("error %v, want ErrUnknownPSK", err)
	}
	pending.Erase()
	c.commit(1, CommitOptions{})
	c.checkMessages()
}

func TestContextExtensionsChange(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	required := RequiredCapabilities{Proposals: []ProposalType{ProposalAdd}, Credentials: []CredentialType{CredentialBasic}}
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{required.Extension()}}}})
	c.checkMessages()
	c.add(1, 1)
	for _, m := range c.members {
		if _, ok := m.g.Extensions().Find(ExtensionRequiredCapabilities); !ok {
			t.Errorf("%s: no required_capabilities", m.name)
		}
	}
	c.commit(2, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{}}})
	c.checkMessages()
	if len(c.members[0].g.Extensions()) != 0 {
		t.Errorf("extensions %v, want none", c.members[0].g.Extensions())
	}
}

func TestReInitClosesTheGroup(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	reInit := &ReInit{GroupID: []byte("the next group"), Version: MLS10, CipherSuite: suite1}
	c.commit(0, CommitOptions{Proposals: []Proposal{reInit}, OmitPath: true})
	c.restart()
	for _, m := range c.members {
		if got := m.g.ReInit(); got == nil || string(got.GroupID) != "the next group" {
			t.Errorf("%s: ReInit is %v", m.name, got)
		}
		_, commitErr := m.g.Commit(CommitOptions{})
		_, protectErr := m.g.Protect(nil, nil)
		_, proposeErr := m.g.Propose(&Remove{Removed: 1}, ProposeOptions{})
		_, updateErr := m.g.ProposeUpdate(LeafChanges{}, ProposeOptions{})
		_, processErr := m.g.Process(nil)
		for _, err := range []error{commitErr, protectErr, proposeErr, updateErr, processErr} {
			if !errors.Is(err, ErrInactive) {
				t.Errorf("%s: error %v, want ErrInactive", m.name, err)
			}
		}
		if _, err := m.g.Export("label", nil, 32); err != nil {
			t.Errorf("%s: a closed group still exports: %v", m.name, err)
		}
	}
}

func TestRestoredGroupsBehaveTheSame(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.found(GroupOptions{GroupID: []byte("group"), Extensions: Extensions{(&RequiredCapabilities{}).Extension()}})
	c.restart()
	c.add(0, 3)
	c.restart()
	c.checkMessages()
	c.restart()
	c.propose(1, &Remove{Removed: 3})
	c.proposeUpdate(2, LeafChanges{})
	c.restart()
	c.commit(0, CommitOptions{})
	c.restart()
	c.checkMessages()
	c.commit(2, CommitOptions{})
	c.checkMessages()
	if len(c.members) != 3 {
		t.Errorf("%d members, want 3", len(c.members))
	}
}

func TestErasingAUsedKeyPackageLeavesTheGroupAlone(t *testing.T) {
	c := newCrowd(t, suite1, 1)
	add := c.invite(LeafOptions{})
	joiner := c.invited[0]
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{add}})
	if err != nil {
		t.Fatal(err)
	}
	c.deliver(0, pending)
	joiner.bundle.Erase()
	joiner.bundle.Erase()
	c.commit(0, CommitOptions{})
	if _, err := Join(joiner.cfg, pending.Welcome(), joiner.bundle, JoinOptions{}); !errors.Is(err, ErrErased) {
		t.Errorf("joining again with the same key package: %v", err)
	}
}

func TestLateJoinerReadsOnlyWhatComesAfter(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	before, err := c.members[0].g.Protect([]byte("before"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.process(1, before)
	for range 5 {
		c.commit(0, CommitOptions{})
	}
	old := c.members[0].clone(t)
	c.add(1, 1)
	joiner := c.members[2].g
	if joiner.Epoch() != 7 {
		t.Errorf("epoch %d, want 7", joiner.Epoch())
	}
	inOldEpoch, err := old.Protect([]byte("in the epoch before"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range [][]byte{before, inOldEpoch} {
		if _, err := joiner.Process(message); !errors.Is(err, ErrWrongEpoch) {
			t.Errorf("error %v, want ErrWrongEpoch", err)
		}
	}
	c.checkMessages()
	c.commit(2, CommitOptions{})
	c.checkMessages()
}

func TestCredentialsCompareByAllOfTheirContents(t *testing.T) {
	x509 := func(der ...[]byte) Credential { return Credential{Type: CredentialX509, Certificates: der} }
	different := []Credential{
		BasicCredential([]byte("a")), BasicCredential([]byte("b")), {Type: CredentialX509, Identity: []byte("a")},
		x509([]byte{1}), x509([]byte{2}), x509([]byte{1}, []byte{2}),
	}
	for i, a := range different {
		for j, b := range different {
			if a.Equal(b) != (i == j) {
				t.Errorf("%v equals %v: %v", a, b, a.Equal(b))
			}
		}
	}
}

// New members get the path secret in the Welcome, so the path is not encrypted
// to them, wherever they are. RFC 9420, Section 12.4.1.
func TestPathsAreNotEncryptedToNewMembers(t *testing.T) {
	c := newCrowd(t, suite1, 7)
	for by := range c.members {
		c.commit(by, CommitOptions{})
	}
	// Leaf 7 becomes an unmerged leaf of node 11, leaf 8 fills a new half.
	pending, err := c.members[0].g.Commit(CommitOptions{
		Proposals:  []Proposal{c.invite(LeafOptions{}), c.invite(LeafOptions{})},
		WireFormat: WireFormatPublicMessage,
	})
	if err != nil {
		t.Fatal(err)
	}
	var m mlsMessage
	mustUnmarshal(t, pending.Message(), &m)
	var got []int
	for _, n := range m.publicMessage.content.commit.path.nodes {
		got = append(got, len(n.pathSecrets))
	}
	if want := []int{1, 1, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("ciphertexts by node: %v, want %v", got, want)
	}
	if unmerged := pending.Group().tree.nodes[11].parent.unmergedLeaves; !slices.Equal(unmerged, []LeafIndex{7}) {
		t.Errorf("unmerged leaves of node 11: %v, want leaf 7", unmerged)
	}
	c.deliver(0, pending)
	c.checkMessages()
}

// Members with both kinds of credentials, and with GREASE (RFC 9420, Section
// 13.5) wherever a list of code points can hold it.
func TestMembersOfManyKindsLiveTogether(t *testing.T) {
	kinds := LeafOptions{
		Capabilities: Capabilities{
			Versions:     []ProtocolVersion{MLS10, 0x0a0a},
			CipherSuites: []ciphersuite.ID{0x1a1a, suite1},
			Extensions:   []ExtensionType{0x2a2a, 0x8001},
			Proposals:    []ProposalType{0x3a3a},
			Credentials:  []CredentialType{0x4a4a, CredentialX509, CredentialBasic},
		},
		Extensions: Extensions{{Type: 0x2a2a, Data: []byte("grease")}, {Type: ExtensionApplicationID, Data: []byte("app")}},
	}
	c := emptyCrowd(t, suite1)
	c.found(GroupOptions{Leaf: kinds, Extensions: Extensions{{Type: 0x8001}}})
	certified := c.newClient()
	certified.id.Credential = Credential{Type: CredentialX509, Certificates: [][]byte{[]byte("a certificate"), []byte("its issuer's")}}
	var err error
	certified.bundle, err = NewKeyPackage(certified.cfg, KeyPackageOptions{Suite: suite1, Identity: certified.id, Leaf: kinds})
	if err != nil {
		t.Fatal(err)
	}
	// Others may not list what they put into a key package.
	k := certified.bundle.KeyPackage()
	k.Extensions = Extensions{{Type: 0x5a5a, Data: []byte{1}}}
	c.signKeyPackage(k, certified.id, false)
	basic := c.invite(kinds)
	c.invited = append(c.invited, certified)
	c.commit(0, CommitOptions{Proposals: []Proposal{basic, &Add{certified.bundle.KeyPackage()}}})
	c.checkMessages()
	c.restart()
	for by := range c.members {
		c.commit(by, CommitOptions{})
	}
	c.checkMessages()
	if !c.members[0].g.Members()[2].Leaf.Credential.Equal(certified.id.Credential) {
		t.Errorf("credential of leaf 2: %+v", c.members[0].g.Members()[2].Leaf.Credential)
	}
}

// asked is an AuthenticationService that records what it is asked about.
type asked struct{ leaves []string }

func (a *asked) ValidateLeaf(leaf, previous *LeafNode) error {
	s := string(leaf.Credential.Identity)
	if previous != nil {
		s += " for " + string(previous.Credential.Identity)
	}
	a.leaves = append(a.leaves, s)
	return nil
}

func TestAuthenticationServiceIsAskedAboutEveryLeafThatComesOrChanges(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	observer := &asked{}
	c.members[1].g.cfg.AuthenticationService = observer
	want := func(what string, leaves ...string) {
		t.Helper()
		slices.Sort(observer.leaves)
		if !slices.Equal(observer.leaves, leaves) {
			t.Errorf("%s: asked about %q, want %q", what, observer.leaves, leaves)
		}
		observer.leaves = nil
	}
	c.add(0, 1)
	want("add", "client 0 for client 0", "client 3")
	c.proposeUpdate(2, LeafChanges{Identity: &Identity{Credential: BasicCredential([]byte("new name")), Signer: c.members[2].id.Signer}})
	c.proposeUpdate(1, LeafChanges{})
	want("proposals")
	c.commit(3, CommitOptions{})
	want("commit of updates", "client 3 for client 3", "new name for client 2")
	c.commit(1, CommitOptions{})
	want("own commit")
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}, OmitPath: true})
	want("commit without a path", "client 4")

	message, _ := c.externalCommit(nil, nil)
	c.process(1, message)
	want("external commit", "client 5")
	message, _ = c.externalCommit([]LeafIndex{3}, nil)
	c.process(1, message)
	want("external commit in the place of another", "client 6 for client 3")

	c.invite(LeafOptions{})
	joiner := c.invited[0]
	joiner.cfg.AuthenticationService = observer
	c.commit(0, CommitOptions{Proposals: []Proposal{&Add{joiner.bundle.KeyPackage()}}})
	want("join", "client 0", "client 0 for client 0", "client 1", "client 3", "client 4", "client 7", "new name")
}

// Different Groups may be used at the same time, also those of one member. The
// race detector is to see this.
func TestSuccessiveEpochsCanBeUsedAtTheSameTime(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.rand = rand.Reader
	c.found(GroupOptions{})
	c.add(0, 3)
	a, b := c.members[0].g, c.members[1].g
	var messages [][]byte
	for range 20 {
		m, err := a.Protect(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
	var next []*Group
	for range 4 {
		pending, err := a.Commit(CommitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		next = append(next, pending.Group(), c.process(1, pending.Message()).(*ReceivedCommit).Group())
	}
	var wait sync.WaitGroup
	for _, g := range next {
		wait.Go(func() {
			for range 5 {
				pending, err := g.Commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 3}}})
				if err != nil {
					t.Error(err)
					return
				}
				pending.Erase()
			}
			g.Erase()
		})
	}
	wait.Go(func() {
		for _, m := range messages {
			if _, err := b.Process(m); err != nil {
				t.Error(err)
			}
		}
		b.Erase()
	})
	wait.Wait()
	if _, err := a.Commit(CommitOptions{}); err != nil {
		t.Error(err)
	}
}

// The same where the trees of both have an Update that was restored.
func TestARestoredUpdateIsVerifiedOnce(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.rand = rand.Reader
	c.found(GroupOptions{})
	c.add(0, 2)
	c.proposeUpdate(2, LeafChanges{})
	g := c.members[0].clone(t)
	pending, err := g.Commit(CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next := pending.Group()
	if u, ok := g.proposals[0].proposal.(*Update); !ok || next.tree.leafNode(2) != u.LeafNode || !g.proposals[0].verified {
		t.Error("the leaf that was proposed is not in the next epoch, or will be verified again")
	}
	var wait sync.WaitGroup
	for _, g := range []*Group{g, next} {
		wait.Go(func() {
			if _, err := g.Commit(CommitOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

func TestCommitMayBringWhatItRequires(t *testing.T) {
	c := newCrowd(t, suite1, 1)
	capabilities := c.members[0].g.tree.leafNode(0).Capabilities
	capabilities.Extensions = []ExtensionType{0x8001}
	required := &GroupContextExtensions{Extensions{{Type: 0x8001}}}
	if _, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{required}}); err == nil {
		t.Error("the committer itself does not support the extension")
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{required}, Leaf: LeafChanges{Capabilities: &capabilities}})
}

func TestUnknownPSKKeepsNobodyFromCommitting(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.propose(1, &PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("?"), Nonce: make([]byte, c.suite.HashSize())}})
	c.propose(1, &Remove{Removed: 2})
	c.commit(0, CommitOptions{})
	if len(c.members) != 2 {
		t.Errorf("%d members, want 2", len(c.members))
	}
}

func TestResumptionPSKOfAnotherGroupIsLookedUp(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	id := PreSharedKeyID{
		Type: PSKResumption, Usage: ResumptionApplication, Group: []byte("another group"), Epoch: c.members[0].g.Epoch(),
		Nonce: make([]byte, c.suite.HashSize()),
	}
	o := CommitOptions{Proposals: []Proposal{&PreSharedKey{id}}}
	if _, err := c.members[0].g.Commit(o); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("error %v, want ErrUnknownPSK", err)
	}
	lookups := 0
	for _, m := range c.members {
		m.g.cfg.PSK = func(asked PreSharedKeyID) ([]byte, error) {
			lookups++
			if asked.Type != PSKResumption || string(asked.Group) != "another group" || asked.Epoch != id.Epoch {
				return nil, ErrUnknownPSK
			}
			return []byte("what that group has left"), nil
		}
	}
	c.commit(0, o)
	if lookups < 2 {
		t.Errorf("%d lookups, want one by each member at the least", lookups)
	}
}
