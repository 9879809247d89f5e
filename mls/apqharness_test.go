package mls

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const pureSuite = ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519

// An apqClient is one participant of a test of pairs of groups.
type apqClient struct {
	name   string
	cfg    *Config
	id     Identity
	bundle *APQKeyPackageBundle
	g      *APQGroup
}

// An apqCrowd is a pair of groups with all its members and a perfect delivery
// service. Its methods fail the test if anything goes wrong.
type apqCrowd struct {
	t       failer
	rand    io.Reader
	made    int
	format  WireFormat
	members []*apqClient
	invited []*apqClient
	// watched: an observer sees each commit that is public.
	watched bool
}

// newAPQCrowd returns a pair of groups of n members.
func newAPQCrowd(t failer, n int) *apqCrowd {
	t.Helper()
	c := &apqCrowd{t: t, rand: rand.NewChaCha8([32]byte{7}), format: WireFormatPrivateMessage}
	founder := c.newClient()
	g, err := NewAPQGroup(founder.cfg, APQGroupOptions{
		T:  GroupOptions{Suite: suite1, Identity: founder.id},
		PQ: GroupOptions{Suite: pureSuite, Identity: founder.id},
	})
	if err != nil {
		t.Fatal(err)
	}
	founder.g = g
	c.members = []*apqClient{founder}
	if n > 1 {
		c.commit(0, APQCommitOptions{Add: c.invite(n - 1)})
	}
	return c
}

func (c *apqCrowd) newClient() *apqClient {
	c.t.Helper()
	m := &apqClient{name: fmt.Sprintf("client %d", c.made)}
	c.made++
	m.id = c.newIdentity(m.name)
	m.cfg = &Config{
		AuthenticationService: acceptAll{},
		Now:                   func() time.Time { return testTime },
		Rand:                  c.rand,
		Components:            []Component{APQComponent()},
		WireFormats:           WireFormats{WireFormatAPQMessagePair},
		ResumptionPSKs:        1,
	}
	return m
}

func (c *apqCrowd) newIdentity(name string) Identity {
	c.t.Helper()
	signer, err := lookup(c.t, suite1).GenerateSigner(c.rand)
	if err != nil {
		c.t.Fatal(err)
	}
	return Identity{Credential: BasicCredential([]byte(name)), Signer: signer}
}

// keyPackageOptions are those of a client for suite1 and pureSuite.
func (m *apqClient) keyPackageOptions() APQKeyPackageOptions {
	return APQKeyPackageOptions{T: KeyPackageOptions{Suite: suite1, Identity: m.id}, PQ: KeyPackageOptions{Suite: pureSuite, Identity: m.id}}
}

// invite makes clients and returns their key packages.
func (c *apqCrowd) invite(n int) (added []*APQKeyPackage) {
	c.t.Helper()
	for range n {
		joiner := c.newClient()
		var err error
		if joiner.bundle, err = NewAPQKeyPackage(joiner.cfg, joiner.keyPackageOptions()); err != nil {
			c.t.Fatal(err)
		}
		unverified, err := ParseAPQKeyPackage(joiner.bundle.Message())
		if err != nil {
			c.t.Fatal(err)
		}
		k, err := unverified.Verify(c.members[0].cfg, APQConfidentiality)
		if err != nil {
			c.t.Fatal(err)
		}
		c.invited = append(c.invited, joiner)
		added = append(added, k)
	}
	return added
}

// commit has a member commit, delivers that to everybody, and checks that all agree.
func (c *apqCrowd) commit(by int, o APQCommitOptions) *APQPendingCommit {
	c.t.Helper()
	o.T.WireFormat = c.format
	pending, err := c.members[by].g.Commit(o)
	if err != nil {
		c.t.Fatalf("%s commits: %v", c.members[by].name, err)
	}
	c.deliver(by, pending)
	return pending
}

// deliver lets everybody take over the commit that a member has made.
func (c *apqCrowd) deliver(by int, pending *APQPendingCommit) {
	c.t.Helper()
	var seen *APQObserver
	if c.watched && c.format == WireFormatPublicMessage {
		seen = c.observe(by, pending.Message())
	}
	var stay []*apqClient
	for i, m := range c.members {
		if i == by {
			m.adopt(pending.Group())
			stay = append(stay, m)
			continue
		}
		received, err := m.g.Process(pending.Message())
		if err != nil {
			c.t.Fatalf("%s processes: %v", m.name, err)
		}
		if commit, ok := received.T.(*ReceivedCommit); !ok {
			c.t.Fatalf("%s gets a %T", m.name, received.T)
		} else if commit.Removed {
			m.g.Erase()
			continue
		}
		m.adopt(received.Group())
		stay = append(stay, m)
	}
	for _, joiner := range c.invited {
		var err error
		if joiner.g, err = JoinAPQ(joiner.cfg, pending.Welcome(), joiner.bundle, APQJoinOptions{}); err != nil {
			c.t.Fatalf("%s joins: %v", joiner.name, err)
		}
		stay = append(stay, joiner)
	}
	c.members, c.invited = stay, nil
	c.checkAgreement()
	if seen != nil {
		c.wantSameView(seen)
	}
}

