package mls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

const suite1 = ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519

// testTime is when all tests take place.
var testTime = time.Date(2025, time.January, 1, 12, 0, 0, 0, time.UTC)

// failer is what the harness needs of a testing.TB, and a rapid.T has too.
type failer interface {
	Helper()
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// A client is one participant of a test: its key package while it waits to be
// added, and its state once it is a member.
type client struct {
	name   string
	cfg    *Config
	id     Identity
	bundle *KeyPackageBundle
	g      *Group
}

// A crowd is a group with all its members and a perfect delivery service. Its
// methods fail the test if anything goes wrong.
type crowd struct {
	t     failer
	suite *ciphersuite.Suite
	rand  io.Reader
	as    AuthenticationService
	psks  map[string][]byte
	// componentPSKs are the application PSKs that all clients know.
	componentPSKs map[componentPSK][]byte

	now    time.Time
	format WireFormat // of handshake messages
	apart  bool       // the tree is not in the Welcome
	aad    []byte     // authenticated data of what is forged
	made   int        // clients made so far
	// configure, if set, changes the Config of new clients.
	configure func(*Config)
	// credential, if set, gives new clients another than a basic one.
	credential func(name string) Credential
	members    []*client
	invited    []*client
	// identify, if set, gives new clients another identity.
	identify func(*client)
	// oneSignature: key packages have no signature but that of their leaf.
	oneSignature bool
}

// A componentPSK names an application PSK.
type componentPSK struct {
	component ComponentID
	id        string
}

func lookup(t failer, id ciphersuite.ID) *ciphersuite.Suite {
	t.Helper()
	s, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newCrowd returns a group of n members. The first created it and added the
// others with one commit.
func newCrowd(t failer, id ciphersuite.ID, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, id)
	c.found(GroupOptions{})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

func emptyCrowd(t failer, id ciphersuite.ID) *crowd {
	return &crowd{
		t: t, suite: lookup(t, id), rand: rand.NewChaCha8([32]byte{1}), now: testTime, as: acceptAll{},
		psks: make(map[string][]byte), componentPSKs: make(map[componentPSK][]byte), format: WireFormatPrivateMessage,
	}
}

// found creates the group.
func (c *crowd) found(o GroupOptions) {
	c.t.Helper()
	founder := c.newClient()
	o.Suite, o.Identity = c.suite.ID(), founder.id
	var err error
	if founder.g, err = NewGroup(founder.cfg, o); err != nil {
		c.t.Fatal(err)
	}
	c.members = []*client{founder}
}

func (c *crowd) newClient() *client {
	c.t.Helper()
	name := fmt.Sprintf("client %d", c.made)
	c.made++
	signer, err := c.suite.GenerateSigner(c.rand)
	if err != nil {
		c.t.Fatal(err)
	}
	m := &client{
		name: name,
		id:   Identity{Credential: BasicCredential([]byte(name)), Signer: signer},
		cfg: &Config{
			AuthenticationService: c.as,
			Now:                   func() time.Time { return c.now },
			Rand:                  c.rand,
			ResumptionPSKs:        2,
			PSK: func(id PreSharedKeyID) ([]byte, error) {
				if psk, ok := c.psks[string(id.ID)]; ok && id.Type == PSKExternal {
					return psk, nil
				}
				if psk, ok := c.componentPSKs[componentPSK{id.Component, string(id.ID)}]; ok && id.Type == PSKApplication {
					return psk, nil
				}
				return nil, ErrUnknownPSK
			},
		},
	}
	if c.configure != nil {
		c.configure(m.cfg)
	}
	if c.credential != nil {
		m.id.Credential = c.credential(name)
	}
	if c.identify != nil {
		c.identify(m)
	}
	return m
}

// invite makes a client and returns the proposal to add it.
func (c *crowd) invite(o LeafOptions) *Add {
	c.t.Helper()
	joiner := c.newClient()
	var err error
	if joiner.bundle, err = NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: c.suite.ID(), Identity: joiner.id, Leaf: o, OneSignature: c.oneSignature}); err != nil {
		c.t.Fatal(err)
	}
	c.invited = append(c.invited, joiner)
	unverified, err := ParseKeyPackage(joiner.bundle.Message())
	if err != nil {
		c.t.Fatal(err)
	}
	k, err := unverified.Verify(joiner.cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	return &Add{KeyPackage: k}
}

// add has a member add n new ones with one commit.
func (c *crowd) add(by, n int) {
	c.t.Helper()
	var proposals []Proposal
	for range n {
		proposals = append(proposals, c.invite(LeafOptions{}))
	}
	c.commit(by, CommitOptions{Proposals: proposals})
}

// commit has a member commit, delivers that to everybody, lets those who are
// invited in and those who are removed out, and checks that all agree.
func (c *crowd) commit(by int, o CommitOptions) {
	c.t.Helper()
	if o.WireFormat == 0 {
		o.WireFormat = c.format
	}
	o.WithoutTree = o.WithoutTree || c.apart
	pending, err := c.members[by].g.Commit(o)
	if err != nil {
		c.t.Fatalf("%s commits: %v", c.members[by].name, err)
	}
	c.deliver(by, pending)
}

// deliver lets everybody take over the commit that a member has made.
func (c *crowd) deliver(by int, pending *PendingCommit) {
	c.t.Helper()
	var stay []*client
	for i, m := range c.members {
		if i == by {
			m.adopt(pending.Group())
			stay = append(stay, m)
			continue
		}
		next := c.process(i, pending.Message()).(*ReceivedCommit).Group()
		if next == nil { // removed
			m.g.Erase()
			continue
		}
		m.adopt(next)
		stay = append(stay, m)
	}
	for _, joiner := range c.invited {
		var o JoinOptions
		if c.apart {
			o.RatchetTree = pending.RatchetTree()
		}
		var err error
		if joiner.g, err = Join(joiner.cfg, pending.Welcome(), joiner.bundle, o); err != nil {
			c.t.Fatalf("%s joins: %v", joiner.name, err)
		}
		stay = append(stay, joiner)
	}
	c.members, c.invited = stay, nil
	c.checkAgreement()
}

// adopt goes on with the next epoch and erases the one before.
func (m *client) adopt(next *Group) {
	m.g.Erase()
	m.g = next
}

func (c *crowd) process(to int, message []byte) Received {
	c.t.Helper()
	received, err := c.members[to].g.Process(message)
	if err != nil {
		c.t.Fatalf("%s processes: %v", c.members[to].name, err)
	}
	return received
}

// propose has a member propose p, and everybody else receive that.
func (c *crowd) propose(by int, p Proposal) []byte {
	c.t.Helper()
	message, err := c.members[by].g.Propose(p, ProposeOptions{WireFormat: c.format})
	if err != nil {
		c.t.Fatalf("%s proposes: %v", c.members[by].name, err)
	}
	c.broadcast(by, message)
	return message
}

// proposeUpdate has a member propose to update its leaf.
func (c *crowd) proposeUpdate(by int, changes LeafChanges) []byte {
	c.t.Helper()
	message, err := c.members[by].g.ProposeUpdate(changes, ProposeOptions{WireFormat: c.format})
	if err != nil {
		c.t.Fatalf("%s proposes an update: %v", c.members[by].name, err)
	}
	c.broadcast(by, message)
	return message
}

func (c *crowd) broadcast(by int, message []byte) {
	c.t.Helper()
	for i := range c.members {
		if i != by {
			c.process(i, message)
		}
	}
}

// at returns the position among the members of the one at a leaf.
func (c *crowd) at(leaf LeafIndex) int {
	return slices.IndexFunc(c.members, func(m *client) bool { return m.g.OwnLeaf() == leaf })
}

// checkAgreement checks that all members are in the same epoch of the same
// group, with the same secrets, and hold the private keys they should.
func (c *crowd) checkAgreement() {
	c.t.Helper()
	first := c.members[0].g
	exported, err := first.Export("a label", []byte("a context"), 40)
	if err != nil {
		c.t.Fatal(err)
	}
	if first.tree.size > 1 && first.tree.size != 2*nextSmaller(first) {
		c.t.Errorf("tree of %d leaves is not as small as can be", first.tree.size)
	}
	// The trees are compared below, so one is checked for all.
	fresh := mustParseTree(c.t, first.RatchetTree())
	if !bytes.Equal(fresh.rootHash(c.suite), first.context.treeHash) {
		c.t.Errorf("the cached tree hash is not the tree's")
	}
	if err := fresh.verifyIntegrity(c.suite, first.context.groupID, nil); err != nil {
		c.t.Error(err)
	}
	for _, m := range c.members {
		got, err := m.g.Export("a label", []byte("a context"), 40)
		if err != nil {
			c.t.Fatal(err)
		}
		if !bytes.Equal(m.g.encodedContext, first.encodedContext) {
			c.t.Errorf("%s: another GroupContext", m.name)
		}
		if !bytes.Equal(m.g.EpochAuthenticator(), first.EpochAuthenticator()) || len(first.EpochAuthenticator()) == 0 {
			c.t.Errorf("%s: another epoch authenticator", m.name)
		}
		if !bytes.Equal(got, exported) {
			c.t.Errorf("%s: another exported secret", m.name)
		}
		if !bytes.Equal(m.g.RatchetTree(), first.RatchetTree()) || !bytes.Equal(m.g.tree.rootHash(c.suite), m.g.context.treeHash) {
			c.t.Errorf("%s: another tree", m.name)
		}
		if len(m.g.Members()) != len(c.members) {
			c.t.Errorf("%s: %d members, want %d", m.name, len(m.g.Members()), len(c.members))
		}
		for _, held := range m.g.keys {
			x, key := held.node, held.key
			if !leafPosition(m.g.own).InSubtree(x) {
				c.t.Errorf("%s: a key of node %d, which is not above leaf %d", m.name, x, m.g.own)
			}
			if m.g.tree.nodes[x].blank() || !bytes.Equal(key.PublicKey(), m.g.tree.nodes[x].encryptionKey()) || key.Bytes() == nil {
				c.t.Errorf("%s: the key of node %d is not the tree's, or erased", m.name, x)
			}
		}
		for _, x := range m.g.tree.size.DirectPath(leafPosition(m.g.own)) {
			p := m.g.tree.nodes[x].parent
			if p != nil && m.g.keys.at(x) == nil && !slices.Contains(p.unmergedLeaves, m.g.own) {
				c.t.Errorf("%s: no key of node %d", m.name, x)
			}
		}
	}
}

// nextSmaller returns half of the smallest full tree that holds g's members.
func nextSmaller(g *Group) (half treemath.Size) {
	members := g.Members()
	last := members[len(members)-1].Index
	for half = 1; uint32(2*half) <= uint32(last); half *= 2 {
	}
	return half
}

// checkMessages has every member send application data to all others.
func (c *crowd) checkMessages() {
	c.t.Helper()
	for by, m := range c.members {
		data := []byte("from " + m.name)
		message, err := m.g.Protect(data, []byte("to all"))
		if err != nil {
			c.t.Fatal(err)
		}
		for i := range c.members {
			if i == by {
				continue
			}
			a, ok := c.process(i, message).(*ReceivedApplication)
			if !ok || a.Sender != m.g.OwnLeaf() || !bytes.Equal(a.Data, data) || string(a.AuthenticatedData) != "to all" {
				c.t.Errorf("%s received %+v from %s", c.members[i].name, a, m.name)
			}
		}
	}
}

// restart has every member save its state and go on from what was saved.
func (c *crowd) restart() {
	c.t.Helper()
	for _, m := range c.members {
		m.g = m.clone(c.t)
	}
}

// clone returns a second copy of a member's state, as a thief gets who has the
// signature key as well.
func (m *client) clone(t failer) *Group {
	t.Helper()
	restored, err := RestoreGroup(m.cfg, m.g.signer, mustMarshal(t, m.g))
	if err != nil {
		t.Fatalf("%s restores: %v", m.name, err)
	}
	if !bytes.Equal(mustMarshal(t, m.g), mustMarshal(t, restored)) {
		t.Errorf("%s: the restored state is another", m.name)
	}
	return restored
}

func mustMarshal(t failer, g *Group) []byte {
	t.Helper()
	state, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// wantCheck fails the test unless err is an [*Error] for the rule check.
func wantCheck(t failer, err error, check Check) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("error %v, want one for the rule %s", err, check)
		return
	}
	if e.Check != check {
		t.Errorf("rule %s was broken (%v), want %s", e.Check, err, check)
	}
	if e.Section == "" {
		t.Errorf("rule %s has no section", e.Check)
	}
}

// shortReader gives some reads of zeros and then fails.
type shortReader struct{ reads int }

func (r *shortReader) Read(b []byte) (int, error) {
	if r.reads == 0 {
		return 0, errors.New("no randomness")
	}
	r.reads--
	clear(b)
	return len(b), nil
}
