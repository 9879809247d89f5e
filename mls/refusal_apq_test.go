package mls

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// apqRefusals are the ways to break the rules of pairs of groups.
func apqRefusals() []refusal {
	created := func(change func(*APQGroupOptions)) func(*testing.T) error {
		return func(t *testing.T) error {
			m := newAPQCrowd(t, 1).members[0]
			o := APQGroupOptions{T: GroupOptions{Suite: suite1, Identity: m.id}, PQ: GroupOptions{Suite: pureSuite, Identity: m.id}}
			change(&o)
			_, err := NewAPQGroup(m.cfg, o)
			return err
		}
	}
	updated := func(updates ...apqInfoUpdate) func(*testing.T) error {
		return func(t *testing.T) error {
			_, err := updateAPQInfo(marshal(&APQInfo{TSuite: suite1, PQSuite: pureSuite, TEpoch: 3, PQEpoch: 2}), encodedUpdates(updates))
			return err
		}
	}
	epochs := []apqInfoUpdate{{kind: apqNewTEpoch, epoch: 4}, {kind: apqNewPQEpoch, epoch: 3}}
	return []refusal{
		{CheckAPQInfo, "none in a group", func(t *testing.T) error {
			g := newAPQCrowd(t, 1).members[0].g
			_, err := verifyAPQ(&newCrowd(t, suite1, 1).members[0].g.publicState, &g.pq.publicState)
			return err
		}},
		{CheckAPQInfo, "of an undefined mode", func(t *testing.T) error {
			_, err := ParseAPQInfo(marshal(&APQInfo{Mode: 2}))
			return err
		}},
		{CheckAPQInfo, "malformed where a group is created", func(t *testing.T) error {
			m := newAPQCrowd(t, 1).members[0]
			x, err := AppDataDictionary{{ID: ComponentAPQInfo, Data: []byte{1}}}.Extension()
			if err != nil {
				t.Fatal(err)
			}
			_, err = NewGroup(m.cfg, GroupOptions{Suite: suite1, Identity: m.id, Extensions: Extensions{x}})
			return err
		}},
		{CheckAPQInfoEqual, "other epochs", func(t *testing.T) error {
			return newAPQCrowd(t, 2).changedInfo(true, func(info *APQInfo, _ *APQGroup) { info.TEpoch++ })
		}},
		{CheckAPQGroups, "another group", func(t *testing.T) error {
			g := newAPQCrowd(t, 1).members[0].g
			g.t.context.groupID = []byte("another")
			_, err := verifyAPQ(&g.t.publicState, &g.pq.publicState)
			return err
		}},
		{CheckAPQInfoSuites, "another suite", func(t *testing.T) error {
			g := newAPQCrowd(t, 1).members[0].g
			g.t.suite = lookup(t, ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519)
			_, err := verifyAPQ(&g.t.publicState, &g.pq.publicState)
			return err
		}},
		{CheckAPQEpochs, "the epochs of before", func(t *testing.T) error {
			return newAPQCrowd(t, 2).changedInfo(false, func(info *APQInfo, g *APQGroup) { *info = g.Info() })
		}},
		{CheckAPQEpochs, "an epoch that is to come", func(t *testing.T) error {
			return newAPQCrowd(t, 2).changedInfo(false, func(info *APQInfo, _ *APQGroup) { info.PQEpoch++ })
		}},
		{CheckAPQTraditional, "hybrid", created(func(o *APQGroupOptions) { o.T.Suite = ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519 })},
		{CheckAPQTraditional, "post-quantum twice", created(func(o *APQGroupOptions) { o.T.Suite = pureSuite })},
		{CheckAPQPure, "hybrid", created(func(o *APQGroupOptions) { o.PQ.Suite = ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519 })},
		{CheckAPQPure, "traditional twice", created(func(o *APQGroupOptions) { o.PQ.Suite = suite1 })},
		{CheckAPQPure, "in a pair of key packages", func(t *testing.T) error {
			m := newAPQCrowd(t, 1).members[0]
			o := m.keyPackageOptions()
			o.PQ.Suite = suite1
			_, err := NewAPQKeyPackage(m.cfg, o)
			return err
		}},
		{CheckAPQSignatures, "traditional where post-quantum ones are asked for", created(func(o *APQGroupOptions) { o.Mode = APQAuthenticity })},
		{CheckAPQRemove, "by a member", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			_, err := c.members[0].g.Commit(APQCommitOptions{Full: true, PQ: CommitOptions{Proposals: []Proposal{&AppDataUpdate{Component: ComponentAPQInfo, Remove: true}}}})
			wantCheck(t, err, CheckAppDataUpdateList)
			_, err = c.members[0].g.pq.Commit(CommitOptions{Proposals: []Proposal{&AppDataUpdate{Component: ComponentAPQInfo, Remove: true}}})
			return err
		}},
		{CheckAPQUpdateFormat, "an undefined type", func(t *testing.T) error {
			_, err := updateAPQInfo(nil, []ComponentUpdate{{Data: []byte{3, 0, 0, 0, 0, 0, 0, 0, 0}}})
			return err
		}},
		{CheckAPQUpdateFormat, "more behind it", func(t *testing.T) error {
			_, err := updateAPQInfo(nil, []ComponentUpdate{{Data: append(marshal(&apqInfoUpdate{}), 0)}})
			return err
		}},
		{CheckAPQUpdateList, "one epoch", updated(epochs[0])},
		{CheckAPQUpdateList, "one epoch twice", updated(epochs[0], epochs[0])},
		{CheckAPQUpdateList, "three", updated(epochs[0], epochs[1], epochs[0])},
		{CheckAPQUpdateList, "a full one and an epoch", updated(apqInfoUpdate{}, epochs[1])},
		{CheckAPQUpdateList, "two full ones", updated(apqInfoUpdate{}, apqInfoUpdate{})},
		{CheckAPQFirstUpdate, "where there is no APQInfo", func(t *testing.T) error {
			_, err := updateAPQInfo(nil, encodedUpdates(epochs))
			return err
		}},
		{CheckAPQFirstUpdate, "in new groups", func(t *testing.T) error {
			_, err := updateAPQInfo(marshal(&APQInfo{}), encodedUpdates(epochs))
			return err
		}},
		{CheckAPQImmutable, "mode", updated(apqInfoUpdate{info: APQInfo{TSuite: suite1, PQSuite: pureSuite, Mode: 1}})},
		{CheckAPQImmutable, "suite", updated(apqInfoUpdate{info: APQInfo{TSuite: suite1, PQSuite: suite1}})},
		{CheckAPQImmutable, "traditional suite", updated(apqInfoUpdate{info: APQInfo{TSuite: pureSuite, PQSuite: pureSuite}})},
		{CheckAPQImmutable, "traditional group", updated(apqInfoUpdate{info: APQInfo{TSuite: suite1, PQSuite: pureSuite, TGroupID: []byte("another")}})},
		{CheckAPQImmutable, "group", func(t *testing.T) error {
			return newAPQCrowd(t, 2).changedInfo(false, func(info *APQInfo, _ *APQGroup) { info.PQGroupID = []byte("another") })
		}},
		{CheckAPQWireFormats, "dropped by a full commit", func(t *testing.T) error {
			g := newAPQCrowd(t, 2).members[0].g
			extensions := g.t.context.extensions.with(Extension{Type: ExtensionRequiredWireFormats, Data: []byte{0}})
			_, err := g.Commit(APQCommitOptions{Full: true, T: CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions: extensions}}}})
			return err
		}},
		{CheckAPQMembers, "one more in the traditional group", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			_, err := c.members[0].g.Commit(APQCommitOptions{Full: true, T: CommitOptions{Proposals: []Proposal{&Add{KeyPackage: c.invite(1)[0].T}}}})
			return err
		}},
		{CheckAPQMembers, "one less in the post-quantum group", func(t *testing.T) error {
			_, err := newAPQCrowd(t, 3).members[0].g.Commit(APQCommitOptions{PQ: CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}}})
			return err
		}},
		{CheckAPQClient, "two clients' key packages", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			added := c.invite(2)
			added[0].PQ, added[1].PQ = added[1].PQ, added[0].PQ
			_, err := c.members[0].g.Commit(APQCommitOptions{Add: added})
			return err
		}},
		{CheckAPQPartial, "with an Add", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.partial(&Add{KeyPackage: c.invite(1)[0].T})
		}},
		{CheckAPQPartial, "with a Remove", func(t *testing.T) error { return newAPQCrowd(t, 3).partial(&Remove{Removed: 2}) }},
		{CheckAPQPartial, "that removes the receiver", func(t *testing.T) error { return newAPQCrowd(t, 3).partial(&Remove{Removed: 1}) }},
		{CheckAPQPartial, "with the APQInfo", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.partial(apqUpdates(c.members[0].g.Info(), c.members[0].g.Info())...)
		}},
		{CheckAPQPartial, "with other extensions", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.partial(&GroupContextExtensions{Extensions: c.members[0].g.t.context.extensions})
		}},
		{CheckAPQPartial, "with a ReInit", func(t *testing.T) error {
			return newAPQCrowd(t, 2).partial(&ReInit{GroupID: []byte("x"), Version: MLS10, CipherSuite: suite1})
		}},
		{CheckAPQPartial, "with a key of the pair", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			k := &apqPSK{id: []byte("id"), secret: make([]byte, 32)}
			for _, m := range c.members {
				m.g.t.pairKey = k
			}
			p, err := k.proposal(c.members[0].cfg, c.members[0].g.t.suite)
			if err != nil {
				t.Fatal(err)
			}
			return c.partial(p)
		}},
		{CheckAPQProposal, "an Add", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.proposed(&Add{KeyPackage: c.invite(1)[0].T})
		}},
		{CheckAPQProposal, "a Remove", func(t *testing.T) error { return newAPQCrowd(t, 3).proposed(&Remove{Removed: 2}) }},
		{CheckAPQProposal, "a pair of Removes", func(t *testing.T) error {
			c := newAPQCrowd(t, 3)
			var halves [2][]byte
			for i, g := range []*Group{c.members[0].g.t, c.members[0].g.pq.Group} {
				var err error
				if halves[i], err = g.Propose(&Remove{Removed: 2}, ProposeOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			return c.refused(joinPair(halves[0], halves[1]))
		}},
		{CheckAPQPSK, "none", func(t *testing.T) error {
			return newAPQCrowd(t, 2).forgedFull(func(*apqPSK) []Proposal { return nil })
		}},
		{CheckAPQPSK, "two", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.forgedFull(func(k *apqPSK) []Proposal {
				var list []Proposal
				for range 2 {
					p, err := k.proposal(c.members[0].cfg, c.members[0].g.t.suite)
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, p)
				}
				return list
			})
		}},
		{CheckAPQPSK, "another that the receiver knows", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			secret := make([]byte, 32)
			for _, m := range c.members {
				m.g.t.cfg.PSK = func(PreSharedKeyID) ([]byte, error) { return secret, nil }
			}
			return c.forgedFull(func(*apqPSK) []Proposal {
				p, err := (&apqPSK{id: []byte("another")}).proposal(c.members[0].cfg, c.members[0].g.t.suite)
				if err != nil {
					t.Fatal(err)
				}
				return []Proposal{p}
			})
		}},
		{CheckAPQPSK, "none in a Welcome", func(t *testing.T) error {
			c := newAPQCrowd(t, 1)
			g, k := c.members[0].g, c.invite(1)[0]
			after := g.Info()
			after.TEpoch, after.PQEpoch = 1, 1
			updates := apqUpdates(g.Info(), after)
			second, err := g.pq.Commit(CommitOptions{Proposals: append([]Proposal{&Add{KeyPackage: k.PQ}}, updates...)})
			if err != nil {
				t.Fatal(err)
			}
			first, err := g.t.Commit(CommitOptions{Proposals: append([]Proposal{&Add{KeyPackage: k.T}}, updates...)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = JoinAPQ(c.invited[0].cfg, joinPair(first.Welcome(), second.Welcome()), c.invited[0].bundle, APQJoinOptions{})
			return err
		}},
		{CheckAPQPSKPlace, "in the post-quantum half", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			for _, m := range c.members {
				m.g.pq.cfg.PSK = func(PreSharedKeyID) ([]byte, error) { return make([]byte, 32), nil }
			}
			p, err := (&apqPSK{id: []byte("another")}).proposal(c.members[0].cfg, c.members[0].g.pq.suite)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.members[0].g.Commit(APQCommitOptions{Full: true, PQ: CommitOptions{Proposals: []Proposal{p}}})
			return err
		}},
		{CheckAPQHalves, "a proposal and a commit", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			first, err := c.members[0].g.t.ProposeUpdate(LeafChanges{}, ProposeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.members[0].g.pq.Commit(CommitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(joinPair(first, second.Message()))
		}},
		{CheckAPQHalves, "of two senders", func(t *testing.T) error {
			c := newAPQCrowd(t, 3)
			first, err := c.members[0].g.t.ProposeUpdate(LeafChanges{}, ProposeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.members[2].g.pq.ProposeUpdate(LeafChanges{}, ProposeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(joinPair(first, second))
		}},
		{CheckAPQAlone, "a commit", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			p, err := c.members[0].g.pq.Commit(CommitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(p.Message())
		}},
		{CheckAPQAlone, "application data", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.refused(mustProtect(t, c.members[0].g.pq.Group))
		}},
		{CheckAPQPairNested, "a pair of pairs", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			p, err := c.members[0].g.Commit(APQCommitOptions{Full: true})
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(joinPair(p.Message(), p.Message()))
		}},
		{CheckAPQPairFormat, "a public and a private message", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			first, err := c.members[0].g.t.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
			if err != nil {
				t.Fatal(err)
			}
			second, err := c.members[0].g.pq.Commit(CommitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(joinPair(first.Message(), second.Message()))
		}},
		{CheckAPQPairFormat, "named otherwise", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			p, err := c.members[0].g.Commit(APQCommitOptions{Full: true})
			if err != nil {
				t.Fatal(err)
			}
			message := bytes.Clone(p.Message())
			message[5] = byte(WireFormatPublicMessage)
			return c.refused(message)
		}},
		{CheckAPQPairApplication, "in both", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			return c.refused(joinPair(mustProtect(t, c.members[0].g.t), mustProtect(t, c.members[0].g.pq.Group)))
		}},
		{CheckAPQPairApplication, "in one", func(t *testing.T) error {
			c := newAPQCrowd(t, 2)
			p, err := c.members[0].g.pq.Commit(CommitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(joinPair(mustProtect(t, c.members[0].g.t), p.Message()))
		}},
	}
}