// observer returns an observer of the epochs that a member is in.
func (c *apqCrowd) observer(of int) *APQObserver {
	c.t.Helper()
	info, err := c.members[of].g.GroupInfo(GroupInfoOptions{WithoutExternalPub: true})
	if err != nil {
		c.t.Fatal(err)
	}
	o, err := NewAPQObserver(c.newClient().cfg, info)
	if err != nil {
		c.t.Fatalf("the observer begins: %v", err)
	}
	return o
}

// observe returns what an observer of a member's epochs sees a commit lead to.
func (c *apqCrowd) observe(of int, commit []byte) *APQObserver {
	c.t.Helper()
	seen, err := c.observer(of).Process(commit)
	if err != nil {
		c.t.Fatalf("the observer: %v", err)
	}
	return seen.Observer()
}

// wantSameView checks that an observer sees what the members do.
func (c *apqCrowd) wantSameView(o *APQObserver) {
	c.t.Helper()
	for _, half := range []struct {
		o *Observer
		g *Group
	}{{o.T(), c.members[0].g.T()}, {o.PQ(), c.members[0].g.PQ()}} {
		if !bytes.Equal(half.o.encodedContext, half.g.encodedContext) || !bytes.Equal(half.o.TreeHash(), half.g.tree.rootHash(half.g.suite)) {
			c.t.Errorf("the observer is in another epoch of suite %v: %d, want %d", half.g.suite.ID(), half.o.Epoch(), half.g.Epoch())
		}
	}
}

func (m *apqClient) adopt(next *APQGroup) {
	m.g.Erase()
	m.g = next
}

// checkAgreement checks that all are in the same epochs of the same groups.
func (c *apqCrowd) checkAgreement() {
	c.t.Helper()
	first := c.members[0].g
	for _, m := range c.members {
		for _, half := range []struct{ a, b *Group }{{first.T(), m.g.T()}, {first.PQ(), m.g.PQ()}} {
			if !bytes.Equal(half.a.encodedContext, half.b.encodedContext) || !bytes.Equal(half.a.EpochAuthenticator(), half.b.EpochAuthenticator()) || half.b.EpochAuthenticator() == nil {
				c.t.Errorf("%s: another epoch of suite %v", m.name, half.b.Suite().ID())
			}
			if len(half.b.Members()) != len(c.members) {
				c.t.Errorf("%s: %d members, want %d", m.name, len(half.b.Members()), len(c.members))
			}
		}
		info, err := verifyAPQ(&m.g.t.publicState, &m.g.pq.publicState)
		if err != nil {
			c.t.Errorf("%s: %v", m.name, err)
		}
		if info.PQEpoch != m.g.PQ().Epoch() || info.TEpoch > m.g.T().Epoch() {
			c.t.Errorf("%s: epochs %d and %d, APQInfo %+v", m.name, m.g.T().Epoch(), m.g.PQ().Epoch(), info)
		}
	}
}

// checkMessages has every member send application data to all others.
func (c *apqCrowd) checkMessages() {
	c.t.Helper()
	for by, m := range c.members {
		message, err := m.g.Protect([]byte("from "+m.name), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		for i, other := range c.members {
			if i == by {
				continue
			}
			received, err := other.g.Process(message)
			if err != nil {
				c.t.Fatalf("%s: %v", other.name, err)
			}
			if a, ok := received.T.(*ReceivedApplication); !ok || string(a.Data) != "from "+m.name || received.PQ != nil || received.Group() != nil {
				c.t.Errorf("%s received %+v", other.name, received)
			}
		}
	}
}

// restart has every member save its state and go on from what was saved.
func (c *apqCrowd) restart() {
	c.t.Helper()
	for _, m := range c.members {
		state := mustMarshalAPQ(c.t, m.g)
		restored, err := RestoreAPQGroup(m.cfg, m.g.t.signer, m.g.pq.signer, state)
		if err != nil {
			c.t.Fatalf("%s restores: %v", m.name, err)
		}
		if !bytes.Equal(mustMarshalAPQ(c.t, restored), state) {
			c.t.Errorf("%s: the restored state is another", m.name)
		}
		m.g = restored
	}
}

func mustMarshalAPQ(t failer, g *APQGroup) []byte {
	t.Helper()
	state, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return state
}
