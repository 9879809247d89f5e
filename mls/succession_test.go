package mls

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A succeeding group is made by one member of a crowd, with key packages of
// those at the positions others.
type succeeding struct {
	*crowd
	suite  ciphersuite.ID
	others []int
	ids    []Identity // of all members, for the new suite
}

func (c *crowd) succeeding(suite ciphersuite.ID, others ...int) *succeeding {
	s := &succeeding{crowd: c, suite: suite, others: others}
	for _, m := range c.members {
		signer, err := lookup(c.t, suite).GenerateSigner(c.rand)
		if err != nil {
			c.t.Fatal(err)
		}
		s.ids = append(s.ids, Identity{Credential: m.id.Credential, Signer: signer})
	}
	return s
}

// make has member by make the group and all others join it.
func (s *succeeding) make(by int, start func(*Group, SuccessorOptions) (*PendingCommit, error), o SuccessorOptions) *crowd {
	s.t.Helper()
	next := emptyCrowd(s.t, s.suite)
	next.rand, next.psks = s.rand, s.psks
	bundles := make(map[int]*KeyPackageBundle)
	for _, i := range s.others {
		bundle, err := NewKeyPackage(s.members[i].cfg, KeyPackageOptions{Suite: s.suite, Identity: s.ids[i]})
		if err != nil {
			s.t.Fatal(err)
		}
		bundles[i] = bundle
		o.KeyPackages = append(o.KeyPackages, bundle.KeyPackage())
	}
	o.Identity, o.WithoutTree = s.ids[by], s.apart
	pending, err := start(s.members[by].g, o)
	if err != nil {
		s.t.Fatal(err)
	}
	founder := *s.members[by]
	founder.g, founder.id = pending.Group(), s.ids[by]
	next.members = []*client{&founder}
	for _, i := range s.others {
		join := JoinOptions{Previous: s.members[i].g}
		if s.apart {
			join.RatchetTree = pending.RatchetTree()
		}
		joiner := *s.members[i]
		joiner.id = s.ids[i]
		if joiner.g, err = Join(joiner.cfg, pending.Welcome(), bundles[i], join); err != nil {
			s.t.Fatalf("%s joins the next group: %v", joiner.name, err)
		}
		next.members = append(next.members, &joiner)
	}
	next.checkAgreement()
	next.checkMessages()
	return next
}

func TestGroupIsReInitializedWithAnotherSuite(t *testing.T) {
	for _, apart := range []bool{false, true} {
		c := newCrowd(t, suite1, 4)
		c.apart = apart
		suite := ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256
		extensions := Extensions{(&RequiredCapabilities{}).Extension()}
		reInit := &ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: suite, Extensions: extensions}
		c.propose(1, reInit)
		c.commit(2, CommitOptions{})
		c.restart()
		next := c.succeeding(suite, 0, 1, 2).make(3, (*Group).ReInitialize, SuccessorOptions{})
		if g := next.members[0].g; string(g.GroupID()) != "next" || g.Suite().ID() != suite || g.Epoch() != 1 || len(g.Extensions()) != 1 {
			t.Errorf("the group is %q, %v, epoch %d", g.GroupID(), g.Suite(), g.Epoch())
		}
		next.commit(1, CommitOptions{})
		next.checkMessages()
	}
}

// An empty group ID is one like others, and not one that is left to chance.
func TestGroupIDsMayBeEmpty(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.found(GroupOptions{GroupID: []byte{}})
	c.add(0, 2)
	branch := c.succeeding(suite1, 1).make(0, (*Group).Branch, SuccessorOptions{GroupID: []byte{}})
	c.commit(0, CommitOptions{Proposals: []Proposal{&ReInit{Version: MLS10, CipherSuite: suite1}}})
	c.restart()
	next := c.succeeding(suite1, 0, 2).make(1, (*Group).ReInitialize, SuccessorOptions{})
	for name, crowd := range map[string]*crowd{"first": c, "branch": branch, "next": next} {
		for _, m := range crowd.members {
			if id := m.g.GroupID(); len(id) != 0 {
				t.Errorf("%s group: %s has the ID %x", name, m.name, id)
			}
		}
	}
}

func TestSomeMembersBranchOff(t *testing.T) {
	c := newCrowd(t, suite1, 5)
	c.commit(3, CommitOptions{})
	next := c.succeeding(suite1, 4, 0).make(2, (*Group).Branch, SuccessorOptions{GroupID: []byte("branch")})
	if len(next.members) != 3 {
		t.Errorf("%d members, want 3", len(next.members))
	}
	// The group lives on.
	c.checkMessages()
	c.commit(0, CommitOptions{})
	next.commit(2, CommitOptions{})
	next.checkMessages()
}

