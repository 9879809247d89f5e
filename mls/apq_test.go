package mls

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestAPairOfGroupsLives(t *testing.T) {
	c := newAPQCrowd(t, 3)
	if info := c.members[0].g.Info(); info.TEpoch != 1 || info.PQEpoch != 1 || info.TSuite != suite1 || info.PQSuite != pureSuite {
		t.Errorf("APQInfo %+v", info)
	}
	c.checkMessages()
	// A partial commit leaves the post-quantum group and the APQInfo alone.
	before := c.members[1].g.PQ()
	if p := c.commit(0, APQCommitOptions{}); p.Full() || IsAPQMessagePair(p.Message()) {
		t.Error("the commit is full")
	}
	if g := c.members[1].g; g.T().Epoch() != 2 || g.PQ() != before || g.Info().TEpoch != 1 || g.Info().PQEpoch != 1 {
		t.Errorf("epoch %d, APQInfo %+v", g.T().Epoch(), g.Info())
	}
	c.checkMessages()
	if p := c.commit(0, APQCommitOptions{Full: true}); !p.Full() || !IsAPQMessagePair(p.Message()) {
		t.Error("the commit is not full")
	}
	if g := c.members[2].g; g.T().Epoch() != 3 || g.PQ().Epoch() != 2 || g.Info().TEpoch != 3 || g.Info().PQEpoch != 2 {
		t.Errorf("APQInfo %+v", g.Info())
	}
	c.restart()
	c.format = WireFormatPublicMessage
	c.commit(1, APQCommitOptions{Remove: []LeafIndex{2}, Add: c.invite(2)})
	c.commit(0, APQCommitOptions{})
	c.restart()
	c.commit(3, APQCommitOptions{})
	c.checkMessages()
}

// Who has joined makes a full commit first.
func TestTheFirstCommitOfAJoinerIsFull(t *testing.T) {
	c := newAPQCrowd(t, 2)
	if c.members[0].g.OwesFull() || !c.members[1].g.OwesFull() {
		t.Error("who owes a full commit is not who has joined")
	}
	c.commit(0, APQCommitOptions{})
	c.commit(0, APQCommitOptions{Full: true})
	c.restart()
	if !c.members[1].g.OwesFull() {
		t.Error("another's commit, or a restart, has paid")
	}
	if p := c.commit(1, APQCommitOptions{}); !p.Full() {
		t.Error("the first commit is partial")
	}
	if p := c.commit(1, APQCommitOptions{}); p.Full() || c.members[1].g.OwesFull() {
		t.Error("the second commit is full")
	}
}

