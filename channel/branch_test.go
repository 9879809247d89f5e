package channel

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// branchOptions are what a host branches with: whoever the host accepts may come in.
func (h *host) branchOptions() BranchOptions {
	return BranchOptions{Config: &mls.Config{AuthenticationService: h, Now: h.cfg.Now}}
}

func (p *peer) keyPackage(t tb) []byte {
	t.Helper()
	message, err := p.BranchKeyPackage(p.branchOptions())
	if err != nil {
		t.Fatalf("%s: a key package for a branch: %v", p.name, err)
	}
	return message
}

func (p *peer) found(t tb, keyPackage []byte) (*mls.Group, []byte) {
	t.Helper()
	group, welcome, err := p.Branch(keyPackage, p.branchOptions())
	if err != nil {
		t.Fatalf("%s: branching: %v", p.name, err)
	}
	return group, welcome
}

// branch has one end found a branch that the other joins.
func branch(t tb, founder, joiner *peer) (atFounder, atJoiner *mls.Group) {
	t.Helper()
	atFounder, welcome := founder.found(t, joiner.keyPackage(t))
	atJoiner, err := joiner.JoinBranch(welcome)
	if err != nil {
		t.Fatalf("%s: joining a branch: %v", joiner.name, err)
	}
	mustTalk(t, atFounder, atJoiner)
	return atFounder, atJoiner
}

// mustTalk checks that groups are states of members of one group in one epoch.
func mustTalk(t tb, groups ...*mls.Group) {
	t.Helper()
	for _, sender := range groups {
		message, err := sender.Protect([]byte("to all"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			if g == sender {
				continue
			}
			received, err := g.Process(message)
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := received.(*mls.ReceivedApplication); !ok || string(data.Data) != "to all" {
				t.Fatalf("received %v", received)
			}
		}
	}
}

// guest is a third party, with a key package of its own.
func guest(t tb, id ciphersuite.ID) (*mls.Config, *mls.KeyPackageBundle) {
	t.Helper()
	h := newHost(t, "carol")
	cfg := h.branchOptions().Config
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: id, Identity: h.cfg.Identity})
	if err != nil {
		t.Fatal(err)
	}
	return cfg, bundle
}

func TestASessionBranchesIntoAGroupOfThree(t *testing.T) {
	for _, id := range []ciphersuite.ID{suite, ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519} {
		for _, initiatorFounds := range []bool{false, true} {
			t.Run(fmt.Sprint(id, " initiator founds: ", initiatorFounds), func(t *testing.T) {
				alice, bob := newHost(t, "alice"), newHost(t, "bob")
				alice.cfg.Suites, bob.cfg.Suites = []ciphersuite.ID{id}, []ciphersuite.ID{id}
				a, b := initiate(t, alice, bob)
				a.start(t)
				settle(t, a, b)
				founder, joiner := b, a
				if initiatorFounds {
					founder, joiner = a, b
				}
				o := founder.branchOptions()
				o.GroupID = []byte("the three of us")
				first, welcome, err := founder.Branch(joiner.keyPackage(t), o)
				if err != nil {
					t.Fatal(err)
				}
				second, err := joiner.JoinBranch(welcome)
				if err != nil {
					t.Fatal(err)
				}
				if string(second.GroupID()) != "the three of us" || second.Epoch() != 1 || second.Suite().ID() != id {
					t.Errorf("joined %q in epoch %d, %v", second.GroupID(), second.Epoch(), second.Suite())
				}
				mustTalk(t, first, second)

				cfg, bundle := guest(t, id)
				commit, err := second.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
				if err != nil {
					t.Fatal(err)
				}
				received, err := first.Process(commit.Message())
				if err != nil {
					t.Fatal(err)
				}
				third, err := mls.Join(cfg, commit.Welcome(), bundle, mls.JoinOptions{})
				if err != nil {
					t.Fatal(err)
				}
				mustTalk(t, received.(*mls.ReceivedCommit).Group(), commit.Group(), third)
				if n := len(third.Members()); n != 3 {
					t.Errorf("%d members, want 3", n)
				}

				agree(t, a, b)
				canUpdate(t, a, b)
				cut(a, b)
				mustTalk(t, received.(*mls.ReceivedCommit).Group(), commit.Group(), third)
				recoverFrom(t, ways[0], alice, bob)
			})
		}
	}
}