func encodedUpdates(updates []apqInfoUpdate) (encoded []ComponentUpdate) {
	for i := range updates {
		encoded = append(encoded, ComponentUpdate{Data: marshal(&updates[i])})
	}
	return encoded
}

// refused has member 1 process a message and returns the error. Nothing may have
// changed.
func (c *apqCrowd) refused(message []byte) error {
	c.t.Helper()
	m := c.members[1]
	before := mustMarshalAPQ(c.t, m.g)
	received, err := m.g.Process(message)
	if err == nil {
		c.t.Errorf("%+v was taken", received)
	}
	if !bytes.Equal(mustMarshalAPQ(c.t, m.g), before) {
		c.t.Error("a message that was refused has changed the state")
	}
	return err
}

// partial has member 0 commit proposals in the traditional group alone: its own
// checks refuse that, and so does member 1.
func (c *apqCrowd) partial(proposals ...Proposal) error {
	c.t.Helper()
	g := c.members[0].g
	_, err := g.Commit(APQCommitOptions{T: CommitOptions{Proposals: proposals}})
	wantCheck(c.t, err, CheckAPQPartial)
	p, err := g.t.Commit(CommitOptions{Proposals: proposals})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.refused(p.Message())
}

// proposed has member 0 send a proposal to the traditional group alone.
func (c *apqCrowd) proposed(p Proposal) error {
	c.t.Helper()
	message, err := c.members[0].g.t.Propose(p, ProposeOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.refused(message)
}

// changedInfo has member 0 make a full commit with another APQInfo: in the
// traditional group alone, or in both.
func (c *apqCrowd) changedInfo(alone bool, change func(*APQInfo, *APQGroup)) error {
	c.t.Helper()
	g := c.members[0].g
	right := g.Info()
	right.TEpoch, right.PQEpoch = g.t.Epoch()+1, g.pq.Epoch()+1
	wrong := right
	change(&wrong, g)
	update := func(info *APQInfo) Proposal {
		return &AppDataUpdate{Component: ComponentAPQInfo, Update: marshal(&apqInfoUpdate{info: *info})}
	}
	second := update(&wrong)
	if alone {
		second = update(&right)
	}
	return c.fullOf(func(k *apqPSK) []Proposal {
		p, err := k.proposal(g.t.cfg, g.t.suite)
		if err != nil {
			c.t.Fatal(err)
		}
		return []Proposal{p, update(&wrong)}
	}, second)
}

// forgedFull has member 0 make a full commit with other keys.
func (c *apqCrowd) forgedFull(keys func(*apqPSK) []Proposal) error {
	c.t.Helper()
	g := c.members[0].g
	after := g.Info()
	after.TEpoch, after.PQEpoch = g.t.Epoch()+1, g.pq.Epoch()+1
	updates := apqUpdates(g.Info(), after)
	return c.fullOf(func(k *apqPSK) []Proposal { return append(keys(k), updates...) }, updates...)
}

// fullOf has member 0 make a full commit of whatever proposals, and member 1
// refuse it. If member 0 cannot even make one, it returns that error.
func (c *apqCrowd) fullOf(t func(*apqPSK) []Proposal, pq ...Proposal) error {
	c.t.Helper()
	g := c.members[0].g
	second, err := g.pq.Commit(CommitOptions{Proposals: pq})
	if err != nil {
		return err
	}
	k, err := exportPSK(second.Group(), g.t.suite)
	if err != nil {
		c.t.Fatal(err)
	}
	g.t.pairKey = k
	first, err := g.t.Commit(CommitOptions{Proposals: t(k)})
	g.t.pairKey = nil
	if err != nil {
		return err
	}
	return c.refused(joinPair(first.Message(), second.Message()))
}