func TestOnlyAClosedGroupIsReInitialized(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	if _, err := c.members[0].g.ReInitialize(SuccessorOptions{}); !errors.Is(err, ErrNotClosed) {
		t.Errorf("error %v, want ErrNotClosed", err)
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{&ReInit{GroupID: []byte("next"), Version: 2, CipherSuite: suite1}}})
	if _, err := c.members[0].g.ReInitialize(SuccessorOptions{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
	if _, err := c.members[0].g.Branch(SuccessorOptions{}); !errors.Is(err, ErrInactive) {
		t.Errorf("error %v, want ErrInactive", err)
	}
}

// lateMark, as the end of the founder's lifetime, asks for a successor whose
// Welcome is to an epoch too late.
var lateMark = uint64(testTime.Unix()) + 1

// successionRefusals are Welcomes to groups that are not what their
// predecessors were to become.
func successionRefusals() []refusal {
	reInit := ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: suite1}
	// join has member 0 make a successor, which spoil may change, and member 1
	// join it with the previous group that previous returns.
	join := func(usage ResumptionPSKUsage, members int, options GroupOptions, spoil func(c *crowd, id *PreSharedKeyID), previous func(*crowd) *Group) func(*testing.T) error {
		return func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			if usage == ResumptionReInit {
				c.commit(0, CommitOptions{Proposals: []Proposal{&reInit}})
			}
			g := c.members[0].g
			id := PreSharedKeyID{Type: PSKResumption, Usage: usage, Group: g.context.groupID, Epoch: g.context.epoch}
			spoil(c, &id)
			if options.Suite == 0 {
				options.Suite = suite1
			}
			s := c.succeeding(options.Suite, 1)
			options.Identity = s.ids[0]
			first, err := NewGroup(c.members[0].cfg, options)
			if err != nil {
				t.Fatal(err)
			}
			first.succession, first.predecessor = usage, g
			var bundle *KeyPackageBundle
			proposals := []Proposal{&PreSharedKey{PSK: id}}
			for i := 1; i < members; i++ {
				b, err := NewKeyPackage(c.members[i].cfg, KeyPackageOptions{Suite: options.Suite, Identity: s.ids[i]})
				if err != nil {
					t.Fatal(err)
				}
				if bundle == nil {
					bundle = b
				}
				proposals = append(proposals, &Add{KeyPackage: b.KeyPackage()})
			}
			if members > 2 && usage == ResumptionBranch { // one who is not in the group
				stranger := c.newClient()
				b, err := NewKeyPackage(stranger.cfg, KeyPackageOptions{Suite: options.Suite, Identity: stranger.id})
				if err != nil {
					t.Fatal(err)
				}
				proposals = append(proposals, &Add{KeyPackage: b.KeyPackage()})
			}
			if options.Leaf.Lifetime.NotAfter == lateMark {
				if first, err = oneEpochLater(first); err != nil {
					t.Fatal(err)
				}
				first.succession, first.predecessor = usage, g
			}
			pending, err := first.Commit(CommitOptions{Proposals: proposals})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Join(c.members[1].cfg, pending.Welcome(), bundle, JoinOptions{Previous: previous(c)})
			return err
		}
	}
	same := func(*crowd, *PreSharedKeyID) {}
	own := func(c *crowd) *Group { return c.members[1].g }
	next := GroupOptions{GroupID: []byte("next")}
	late := GroupOptions{GroupID: []byte("next"), Leaf: LeafOptions{Lifetime: Lifetime{lateMark - 10, lateMark}}}
	return []refusal{
		{CheckWelcomePSKUsage, "of no previous group", join(ResumptionBranch, 2, next, same, func(*crowd) *Group { return nil })},
		{CheckWelcomePSKUsage, "of another group", join(ResumptionBranch, 2, next, same, func(c *crowd) *Group {
			other := newCrowd(c.t, suite1, 2).members[1].g
			other.context.groupID = []byte("another")
			return other
		})},
		{CheckSuccessionEpoch, "branch", join(ResumptionBranch, 2, late, same, own)},
		{CheckSuccessionEpoch, "reinit", join(ResumptionReInit, 3, late, same, own)},
		{CheckReInitCommit, "no ReInit", join(ResumptionReInit, 3, next, func(c *crowd, _ *PreSharedKeyID) {
			c.members[1].g.reInit = nil
		}, own)},
		{CheckReInitCommit, "an earlier epoch", join(ResumptionReInit, 3, next, func(_ *crowd, id *PreSharedKeyID) { id.Epoch-- }, own)},
		{CheckReInitGroupID, "group ID", join(ResumptionReInit, 3, GroupOptions{GroupID: []byte("other")}, same, own)},
		{CheckReInitSuite, "suite", join(ResumptionReInit, 3, GroupOptions{GroupID: []byte("next"), Suite: ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519}, same, own)},
		{CheckReInitExtensions, "extensions", join(ResumptionReInit, 3, GroupOptions{GroupID: []byte("next"), Extensions: Extensions{(&RequiredCapabilities{}).Extension()}}, same, own)},
		{CheckReInitVersion, "a later one", join(ResumptionReInit, 3, next, func(c *crowd, _ *PreSharedKeyID) {
			c.members[1].g.reInit.Version = 2
		}, own)},
		{CheckReInitMembers, "one is missing", join(ResumptionReInit, 2, next, same, own)},
		{CheckBranchSuite, "another", join(ResumptionBranch, 2, GroupOptions{GroupID: []byte("next"), Suite: ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519}, same, own)},
		{CheckBranchMembers, "a stranger", join(ResumptionBranch, 3, next, same, own)},
		{CheckExternalPub, "absent", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			joiner := c.newClient()
			_, err := JoinExternal(joiner.cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{WithoutExternalPub: true})), ExternalJoinOptions{Identity: joiner.id})
			return err
		}},
		{CheckExternalSenderCredential, "not known", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			founder := c.newClient()
			founder.cfg.AuthenticationService = leafService{}
			_, err := NewGroup(founder.cfg, GroupOptions{Suite: suite1, Identity: founder.id, Extensions: Extensions{c.boss()}})
			return err
		}},
	}
}

func oneEpochLater(g *Group) (*Group, error) {
	pending, err := g.Commit(CommitOptions{})
	if err != nil {
		return nil, err
	}
	return pending.Group(), nil
}