// Nothing of the session changes by a branch: not a number in a message, nor what is stored.
func TestABranchLeavesTheSessionAlone(t *testing.T) {
	a, b := established(t)
	saves := [2]int{a.store.saves, b.store.saves}
	before := must(a.ExportKeyingMaterial("label", nil, 32))
	branch(t, a, b)
	branch(t, b, a)
	if got := [2]int{a.store.saves, b.store.saves}; got != saves {
		t.Errorf("%d saves, want %d", got, saves)
	}
	if !bytes.Equal(must(b.ExportKeyingMaterial("label", nil, 32)), before) {
		t.Error("the session's keys have changed")
	}
	agree(t, a, b)
	canUpdate(t, a, b)
}

func TestASessionThatWasResumedBranches(t *testing.T) {
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			a, b := established(t)
			keyPackage := b.keyPackage(t)
			atA, welcome := a.found(t, keyPackage)
			cut(a, b)
			a, b = recoverFrom(t, way, a.host, b.host)
			// What was under way is over; what a key package of before is for, is not.
			if _, err := b.JoinBranch(welcome); !errors.Is(err, ErrNoBranch) {
				t.Errorf("joining a branch from before the cut: error %v, want %v", err, ErrNoBranch)
			}
			if _, welcome = a.found(t, keyPackage); welcome == nil {
				t.Fatal("no Welcome")
			}
			if _, err := b.JoinBranch(welcome); !errors.Is(err, ErrNoBranch) {
				t.Errorf("joining with a key package from before the cut: error %v, want %v", err, ErrNoBranch)
			}
			branch(t, a, b)
			branch(t, b, a)
			atA.Erase()
		})
	}
}

// A process ends. What it has stored of the session and of the branch is enough to go on
// with both.
func TestSessionAndBranchOutliveARestart(t *testing.T) {
	a, b := established(t)
	atA, atB := branch(t, a, b)
	signer := a.cfg.Identity.Signer
	state := must(atA.Marshal())
	cut(a, b)
	atA.Erase()

	a.host = &host{name: a.name, clock: a.clock, cfg: a.host.cfg, store: a.store, commits: a.commits}
	a.host.cfg.Validator, a.host.cfg.Now = a.host, func() time.Time { return a.host.clock }
	atA, err := mls.RestoreGroup(a.branchOptions().Config, signer, state)
	if err != nil {
		t.Fatal(err)
	}
	mustTalk(t, atA, atB)
	a, b = recoverFrom(t, ways[0], a.host, b.host)
	branch(t, a, b)
}

// An end's branch ends with what it keeps for it.
func TestWhatIsKeptForABranchIsErased(t *testing.T) {
	kept := func(p *peer) (secrets [][]byte) {
		for _, point := range p.branches.points {
			secrets = append(secrets, branchSecret(point))
		}
		return secrets
	}
	for name, end := range map[string]func(t *testing.T, p *peer, welcome []byte){
		"joined": func(t *testing.T, p *peer, welcome []byte) {
			if _, err := p.JoinBranch(welcome); err != nil {
				t.Fatal(err)
			}
		},
		"forgotten": func(_ *testing.T, p *peer, _ []byte) { p.ForgetBranches() },
		"closed":    func(_ *testing.T, p *peer, _ []byte) { p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := established(t)
			canUpdate(t, a, b)
			_, welcome := a.found(t, b.keyPackage(t))
			canUpdate(t, a, b)
			secrets, bundle := kept(b), b.branches.waiting[0].bundle
			if len(secrets) != 2 || isZero(secrets[0]) {
				t.Fatalf("%d PSKs are kept, want 2", len(secrets))
			}
			end(t, b, welcome)
			for i, secret := range secrets {
				if !isZero(secret) {
					t.Errorf("PSK %d is still there", i)
				}
			}
			if _, err := bundle.Marshal(); !errors.Is(err, mls.ErrErased) {
				t.Errorf("the key package is still there: error %v", err)
			}
			if name == "closed" {
				return
			}
			canUpdate(t, a, b)
			if b.branches != nil && len(b.branches.points) > 0 {
				t.Error("PSKs are kept while no key package waits")
			}
			if _, err := b.JoinBranch(welcome); !errors.Is(err, ErrNoBranch) {
				t.Errorf("joining afterwards: error %v, want %v", err, ErrNoBranch)
			}
		})
	}
}