// A traditional group alone gives no key of the pair: whoever knows all of it but
// not the post-quantum epoch does not know the next epoch.
func TestAFullCommitTakesThePostQuantumGroup(t *testing.T) {
	c := newAPQCrowd(t, 2)
	thief := (&client{cfg: c.members[1].cfg, g: c.members[1].g.t}).clone(t)
	full, err := c.members[0].g.Commit(APQCommitOptions{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := thief.cfg.parsePair(full.Message(), WireFormatPrivateMessage)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Process(p.tData); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("error %v, want %v", err, ErrUnknownPSK)
	}
	partial, err := c.members[0].g.Commit(APQCommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Process(partial.Message()); err != nil {
		t.Errorf("the thief does not follow a partial commit: %v", err)
	}
}

// One end's key, exported once, is nowhere afterwards.
func TestTheKeyOfAnEpochIsExportedOnce(t *testing.T) {
	c := newAPQCrowd(t, 2)
	for _, m := range c.members {
		if _, err := m.g.PQ().SafeExportSecret(ComponentAPQInfo); !errors.Is(err, ErrErased) {
			t.Errorf("%s: error %v, want %v", m.name, err, ErrErased)
		}
	}
	full, err := c.members[0].g.Commit(APQCommitOptions{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := full.Group().PQ().SafeExportSecret(ComponentAPQInfo); !errors.Is(err, ErrErased) {
		t.Errorf("pending: error %v, want %v", err, ErrErased)
	}
	if c.members[0].g.t.pairKey != nil || full.Group().t.pairKey != nil {
		t.Error("a group holds the key")
	}
}

// What the key is made of is gone once it is made, and so is the key once it is used.
// draft-ietf-mls-combiner, Section 5.2.
func TestWhatThePairsKeyIsMadeOfIsErased(t *testing.T) {
	c := newAPQCrowd(t, 1)
	pq, err := c.members[0].g.pq.Commit(CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exporter, err := pq.Group().SafeExportSecret(ComponentAPQInfo)
	if err != nil || isZero(exporter) {
		t.Fatalf("exported %x, %v", exporter, err)
	}
	k := newAPQPSK(exporter, c.members[0].g.t.suite)
	if !isZero(exporter) || isZero(k.secret) || len(k.secret) != c.members[0].g.t.suite.HashSize() {
		t.Errorf("the key is %x, and apq_exporter still %x", k.secret, exporter)
	}
	if k.erase(); !isZero(k.secret) {
		t.Error("the key is not erased")
	}
}

// Whatever is wrong with one half of a pair, neither group goes on, nothing is
// used up, and the right pair is taken afterwards.
func TestNeitherGroupMovesUnlessBothDo(t *testing.T) {
	c := newAPQCrowd(t, 3)
	committer, receiver := c.members[0].g, c.members[1]
	pair := func(o APQCommitOptions) *APQPendingCommit {
		t.Helper()
		o.Full = true
		pending, err := committer.Commit(o)
		if err != nil {
			t.Fatal(err)
		}
		return pending
	}
	right, other := pair(APQCommitOptions{}), pair(APQCommitOptions{})
	halves := func(message []byte) *apqPair {
		p, err := receiver.g.t.cfg.parsePair(message, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := halves(right.Message()), halves(other.Message())
	broken := func(half []byte) []byte {
		half = bytes.Clone(half)
		half[len(half)-1] ^= 1
		return half
	}
	before := mustMarshalAPQ(t, receiver.g)
	for name, message := range map[string][]byte{
		"traditional half changed":            joinPair(broken(a.tData), a.pData),
		"post-quantum half changed":           joinPair(a.tData, broken(a.pData)),
		"halves of two commits":               joinPair(a.tData, b.pData),
		"halves of two commits, reversed":     joinPair(b.tData, a.pData),
		"halves in each other's place":        joinPair(a.pData, a.tData),
		"traditional half alone":              a.tData,
		"post-quantum half alone":             a.pData,
		"traditional half twice":              joinPair(a.tData, a.tData),
		"one half application data by itself": mustProtect(t, c.members[2].g.pq.Group),
	} {
		if received, err := receiver.g.Process(message); err == nil {
			t.Errorf("%s: taken as %+v", name, received)
		}
		if !bytes.Equal(mustMarshalAPQ(t, receiver.g), before) {
			t.Errorf("%s: the state has changed", name)
		}
	}
	c.deliver(0, right)
	// The same again, and the other that came too late.
	for name, message := range map[string][]byte{"repeated": right.Message(), "late": other.Message()} {
		if _, err := receiver.g.Process(message); !errors.Is(err, ErrWrongEpoch) {
			t.Errorf("%s: error %v, want %v", name, err, ErrWrongEpoch)
		}
	}
	other.Erase()
	c.commit(2, APQCommitOptions{Full: true})
	c.checkMessages()
}

func mustProtect(t failer, g *Group) []byte {
	t.Helper()
	message, err := g.Protect([]byte("data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// Of a full and a partial commit to one epoch, the first stands, and the full one
// can be made again.
func TestAFullCommitThatCrossedIsMadeAgain(t *testing.T) {
	c := newAPQCrowd(t, 2)
	full, err := c.members[0].g.Commit(APQCommitOptions{Full: true})
	if err != nil {
		t.Fatal(err)
	}
	partial, err := c.members[0].g.Commit(APQCommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.deliver(0, partial)
	if _, err := c.members[1].g.Process(full.Message()); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("error %v, want %v", err, ErrWrongEpoch)
	}
	full.Erase()
	c.commit(0, APQCommitOptions{Full: true})
	c.commit(1, APQCommitOptions{Full: true})
	c.checkMessages()
}

// The post-quantum group lives as long as an epoch that has it, and no longer.
func TestTheSharedGroupIsErasedWithItsLastHolder(t *testing.T) {
	c := newAPQCrowd(t, 2)
	g := c.members[0].g
	pq := g.PQ()
	partial, err := g.Commit(APQCommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	partial.Erase()
	partial.Erase()
	if pq.erased {
		t.Fatal("erased with a commit that was dropped")
	}
	c.commit(0, APQCommitOptions{})
	if !g.T().erased || pq.erased || c.members[0].g.PQ() != pq {
		t.Fatal("a partial commit has erased it, or kept the past epoch")
	}
	c.commit(0, APQCommitOptions{Full: true})
	if !pq.erased {
		t.Error("a full commit has not erased it")
	}
	c.members[0].g.Erase()
	if _, err := c.members[0].g.Commit(APQCommitOptions{}); !errors.Is(err, ErrErased) {
		t.Errorf("error %v, want %v", err, ErrErased)
	}
	if _, err := c.members[0].g.Process(nil); !errors.Is(err, ErrErased) {
		t.Errorf("error %v, want %v", err, ErrErased)
	}
}

// Members propose other leaves, in one group or both. Whoever commits takes both with a
// full commit.
func TestUpdatesAreProposedToOneGroupOrBoth(t *testing.T) {
	c := newAPQCrowd(t, 3)
	propose := func(by int, full bool) {
		t.Helper()
		message, err := c.members[by].g.ProposeUpdate(full, LeafChanges{}, LeafChanges{}, ProposeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range c.members {
			received, err := m.g.Process(message)
			if err != nil {
				t.Fatalf("%s: %v", m.name, err)
			}
			if _, ok := received.T.(*ReceivedProposal); !ok || (received.PQ != nil) != full || received.Group() != nil {
				t.Errorf("member %d receives %+v", i, received)
			}
		}
	}
	key := func(g *Group) string { return string(g.Leaf(1).EncryptionKey) }
	t1, pq1 := key(c.members[0].g.T()), key(c.members[0].g.PQ())
	propose(1, false)
	c.commit(0, APQCommitOptions{})
	t2, pq2 := key(c.members[0].g.T()), key(c.members[0].g.PQ())
	if t2 == t1 || pq2 != pq1 {
		t.Error("a partial commit has not replaced the leaf in the traditional group alone")
	}
	propose(1, true)
	c.commit(2, APQCommitOptions{Full: true})
	if t3, pq3 := key(c.members[0].g.T()), key(c.members[0].g.PQ()); t3 == t2 || pq3 == pq2 {
		t.Error("a full commit has not replaced both leaves")
	}
	c.checkMessages()
	if _, err := c.members[1].g.ProposeUpdate(false, LeafChanges{Identity: &c.members[1].id}, LeafChanges{}, ProposeOptions{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want %v", err, ErrUnsupported)
	}
}

// An Update that brings another identity waits for a full commit. Until there is one, and
// if its halves are of two clients, it keeps nobody from committing and from sending.
func TestUpdatesOfIdentitiesKeepNobodyFromCommitting(t *testing.T) {
	for name, test := range map[string]struct {
		t, pq   string
		commits []bool // full ones
		want    string
	}{
		"another identity":                 {"other", "other", []bool{true}, "other"},
		"not by a partial commit":          {"other", "other", []bool{false}, "client 1"},
		"nor by a full one after that":     {"other", "other", []bool{false, true}, "client 1"},
		"two identities, a partial commit": {"other", "another", []bool{false, false, true}, "client 1"},
		"two identities, a full commit":    {"other", "another", []bool{true, true}, "client 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newAPQCrowd(t, 3)
			c.commit(0, APQCommitOptions{})
			g := c.members[1].g
			idT, idPQ := c.newIdentity(test.t), c.newIdentity(test.pq)
			pq := must(g.PQ().ProposeUpdate(LeafChanges{Identity: &idPQ}, ProposeOptions{}))
			pair := joinPair(must(g.T().ProposeUpdate(LeafChanges{Identity: &idT}, ProposeOptions{})), pq)
			for _, i := range []int{0, 2} {
				if _, err := c.members[i].g.Process(pair); err != nil {
					t.Fatal(err)
				}
			}
			for _, full := range test.commits {
				c.commit(0, APQCommitOptions{Full: full})
			}
			g = c.members[1].g
			for _, half := range []*Group{g.T(), g.PQ()} {
				if got := string(half.Leaf(1).Credential.Identity); got != test.want {
					t.Errorf("the identity is %q, want %q", got, test.want)
				}
			}
			c.checkMessages()
		})
	}
}

// Another identity takes a full commit, so that both groups have it.
func TestIdentitiesChangeInBothGroups(t *testing.T) {
	c := newAPQCrowd(t, 2)
	c.commit(1, APQCommitOptions{})
	id := c.newIdentity("client 1 again")
	if p := c.commit(1, APQCommitOptions{T: CommitOptions{Leaf: LeafChanges{Identity: &id}}, PQ: CommitOptions{Leaf: LeafChanges{Identity: &id}}}); !p.Full() {
		t.Error("the commit is partial")
	}
	c.restart()
	c.commit(1, APQCommitOptions{})
	other := c.newIdentity("somebody else")
	_, err := c.members[1].g.Commit(APQCommitOptions{Full: true, T: CommitOptions{Leaf: LeafChanges{Identity: &other}}})
	wantCheck(t, err, CheckAPQClient)
	c.commit(1, APQCommitOptions{Full: true})
}

// Somebody joins by commits of its own, and comes back after it has lost its state.
func TestJoiningAPairFromOutside(t *testing.T) {
	c := newAPQCrowd(t, 2)
	c.commit(0, APQCommitOptions{})
	joiner := c.newClient()
	for _, resync := range []bool{false, true} {
		info, err := c.members[0].g.GroupInfo(GroupInfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		o := APQExternalJoinOptions{T: ExternalJoinOptions{Identity: joiner.id}, PQ: ExternalJoinOptions{Identity: joiner.id}}
		if resync {
			mine := func(leaf *LeafNode) bool { return leaf.Credential.Equal(joiner.id.Credential) }
			o.T.Resync, o.PQ.Resync = mine, mine
			c.members = c.members[:2]
		}
		pending, err := JoinAPQExternal(joiner.cfg, info, o)
		if err != nil {
			t.Fatal(err)
		}
		if !pending.Full() {
			t.Error("not a full commit")
		}
		joiner.g = pending.Group()
		for _, m := range c.members {
			received, err := m.g.Process(pending.Message())
			if err != nil {
				t.Fatalf("%s: %v", m.name, err)
			}
			m.adopt(received.Group())
		}
		c.members = append(c.members, joiner)
		c.checkAgreement()
		c.commit(2, APQCommitOptions{})
		c.commit(0, APQCommitOptions{Full: true})
		c.checkMessages()
	}
}

// A commit that was made before a restart is taken over after it, full or partial.
func TestPendingCommitsOutliveARestart(t *testing.T) {
	for _, full := range []bool{false, true} {
		c := newAPQCrowd(t, 2)
		m := c.members[0]
		made, err := m.g.Commit(APQCommitOptions{Full: full})
		if err != nil {
			t.Fatal(err)
		}
		state, err := made.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		c.restart()
		restored, err := m.g.RestorePending(m.id.Signer, m.id.Signer, state)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := restored.Marshal(); err != nil || !bytes.Equal(again, state) || restored.Full() != full || !restored.Is(made.Message()) {
			t.Errorf("another commit, full: %t, %v", restored.Full(), err)
		}
		// The same, kept beside the epoch before.
		if state, err = restored.Group().MarshalAfter(m.g); err != nil {
			t.Fatal(err)
		}
		next, err := m.g.RestoreAfter(m.id.Signer, m.id.Signer, state)
		if err != nil {
			t.Fatal(err)
		}
		if (next.PQ() == m.g.PQ()) == full || next.PQ().Epoch() != restored.Group().PQ().Epoch() || !bytes.Equal(next.T().EpochAuthenticator(), made.Group().T().EpochAuthenticator()) {
			t.Errorf("another epoch, full: %t", full)
		}
		next.Erase()
		state, err = made.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if h, err := ParseAPQHeader(made.Message()); err != nil || h.Epoch != 1 || h.ContentType != ContentCommit || !bytes.Equal(h.GroupID, m.g.T().GroupID()) {
			t.Errorf("header %+v, %v", h, err)
		}
		c.deliver(0, restored)
		c.checkMessages()
		if _, err := m.g.RestorePending(m.id.Signer, m.id.Signer, state); !errors.Is(err, ErrWrongEpoch) {
			t.Errorf("error %v, want %v", err, ErrWrongEpoch)
		}
	}
}

// A pair of Welcomes of which one half is wrong is of no use, and leaves the key
// packages as they were.
func TestJoiningIsBothOrNone(t *testing.T) {
	c := newAPQCrowd(t, 1)
	added := c.invite(1)
	joiner := c.invited[0]
	first, err := c.members[0].g.Commit(APQCommitOptions{Add: added})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.members[0].g.Commit(APQCommitOptions{Add: added})
	if err != nil {
		t.Fatal(err)
	}
	a, err := joiner.cfg.mustPair(t, first.Welcome())
	if err != nil {
		t.Fatal(err)
	}
	b, err := joiner.cfg.mustPair(t, second.Welcome())
	if err != nil {
		t.Fatal(err)
	}
	for name, welcome := range map[string][]byte{
		"halves of two":  joinPair(a.tData, b.pData),
		"reversed":       joinPair(a.pData, a.tData),
		"one half alone": a.tData,
	} {
		if _, err := JoinAPQ(joiner.cfg, welcome, joiner.bundle, APQJoinOptions{}); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
	c.deliver(0, first)
	c.checkMessages()
	for _, none := range []*APQKeyPackageBundle{nil, {}} {
		if _, err := JoinAPQ(joiner.cfg, first.Welcome(), none, APQJoinOptions{}); err == nil {
			t.Error("joined without key packages")
		}
	}
	if _, err := JoinAPQ(joiner.cfg, first.Welcome(), joiner.bundle, APQJoinOptions{}); !errors.Is(err, ErrErased) {
		t.Errorf("joining twice: error %v, want %v", err, ErrErased)
	}
}

func (c *Config) mustPair(t failer, message []byte) (*apqPair, error) {
	t.Helper()
	cfg, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return cfg.parsePair(message, 0)
}

// In the mode with authenticity, the post-quantum group has signatures of its own kind.
func TestPostQuantumSignatures(t *testing.T) {
	c := newAPQCrowd(t, 1)
	signing := ciphersuite.MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65
	identity := func(m *apqClient) Identity {
		signer, err := lookup(t, signing).GenerateSigner(c.rand)
		if err != nil {
			t.Fatal(err)
		}
		return Identity{Credential: m.id.Credential, Signer: signer}
	}
	founder, joiner := c.newClient(), c.newClient()
	g, err := NewAPQGroup(founder.cfg, APQGroupOptions{
		Mode: APQAuthenticity,
		T:    GroupOptions{Suite: suite1, Identity: founder.id}, PQ: GroupOptions{Suite: signing, Identity: identity(founder)},
	})
	if err != nil {
		t.Fatal(err)
	}
	founder.g, c.members = g, []*apqClient{founder}
	o := joiner.keyPackageOptions()
	o.Mode, o.PQ.Suite, o.PQ.Identity = APQAuthenticity, signing, identity(joiner)
	if joiner.bundle, err = NewAPQKeyPackage(joiner.cfg, o); err != nil {
		t.Fatal(err)
	}
	unverified, err := ParseAPQKeyPackage(joiner.bundle.Message())
	if err != nil {
		t.Fatal(err)
	}
	k, err := unverified.Verify(founder.cfg, APQAuthenticity)
	if err != nil {
		t.Fatal(err)
	}
	c.invited = []*apqClient{joiner}
	c.commit(0, APQCommitOptions{Add: []*APQKeyPackage{k}})
	c.commit(1, APQCommitOptions{})
	c.commit(1, APQCommitOptions{})
	c.restart()
	c.checkMessages()
	if g := c.members[1].g; g.Info().Mode != APQAuthenticity {
		t.Errorf("mode %d", g.Info().Mode)
	}
}

func TestAPairTakesTheConfiguration(t *testing.T) {
	m := newAPQCrowd(t, 1).members[0]
	for _, take := range []func(*Config){func(c *Config) { c.Components = nil }, func(c *Config) { c.WireFormats = nil }} {
		cfg := *m.cfg
		take(&cfg)
		if _, err := NewAPQGroup(&cfg, APQGroupOptions{}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("error %v, want %v", err, ErrUnsupported)
		}
	}
	m.cfg.Components = nil
	if _, err := NewAPQKeyPackage(m.cfg, m.keyPackageOptions()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want %v", err, ErrUnsupported)
	}
}
