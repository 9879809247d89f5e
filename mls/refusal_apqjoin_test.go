package mls

import (
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A badPair is how two groups that are no pair came to be: their founder keeps none of
// the rules of pairs that it breaks. What is nil does no harm.
type badPair struct {
	t, pq ciphersuite.ID // default: suite1 and pureSuite
	// info changes what both say from the beginning.
	info func(*APQInfo)
	// context changes the extensions of half 0, the traditional group, or half 1.
	context func(half int, x Extensions) Extensions
	// before has the founder do something to the groups before anybody joins.
	before func(c *apqCrowd, t, pq *Group) (nextT, nextPQ *Group)
	// after changes the APQInfo that the commit of who is added leads to in one half.
	// There is none if it returns false.
	after func(half int, info *APQInfo) bool
}

// found returns the two groups, in epoch 0 or what the founder did next.
func (b *badPair) found(c *apqCrowd) (t, pq *Group, info APQInfo) {
	c.t.Helper()
	founder := c.newClient()
	info = APQInfo{TGroupID: []byte("t"), PQGroupID: []byte("pq"), TSuite: b.t, PQSuite: b.pq}
	if info.TSuite == 0 {
		info.TSuite = suite1
	}
	if info.PQSuite == 0 {
		info.PQSuite = pureSuite
	}
	options := [2]GroupOptions{
		{Suite: info.TSuite, GroupID: info.TGroupID, Identity: founder.id}, {Suite: info.PQSuite, GroupID: info.PQGroupID, Identity: founder.id},
	}
	if b.info != nil {
		b.info(&info)
	}
	var groups [2]*Group
	for half, o := range options {
		x, err := apqContext(nil, info)
		if err != nil {
			c.t.Fatal(err)
		}
		if b.context != nil {
			x = b.context(half, x)
		}
		o.Extensions, o.Leaf = x, apqLeaf(o.Leaf)
		if groups[half], err = NewGroup(founder.cfg, o); err != nil {
			c.t.Fatal(err)
		}
	}
	if b.before != nil {
		groups[0], groups[1] = b.before(c, groups[0], groups[1])
	}
	return groups[0], groups[1], info
}

// keyPackages returns those of a new client, whatever the suites.
func (c *apqCrowd) keyPackages(t, pq ciphersuite.ID) (*apqClient, *APQKeyPackage) {
	c.t.Helper()
	m := c.newClient()
	m.bundle = &APQKeyPackageBundle{}
	var err error
	for _, half := range []struct {
		suite ciphersuite.ID
		made  **KeyPackageBundle
	}{{t, &m.bundle.T}, {pq, &m.bundle.PQ}} {
		if *half.made, err = newAPQHalf(m.cfg, KeyPackageOptions{Suite: half.suite, Identity: m.id}); err != nil {
			c.t.Fatal(err)
		}
	}
	return m, &APQKeyPackage{T: m.bundle.T.KeyPackage(), PQ: m.bundle.PQ.KeyPackage()}
}

// mustCommit returns the state that a commit leads to.
func (c *apqCrowd) mustCommit(g *Group, proposals ...Proposal) *PendingCommit {
	c.t.Helper()
	p, err := g.Commit(CommitOptions{Proposals: proposals})
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// welcome adds somebody, who tries to join and gets the error.
func (b *badPair) welcome(c *apqCrowd) error {
	c.t.Helper()
	t, pq, info := b.found(c)
	joiner, k := c.keyPackages(t.suite.ID(), pq.suite.ID())
	info.TEpoch, info.PQEpoch = t.Epoch()+1, pq.Epoch()+1
	var proposals [2][]Proposal
	for half := range proposals {
		after := info
		if b.after == nil || b.after(half, &after) {
			update := apqInfoUpdate{info: after}
			proposals[half] = []Proposal{&AppDataUpdate{Component: ComponentAPQInfo, Update: marshal(&update)}}
		}
	}
	second := c.mustCommit(pq, append(proposals[1], &Add{KeyPackage: k.PQ})...)
	psk, err := exportPSK(second.Group(), t.suite)
	if err != nil {
		c.t.Fatal(err)
	}
	named, err := psk.proposal(t.cfg, t.suite)
	if err != nil {
		c.t.Fatal(err)
	}
	t.pairKey = psk
	first := c.mustCommit(t, append(proposals[0], named, &Add{KeyPackage: k.T})...)
	_, err = JoinAPQ(joiner.cfg, joinPair(first.Welcome(), second.Welcome()), joiner.bundle, APQJoinOptions{})
	for _, half := range []*KeyPackageBundle{joiner.bundle.T, joiner.bundle.PQ} {
		if _, gone := half.Marshal(); (gone != nil) != (err == nil) {
			c.t.Errorf("joining: %v, and then the key package: %v", err, gone)
		}
	}
	return err
}

// outside has somebody try to join by a commit of its own, and returns the error.
func (b *badPair) outside(c *apqCrowd) error {
	c.t.Helper()
	t, pq, _ := b.found(c)
	infos := make([][]byte, 2)
	for half, g := range []*Group{t, pq} {
		var err error
		if infos[half], err = g.GroupInfo(GroupInfoOptions{}); err != nil {
			c.t.Fatal(err)
		}
	}
	joiner := c.newClient()
	_, err := JoinAPQExternal(joiner.cfg, joinPair(infos[0], infos[1]), APQExternalJoinOptions{T: ExternalJoinOptions{Identity: joiner.id}, PQ: ExternalJoinOptions{Identity: joiner.id}})
	return err
}

// apqJoinRefusals are the pairs that nobody joins.
func apqJoinRefusals() []refusal {
	var list []refusal
	// at has somebody who was added, or comes from outside, refuse a pair.
	at := func(check Check, name string, b badPair) {
		list = append(list, refusal{check, name + ", by a Welcome", func(t *testing.T) error { return b.welcome(newAPQCrowd(t, 1)) }})
		if b.after == nil {
			list = append(list, refusal{check, name + ", from outside", func(t *testing.T) error { return b.outside(newAPQCrowd(t, 1)) }})
		}
	}
	lacking := func(where int, id ExtensionType) func(int, Extensions) Extensions {
		return func(half int, x Extensions) Extensions {
			if half != where {
				return x
			}
			var rest Extensions
			for _, e := range x {
				if e.Type != id {
					rest = append(rest, e)
				}
			}
			return rest
		}
	}
	for half, name := range []string{"the traditional group", "the post-quantum group"} {
		at(CheckAPQInfo, "none in "+name, badPair{
			context: lacking(half, ExtensionAppDataDictionary),
			after:   func(at int, _ *APQInfo) bool { return at != half },
		})
		at(CheckAPQWireFormats, "not asked for in "+name, badPair{context: lacking(half, ExtensionRequiredWireFormats)})
		at(CheckAPQInfoEqual, "another group in "+name, badPair{context: func(at int, x Extensions) Extensions {
			if at != half {
				return x
			}
			info, err := apqInfoOf(x)
			if err != nil {
				panic(err)
			}
			info.PQGroupID = []byte("another")
			x, err = apqContext(x, info)
			if err != nil {
				panic(err)
			}
			return x
		}, after: func(at int, info *APQInfo) bool {
			if at == half {
				info.PQGroupID = []byte("another")
			}
			return true
		}})
		at(CheckAPQEpochs, "of before, of "+name, badPair{after: func(_ int, info *APQInfo) bool {
			if half == 0 {
				info.TEpoch--
			} else {
				info.PQEpoch--
			}
			return true
		}})
	}
	at(CheckAPQInfo, "none in either", badPair{
		context: func(_ int, x Extensions) Extensions {
			return lacking(0, ExtensionAppDataDictionary)(0, x)
		},
		after: func(int, *APQInfo) bool { return false },
	})
	at(CheckAPQGroups, "another traditional group", badPair{info: func(info *APQInfo) { info.TGroupID = []byte("another") }})
	at(CheckAPQGroups, "another post-quantum group", badPair{info: func(info *APQInfo) { info.PQGroupID = []byte("another") }})
	at(CheckAPQInfoSuites, "another traditional suite", badPair{info: func(info *APQInfo) { info.TSuite = ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519 }})
	at(CheckAPQInfoSuites, "another post-quantum suite", badPair{info: func(info *APQInfo) { info.PQSuite = ciphersuite.MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65 }})
	at(CheckAPQTraditional, "hybrid", badPair{t: ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519})
	at(CheckAPQTraditional, "post-quantum twice", badPair{t: pureSuite})
	at(CheckAPQPure, "hybrid", badPair{pq: ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519})
	at(CheckAPQPure, "traditional twice", badPair{pq: suite1})
	at(CheckAPQSignatures, "traditional where post-quantum ones are asked for", badPair{info: func(info *APQInfo) { info.Mode = APQAuthenticity }})
	at(CheckAPQMembers, "one more in the traditional group", badPair{before: func(c *apqCrowd, t, pq *Group) (*Group, *Group) {
		_, k := c.keyPackages(t.suite.ID(), pq.suite.ID())
		return c.mustCommit(t, &Add{KeyPackage: k.T}).Group(), pq
	}})
	at(CheckAPQMembers, "one more in the post-quantum group", badPair{before: func(c *apqCrowd, t, pq *Group) (*Group, *Group) {
		_, k := c.keyPackages(t.suite.ID(), pq.suite.ID())
		return t, c.mustCommit(pq, &Add{KeyPackage: k.PQ}).Group()
	}})
	at(CheckAPQClient, "two clients at one leaf", badPair{before: func(c *apqCrowd, t, pq *Group) (*Group, *Group) {
		_, one := c.keyPackages(t.suite.ID(), pq.suite.ID())
		_, other := c.keyPackages(t.suite.ID(), pq.suite.ID())
		return c.mustCommit(t, &Add{KeyPackage: one.T}).Group(), c.mustCommit(pq, &Add{KeyPackage: other.PQ}).Group()
	}})
	return list
}

// The pair that a badPair makes is a good one where nothing is changed.
func TestPairsAreGoodUnlessSpoilt(t *testing.T) {
	b := &badPair{}
	if err := b.welcome(newAPQCrowd(t, 1)); err != nil {
		t.Errorf("by a Welcome: %v", err)
	}
	if err := b.outside(newAPQCrowd(t, 1)); err != nil {
		t.Errorf("from outside: %v", err)
	}
}

// apqReceiverRefusals are full commits of somebody who keeps no rules, which members refuse.
func apqReceiverRefusals() []refusal {
	var list []refusal
	// full has member 0 do more in the halves than it may.
	full := func(check Check, name string, n int, more func(c *apqCrowd) (t, pq []Proposal)) {
		list = append(list, refusal{check, name + ", by another's commit", func(t *testing.T) error {
			c := newAPQCrowd(t, n)
			moreT, morePQ := more(c)
			return c.refusedFull(moreT, morePQ)
		}})
	}
	for half, name := range []string{"the traditional half", "the post-quantum half"} {
		in := func(p func(g *APQGroup, half int) Proposal) func(c *apqCrowd) (t, pq []Proposal) {
			return func(c *apqCrowd) (t, pq []Proposal) {
				var halves [2][]Proposal
				halves[half] = []Proposal{p(c.members[0].g, half)}
				return halves[0], halves[1]
			}
		}
		full(CheckAPQWireFormats, "dropped in "+name, 2, in(func(g *APQGroup, half int) Proposal {
			x := []*Group{g.t, g.pq.Group}[half].context.extensions
			return &GroupContextExtensions{Extensions: x.with(Extension{Type: ExtensionRequiredWireFormats, Data: []byte{0}})}
		}))
		full(CheckAPQMembers, "one less in "+name, 3, in(func(*APQGroup, int) Proposal { return &Remove{Removed: 2} }))
	}
	full(CheckAPQMembers, "one more in the traditional half", 2, func(c *apqCrowd) (t, pq []Proposal) {
		_, k := c.keyPackages(suite1, pureSuite)
		return []Proposal{&Add{KeyPackage: k.T}}, nil
	})
	full(CheckAPQMembers, "one more in the post-quantum half", 2, func(c *apqCrowd) (t, pq []Proposal) {
		_, k := c.keyPackages(suite1, pureSuite)
		return nil, []Proposal{&Add{KeyPackage: k.PQ}}
	})
	full(CheckAPQClient, "two clients at one leaf", 2, func(c *apqCrowd) (t, pq []Proposal) {
		_, one := c.keyPackages(suite1, pureSuite)
		_, other := c.keyPackages(suite1, pureSuite)
		return []Proposal{&Add{KeyPackage: one.T}}, []Proposal{&Add{KeyPackage: other.PQ}}
	})
	full(CheckAPQPSKPlace, "in the post-quantum half", 2, func(c *apqCrowd) (t, pq []Proposal) {
		for _, m := range c.members {
			m.g.pq.cfg.PSK = func(PreSharedKeyID) ([]byte, error) { return make([]byte, 32), nil }
		}
		p, err := (&apqPSK{id: []byte("another")}).proposal(c.members[0].cfg, c.members[0].g.pq.suite)
		if err != nil {
			c.t.Fatal(err)
		}
		return nil, []Proposal{p}
	})

	// Whoever comes from outside makes a full commit, with all that belongs to it.
	outside := func(check Check, name string, change func(o *APQExternalJoinOptions), send func(t, pq []byte) []byte) {
		list = append(list, refusal{check, "from outside, " + name, func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.refused(send(c.outsider(change)))
		}})
	}
	outside(CheckAPQPSK, "without the key", func(o *APQExternalJoinOptions) { o.T.pairKey = nil }, joinPair)
	outside(CheckAPQEpochs, "without the epochs", func(o *APQExternalJoinOptions) { o.T.Proposals, o.PQ.Proposals = nil, nil }, joinPair)
	outside(CheckAPQInfoEqual, "with the epochs in one half", func(o *APQExternalJoinOptions) { o.T.Proposals = nil }, joinPair)
	outside(CheckAPQPartial, "the traditional half alone", func(o *APQExternalJoinOptions) { o.T.pairKey = nil }, func(t, _ []byte) []byte { return t })
	outside(CheckAPQAlone, "the post-quantum half alone", func(*APQExternalJoinOptions) {}, func(_, pq []byte) []byte { return pq })
	return list
}

// refusedFull has member 0 make a full commit with more in its halves, and member 1 refuse it.
func (c *apqCrowd) refusedFull(t, pq []Proposal) error {
	c.t.Helper()
	g := c.members[0].g
	after := g.Info()
	after.TEpoch, after.PQEpoch = g.t.Epoch()+1, g.pq.Epoch()+1
	updates := apqUpdates(g.Info(), after)
	second := c.mustCommit(g.pq.Group, append(pq, updates...)...)
	k, err := exportPSK(second.Group(), g.t.suite)
	if err != nil {
		c.t.Fatal(err)
	}
	named, err := k.proposal(g.t.cfg, g.t.suite)
	if err != nil {
		c.t.Fatal(err)
	}
	g.t.pairKey = k
	first := c.mustCommit(g.t, append(append(t, named), updates...)...)
	g.t.pairKey = nil
	return c.refused(joinPair(first.Message(), second.Message()))
}

// outsider returns the halves of a full commit by which somebody comes from outside. change
// has it leave out what it should have.
func (c *apqCrowd) outsider(change func(o *APQExternalJoinOptions)) (t, pq []byte) {
	c.t.Helper()
	g, joiner := c.members[0].g, c.newClient()
	after := g.Info()
	after.TEpoch, after.PQEpoch = g.t.Epoch()+1, g.pq.Epoch()+1
	updates := apqUpdates(g.Info(), after)
	o := APQExternalJoinOptions{T: ExternalJoinOptions{Identity: joiner.id, Proposals: updates}, PQ: ExternalJoinOptions{Identity: joiner.id, Proposals: updates}}
	o.T.pairKey = &apqPSK{} // stands for the key, which is not there yet
	change(&o)
	enter := func(g *Group, o ExternalJoinOptions) *PendingCommit {
		c.t.Helper()
		info, err := g.GroupInfo(GroupInfoOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		p, err := JoinExternal(joiner.cfg, info, o)
		if err != nil {
			c.t.Fatal(err)
		}
		return p
	}
	second := enter(g.pq.Group, o.PQ)
	if o.T.pairKey != nil {
		k, err := exportPSK(second.Group(), g.t.suite)
		if err != nil {
			c.t.Fatal(err)
		}
		named, err := k.proposal(joiner.cfg, g.t.suite)
		if err != nil {
			c.t.Fatal(err)
		}
		o.T.pairKey, o.T.PSKs = k, []PreSharedKeyID{named.PSK}
	}
	return enter(g.t, o.T).Message(), second.Message()
}

// Members take what somebody from outside sends who leaves out nothing.
func TestOutsidersAreTakenUnlessTheyLeaveOutSomething(t *testing.T) {
	c := newAPQCrowd(t, 2)
	for _, m := range c.members {
		received, err := m.g.Process(joinPair(c.outsider(func(*APQExternalJoinOptions) {})))
		if err != nil || received.Group() == nil {
			t.Errorf("%s: %+v, %v", m.name, received, err)
		}
	}
}