// How much is kept for branches has a bound.
func TestABranchWaitsForSoLong(t *testing.T) {
	a, b := established(t)
	var welcomes [][]byte
	for range maxBranchKeyPackages + 1 {
		_, welcome := a.found(t, b.keyPackage(t))
		welcomes = append(welcomes, welcome)
		canUpdate(t, a, b)
	}
	if _, err := b.JoinBranch(welcomes[0]); !errors.Is(err, ErrNoBranch) {
		t.Errorf("a branch with a key package of before %d others: error %v, want %v", maxBranchKeyPackages, err, ErrNoBranch)
	}
	if n := len(b.branches.waiting); n != maxBranchKeyPackages {
		t.Errorf("%d key packages wait, want %d", n, maxBranchKeyPackages)
	}
	// canUpdate makes two epochs. The second one is of now minus twice their number.
	for b.Epoch() < 3+maxBranchEpochs {
		canUpdate(t, a, b)
	}
	if _, err := b.JoinBranch(welcomes[1]); err != nil {
		t.Errorf("a branch of %d epochs ago: %v", maxBranchEpochs, err)
	}
	canUpdate(t, a, b)
	if _, err := b.JoinBranch(welcomes[2]); err != nil {
		t.Errorf("a branch of %d epochs ago: %v", maxBranchEpochs, err)
	}
	for range 2 {
		canUpdate(t, a, b)
	}
	if n := len(b.branches.points); n > maxBranchEpochs {
		t.Errorf("PSKs of %d epochs are kept, want %d at most", n, maxBranchEpochs)
	}
	if _, err := b.JoinBranch(welcomes[3]); !errors.Is(err, ErrBranchEpoch) {
		t.Errorf("a branch of %d epochs ago: error %v, want %v", maxBranchEpochs+2, err, ErrBranchEpoch)
	}
	if _, err := b.JoinBranch(second(a.found(t, b.keyPackage(t)))); err != nil {
		t.Errorf("another one: %v", err)
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestABranchNeedsALiveSession(t *testing.T) {
	a, b := initiate(t, newHost(t, "alice"), newHost(t, "bob"))
	try := func(p *peer, want error) {
		t.Helper()
		_, err := p.BranchKeyPackage(p.branchOptions())
		_, _, err2 := p.Branch(nil, p.branchOptions())
		_, err3 := p.JoinBranch(nil)
		for i, err := range []error{err, err2, err3} {
			if !errors.Is(err, want) {
				t.Errorf("%s, call %d: error %v, want %v", p.name, i, err, want)
			}
		}
	}
	try(a, ErrNotReady)
	a.start(t)
	try(a, ErrNotReady)
	b.deliver(t)
	try(b, ErrNotReady)
	settle(t, a, b)
	branch(t, a, b)
	if _, err := b.BranchKeyPackage(BranchOptions{}); err == nil {
		t.Error("a key package without a Config")
	}
	if _, _, err := a.Branch(b.keyPackage(t), BranchOptions{}); err == nil {
		t.Error("a branch without a Config")
	}
	agree(t, a, b)
	cut(a, b)
	try(a, ErrClosed)
	try(b, ErrClosed)
}

// broken names the rule of package mls that an error is about.
func broken(err error) mls.Check {
	if e, ok := errors.AsType[*mls.Error](err); ok {
		return e.Check
	}
	return ""
}

// What the peer, or somebody else, may not put in the place of a key package.
func TestKeyPackagesThatAreNoneOfThePeers(t *testing.T) {
	a, b := established(t)
	another := ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
	_, stranger := guest(t, suite)
	_, alien := guest(t, another)
	other := newHost(t, "bob")
	cfg := b.branchOptions().Config
	made := func(id mls.Identity, suite ciphersuite.ID) []byte {
		return must(mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: id})).Message()
	}
	good := b.keyPackage(t)
	spoilt := bytes.Clone(good)
	spoilt[len(spoilt)-1] ^= 1
	for name, c := range map[string]struct {
		keyPackage []byte
		want       func(error) bool
	}{
		"a stranger's":                        {stranger.Message(), is(ErrBranch)},
		"of another suite":                    {made(b.cfg.Identity, another), is(ErrBranch)},
		"a stranger's of another suite":       {alien.Message(), is(ErrBranch)},
		"of the peer's name with another key": {made(other.cfg.Identity, suite), is(ErrBranch)},
		"of the peer's key with another name": {made(mls.Identity{Credential: mls.BasicCredential([]byte("mallory")), Signer: b.cfg.Identity.Signer}, suite), is(ErrBranch)},
		"its founder's own":                   {a.keyPackage(t), is(ErrBranch)},
		"with a spoilt signature":             {spoilt, func(err error) bool { return broken(err) == mls.CheckKeyPackageSignature }},
		"cut short":                           {good[:len(good)-1], func(err error) bool { return err != nil }},
		"none":                                {nil, func(err error) bool { return err != nil }},
	} {
		group, welcome, err := a.Branch(c.keyPackage, a.branchOptions())
		if group != nil || welcome != nil || !c.want(err) {
			t.Errorf("a key package %s: error %v", name, err)
		}
	}
	a.refuses = errors.New("not any more")
	if _, _, err := a.Branch(good, BranchOptions{Config: b.branchOptions().Config}); !errors.Is(err, ErrPeerRefused) || !errors.Is(err, a.refuses) {
		t.Errorf("a peer that is not accepted any more: error %v", err)
	}
	a.refuses = nil
	// None of it has hurt anybody.
	if _, err := b.JoinBranch(second(a.found(t, good))); err != nil {
		t.Error(err)
	}
	agree(t, a, b)
	canUpdate(t, a, b)
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

// What the peer, or somebody else, may not put in the place of a Welcome.
func TestWelcomesThatAreNoneOfABranch(t *testing.T) {
	other := ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
	// founded makes a group as the peer p could, whatever it has agreed to.
	founded := func(t *testing.T, p *peer, keyPackage []byte, o mls.SuccessorOptions) []byte {
		t.Helper()
		o.Config = p.branchOptions().Config
		k := must(must(mls.ParseKeyPackage(keyPackage)).Verify(o.Config))
		o.KeyPackages = append([]*mls.KeyPackage{k}, o.KeyPackages...)
		pending, err := p.group.Branch(o)
		if err != nil {
			t.Fatal(err)
		}
		return pending.Welcome()
	}
	for name, c := range map[string]struct {
		welcome func(t *testing.T, founder *peer, keyPackage []byte) []byte
		want    func(error) bool
		usedUp  bool
	}{
		"of an ordinary group": {func(t *testing.T, p *peer, keyPackage []byte) []byte {
			cfg := p.branchOptions().Config
			g := must(mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: p.cfg.Identity}))
			k := must(must(mls.ParseKeyPackage(keyPackage)).Verify(cfg))
			return must(g.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: k}}})).Welcome()
		}, func(err error) bool { return broken(err) == mls.CheckWelcomePSKUsage }, false},
		"of another session of the same ends": {func(t *testing.T, p *peer, keyPackage []byte) []byte {
			x, y := initiate(t, p.other.host, p.host)
			x.start(t)
			settle(t, x, y)
			return second(y.found(t, keyPackage))
		}, func(err error) bool { return broken(err) == mls.CheckWelcomePSKUsage }, false},
		"for another key package": {func(t *testing.T, p *peer, _ []byte) []byte {
			x, y := initiate(t, p.other.host, p.host)
			x.start(t)
			settle(t, x, y)
			return second(y.found(t, x.keyPackage(t)))
		}, is(ErrNoBranch), false},
		"of another suite": {func(t *testing.T, p *peer, _ []byte) []byte {
			cfg := p.branchOptions().Config
			g := must(mls.NewGroup(cfg, mls.GroupOptions{Suite: other, Identity: p.cfg.Identity}))
			_, bundle := guest(t, other)
			return must(g.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})).Welcome()
		}, func(err error) bool { return broken(err) == mls.CheckWelcomeSuite }, false},
		"with a third member": {func(t *testing.T, p *peer, keyPackage []byte) []byte {
			// Whoever has the founder's credential is taken for the founder where members are counted.
			twin := newHost(t, p.name)
			bundle := must(mls.NewKeyPackage(p.branchOptions().Config, mls.KeyPackageOptions{Suite: suite, Identity: twin.cfg.Identity}))
			return founded(t, p, keyPackage, mls.SuccessorOptions{KeyPackages: []*mls.KeyPackage{bundle.KeyPackage()}})
		}, is(ErrBranch), true},
		"with the founder under another key": {func(t *testing.T, p *peer, keyPackage []byte) []byte {
			return founded(t, p, keyPackage, mls.SuccessorOptions{Identity: newHost(t, p.name).cfg.Identity})
		}, is(ErrBranch), true},
		"with the founder under the joiner's name": {func(t *testing.T, p *peer, keyPackage []byte) []byte {
			return founded(t, p, keyPackage, mls.SuccessorOptions{Identity: newHost(t, p.other.name).cfg.Identity})
		}, is(ErrBranch), true},
		"spoilt": {func(t *testing.T, p *peer, keyPackage []byte) []byte {
			welcome := second(p.found(t, keyPackage))
			welcome[len(welcome)-1] ^= 1
			return welcome
		}, is(mls.ErrDecrypt), false},
		"none": {func(*testing.T, *peer, []byte) []byte { return nil }, func(err error) bool { return err != nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := established(t)
			keyPackage := b.keyPackage(t)
			group, err := b.JoinBranch(c.welcome(t, a, keyPackage))
			if group != nil || !c.want(err) {
				t.Errorf("error %v", err)
			}
			good := second(a.found(t, keyPackage))
			if _, err := b.JoinBranch(good); c.usedUp != errors.Is(err, ErrNoBranch) || !c.usedUp && err != nil {
				t.Errorf("the right Welcome afterwards: error %v; used up should be %t", err, c.usedUp)
			}
			agree(t, a, b)
			canUpdate(t, a, b)
			branch(t, a, b)
		})
	}
}

// Whom the validator accepts no more does not come into a branch either, and the branch has an
// Authentication Service of its own.
func TestAFounderThatIsNotAcceptedAnyMore(t *testing.T) {
	a, b := established(t)
	_, welcome := a.found(t, b.keyPackage(t))
	// The group's own service accepts everybody.
	b.branches.waiting[0].cfg = newHost(t, "nobody").branchOptions().Config
	b.refuses = errors.New("not any more")
	if _, err := b.JoinBranch(welcome); !errors.Is(err, ErrPeerRefused) {
		t.Errorf("error %v, want %v", err, ErrPeerRefused)
	}
	b.refuses = nil

	choosy := newHost(t, "nobody")
	choosy.refuses = errors.New("not in this group")
	keyPackage, err := b.BranchKeyPackage(choosy.branchOptions())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.JoinBranch(second(a.found(t, keyPackage))); broken(err) != mls.CheckLeafCredential || !errors.Is(err, choosy.refuses) {
		t.Errorf("error %v, want that of the group's Authentication Service", err)
	}
	agree(t, a, b)
}

// An end that shows another identity by the time that the other looks is taken for
// another. A new key package helps.
func TestABranchWaitsForARotation(t *testing.T) {
	a, b := established(t)
	keyPackage := b.keyPackage(t)
	_, welcome := a.found(t, keyPackage)
	for _, p := range []*peer{a, b} {
		next := newHost(t, p.name).cfg.Identity
		events, err := p.Rotate(ctx, next)
		p.carryOut(t, events, err)
		settle(t, a, b)
	}
	if _, err := b.JoinBranch(welcome); !errors.Is(err, ErrBranch) {
		t.Errorf("joining a founder that has another key now: error %v, want %v", err, ErrBranch)
	}
	if _, _, err := a.Branch(keyPackage, a.branchOptions()); !errors.Is(err, ErrBranch) {
		t.Errorf("branching with a peer that has another key now: error %v, want %v", err, ErrBranch)
	}
	atA, atB := branch(t, a, b)
	if !bytes.Equal(atB.Leaf(0).SignatureKey, b.Peer().SignatureKey) || !bytes.Equal(atA.Leaf(1).SignatureKey, a.Peer().SignatureKey) {
		t.Error("the branch has the identities of before")
	}
}

// A thief of all that the joiner has can enter a branch of an epoch whose PSK it has, and no
// branch that is made after the joiner's next update, although it has the key package.
func TestATheftBeforeABranchIsHealedByAnUpdate(t *testing.T) {
	for _, heals := range []bool{false, true} {
		a, b := established(t)
		keyPackage := b.keyPackage(t)
		thief := b.copied(t)
		bundle := must(mls.RestoreKeyPackage(b.branchOptions().Config, b.cfg.Identity.Signer, must(b.branches.waiting[0].bundle.Marshal())))
		thief.branches = &branches{waiting: []branchKeyPackage{{b.branchOptions().Config, bundle, thief.Epoch()}}}
		if heals {
			b.update(t, ReasonRequested)
			settle(t, a, b)
		}
		_, welcome := a.found(t, keyPackage)
		_, err := thief.JoinBranch(welcome)
		if heals != errors.Is(err, ErrBranchEpoch) {
			t.Errorf("the victim has healed: %t, and the thief gets the error %v", heals, err)
		}
		if _, err := b.JoinBranch(welcome); err != nil {
			t.Error(err)
		}
	}
}

// branchSecret returns the memory of the PSK that a branch point keeps.
func branchSecret(p *mls.BranchPoint) []byte {
	return reflect.ValueOf(p).Elem().FieldByName("psk").Bytes()
}
