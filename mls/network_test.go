package mls

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A network is a group whose members hear of each other through a delivery
// service that delays, reorders, repeats and loses messages. The service takes
// the first commit of each epoch and refuses all others, and it is able to
// repeat what it has taken. An [Observer] follows what goes through it.
//
// Its methods fail the test where a member does what it should not.
type network struct {
	*crowd
	endpoints []*endpoint
	gone      []*endpoint        // removed, with the last state that they had
	waiting   map[string]*client // invited, by name
	head      uint64             // the newest epoch
	letters   map[uint64][]*letter
	commits   map[uint64]*letter // the one that was taken, by the epoch it was sent in
	facts     map[uint64]facts
	observer  *Observer // nil: it has lost track, since a commit was not public

	authority crypto.Signer // of external sender 0
	faults    *faults

	targeted bool // members send to one another
}

// An endpoint is a member on the network.
type endpoint struct {
	*client
	inbox   []*letter
	seen    map[*letter]bool
	pending *PendingCommit // its own, that was taken and has not come back yet
}

// A letter is a message on its way.
type letter struct {
	message    []byte
	kind       ContentType
	epoch      uint64
	private    bool
	selfRemove bool        // of proposals
	from       string      // name of the sender
	data       string      // of application data
	to         []LeafIndex // of targeted messages
	toName     string      // of the only recipient
	leaf       LeafIndex   // of their sender
	welcome    []byte      // of commits
	tree       []byte      // of commits
}

// facts are what all members of an epoch agree on.
type facts struct {
	authenticator, treeHash, exported, context []byte
}

// faults makes a call to one of the things that a group depends on fail.
type faults struct {
	after int // calls until one fails; negative: none does
	hit   bool
}

var errFault = errors.New("injected fault")

func (f *faults) next() error {
	if f.after < 0 {
		return nil
	}
	f.after--
	if f.after >= 0 {
		return nil
	}
	f.hit = true
	return errFault
}

type faultyReader struct {
	io.Reader
	*faults
}

func (r faultyReader) Read(b []byte) (int, error) {
	if err := r.next(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

type faultySigner struct {
	crypto.Signer
	*faults
}

func (s faultySigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Signer.Sign(r, digest, o)
}

type faultyService struct{ *faults }

func (s faultyService) ValidateLeaf(leaf, previous *LeafNode) error {
	if previous != nil && !leaf.Credential.Equal(previous.Credential) {
		return fmt.Errorf("%q takes the place of %q", leaf.Credential.Identity, previous.Credential.Identity)
	}
	return s.next()
}

func (s faultyService) ValidateExternalSender(*ExternalSender) error { return s.next() }

// colour is an extension of the GroupContext, and paint the proposal to change it.
const colour ExtensionType = 0xF0C0

var paint = CustomProposalType{
	Type: 0xF0C1, Name: "paint", External: true,
	Validate: func(p *CustomProposal, in ProposalContext) error {
		if len(p.Data) > 8 {
			return errors.New("too much paint")
		}
		return nil
	},
	Apply: func(p *CustomProposal, in ProposalContext) (Extensions, error) {
		kept := slices.DeleteFunc(slices.Clone(in.Extensions), func(x Extension) bool { return x.Type == colour })
		return append(kept, Extension{Type: colour, Data: p.Data}), nil
	},
}

// newNetwork returns a group of one, whose members send fewer signatures and targeted
// messages, or not.
func newNetwork(t failer, oneSignature, targeted bool) *network {
	t.Helper()
	n := &network{
		targeted: targeted,
		crowd:    emptyCrowd(t, suite1), waiting: make(map[string]*client), letters: make(map[uint64][]*letter),
		commits: make(map[uint64]*letter), facts: make(map[uint64]facts), faults: &faults{after: -1},
	}
	n.oneSignature = oneSignature
	n.psks["shared"] = []byte("a secret that all clients have")
	n.componentPSKs[componentPSK{0x8001, "shared"}] = []byte("a secret of a component")
	n.as = faultyService{faults: n.faults}
	n.configure = func(cfg *Config) {
		cfg.Rand = faultyReader{cfg.Rand, n.faults}
		cfg.Proposals = []CustomProposalType{paint}
		cfg.Extensions = []CustomExtensionType{{Type: colour, Name: "colour"}}
		cfg.WireFormats = WireFormats{furtherFormat}
		cfg.SelfRemove, cfg.OneSignature, cfg.TargetedMessages = true, n.oneSignature, n.targeted
		cfg.GREASE = n.made%2 == 0
		cfg.Padding = func(length int) int { return length % 5 }
		psk := cfg.PSK
		cfg.PSK = func(id PreSharedKeyID) ([]byte, error) {
			if err := n.faults.next(); err != nil {
				return nil, err
			}
			return psk(id)
		}
	}
	var err error
	if n.authority, err = n.suite.GenerateSigner(n.rand); err != nil {
		t.Fatal(err)
	}
	key, err := n.suite.SignaturePublicKey(n.authority.Public())
	if err != nil {
		t.Fatal(err)
	}
	n.found(GroupOptions{Extensions: Extensions{
		ExternalSenders(ExternalSender{SignatureKey: key, Credential: BasicCredential([]byte("authority"))}),
	}})
	founder := n.members[0]
	n.members = nil
	n.enter(founder)
	n.observe(founder.g)
	return n
}

// newClient returns a client whose signer fails when the network says so.
func (n *network) newClient() *client {
	m := n.crowd.newClient()
	m.id.Signer = faultySigner{m.id.Signer, n.faults}
	return m
}

// invite makes a client that waits for a Welcome.
func (n *network) invite() (*client, *KeyPackage) {
	n.t.Helper()
	joiner := n.newClient()
	joiner.bundle = n.keyPackage(joiner)
	n.waiting[joiner.name] = joiner
	return joiner, n.verified(joiner.bundle)
}

func (n *network) keyPackage(m *client) *KeyPackageBundle {
	n.t.Helper()
	bundle, err := NewKeyPackage(m.cfg, KeyPackageOptions{Suite: n.suite.ID(), Identity: m.id, OneSignature: n.oneSignature})
	if err != nil {
		n.t.Fatal(err)
	}
	return bundle
}

// verified returns what others receive of a key package.
func (n *network) verified(bundle *KeyPackageBundle) *KeyPackage {
	n.t.Helper()
	unverified, err := ParseKeyPackage(bundle.Message())
	if err != nil {
		n.t.Fatal(err)
	}
	k, err := unverified.Verify(&Config{AuthenticationService: acceptAll{}, Now: func() time.Time { return n.now }, OneSignature: n.oneSignature})
	if err != nil {
		n.t.Fatal(err)
	}
	return k
}

// enter makes a client with a state an endpoint, which has not heard anything yet.
func (n *network) enter(m *client) *endpoint {
	entered := &endpoint{client: m, seen: make(map[*letter]bool)}
	n.endpoints = append(n.endpoints, entered)
	return entered
}

// observe has the observer begin anew with a member's view.
func (n *network) observe(g *Group) {
	n.t.Helper()
	n.observer = nil
	info, err := g.GroupInfo(GroupInfoOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	if n.observer, err = NewObserver(&Config{
		AuthenticationService: acceptAll{}, Now: func() time.Time { return n.now }, Proposals: []CustomProposalType{paint},
		WireFormats: WireFormats{furtherFormat}, SelfRemove: true, OneSignature: n.oneSignature,
	}, info, nil); err != nil {
		n.t.Fatalf("the observer begins: %v", err)
	}
}

// try runs what a member does, at first with a fault after some calls, and fails
// the test if the fault changes the member's state. Negative: no fault.
func (n *network) try(m *endpoint, fault int, what string, do func() error) {
	n.t.Helper()
	if fault >= 0 {
		before := mustMarshal(n.t, m.g)
		n.faults.after, n.faults.hit = fault, false
		err := do()
		hit := n.faults.hit
		n.faults.after = -1
		if err == nil {
			return // the fault was not reached, or did not matter
		}
		if !hit {
			n.t.Fatalf("%s %s: %v", m.name, what, err)
		}
		if !bytes.Equal(mustMarshal(n.t, m.g), before) {
			n.t.Fatalf("%s %s: a fault has changed the state", m.name, what)
		}
	}
	if err := do(); err != nil {
		n.t.Fatalf("%s %s: %v", m.name, what, err)
	}
}

// send hands a letter to the delivery service.
func (n *network) send(l *letter) {
	n.t.Helper()
	n.letters[l.epoch] = append(n.letters[l.epoch], l)
	for _, m := range n.endpoints {
		m.inbox = append(m.inbox, l)
	}
	if l.kind == ContentApplication || l.to != nil || l.epoch != n.head || n.observer == nil {
		return
	}
	if l.private {
		if l.kind == ContentCommit {
			n.observer = nil
		}
		return
	}
	received, err := n.observer.Process(l.message)
	var broken *Error
	if errors.As(err, &broken) && broken.Check == CheckProposalUnknownRef {
		n.observer = nil // to a private proposal
		return
	}
	if err != nil {
		n.t.Fatalf("the observer, on a letter from %s: %v", l.from, err)
	}
	if c, ok := received.(*ObservedCommit); ok {
		n.observer = c.Observer()
	}
}

// take decides on a commit that was made from a state in an epoch: the first one
// leads on. It reports whether that is this one.
func (n *network) take(l *letter, next *Group) bool {
	n.t.Helper()
	if l.epoch != n.head || n.commits[l.epoch] != nil {
		return false
	}
	n.commits[l.epoch] = l
	n.send(l)
	n.head++
	n.learn(next)
	if n.observer == nil {
		n.observe(next)
	}
	if got := n.observer.TreeHash(); n.observer.Epoch() != n.head || !bytes.Equal(got, n.facts[n.head].treeHash) {
		n.t.Fatalf("the observer is in epoch %d with tree %x", n.observer.Epoch(), got)
	}
	for _, member := range next.Members() {
		name := string(member.Leaf.Credential.Identity)
		if joiner := n.waiting[name]; joiner != nil && l.welcome != nil {
			delete(n.waiting, name)
			var err error
			if joiner.g, err = Join(joiner.cfg, l.welcome, joiner.bundle, JoinOptions{RatchetTree: l.tree}); err != nil {
				n.t.Fatalf("%s joins: %v", name, err)
			}
			n.enter(joiner)
			n.learn(joiner.g)
		}
	}
	return true
}

// learn checks a state against what others of its epoch have said, or is the
// first to say it.
func (n *network) learn(g *Group) {
	n.t.Helper()
	exported, err := g.Export("a label", []byte("a context"), 40)
	if err != nil {
		n.t.Fatal(err)
	}
	got := facts{g.EpochAuthenticator(), g.tree.rootHash(n.suite), exported, g.encodedContext}
	want, ok := n.facts[g.Epoch()]
	if !ok {
		n.facts[g.Epoch()] = got
		return
	}
	for _, c := range []struct {
		what      string
		got, want []byte
	}{
		{"epoch authenticator", got.authenticator, want.authenticator},
		{"tree hash", got.treeHash, want.treeHash},
		{"exported secret", got.exported, want.exported},
		{"GroupContext", got.context, want.context},
		{"tree hash in the GroupContext", g.context.treeHash, want.treeHash},
	} {
		if !bytes.Equal(c.got, c.want) || len(c.got) == 0 {
			n.t.Fatalf("leaf %d in epoch %d: %s is %x, others have %x", g.OwnLeaf(), g.Epoch(), c.what, c.got, c.want)
		}
	}
}

// deliver lets a member have a letter, and checks what it makes of it.
func (n *network) deliver(m *endpoint, l *letter, fault int) {
	n.t.Helper()
	own := l.from == m.name
	switch {
	case l.epoch != m.g.Epoch():
		n.refuses(m, l, ErrWrongEpoch)
	case l.to != nil && !slices.Contains(l.to, m.g.OwnLeaf()):
		n.refuses(m, l, ErrNotRecipient)
	case l.to != nil:
		n.reads(m, l, fault)
	case l.kind == ContentCommit && own && m.pending != nil && bytes.Equal(m.pending.Message(), l.message):
		m.adopt(m.pending.Group())
		m.pending = nil
		m.seen[l] = true
	case l.kind == ContentApplication && own:
		n.refuses(m, l, ErrOwnMessage)
	case l.kind == ContentApplication && m.seen[l], l.kind == ContentProposal && l.private && m.seen[l] && !own:
		n.refuses(m, l, nil)
	default:
		n.accepts(m, l, fault)
	}
}

// refuses checks that a member refuses a letter and stays as it was.
func (n *network) refuses(m *endpoint, l *letter, want error) {
	n.t.Helper()
	before := mustMarshal(n.t, m.g)
	_, err := m.g.Process(l.message)
	if err == nil || want != nil && !errors.Is(err, want) {
		n.t.Fatalf("%s in epoch %d, given a letter of %s of epoch %d again: %v", m.name, m.g.Epoch(), l.from, l.epoch, err)
	}
	if !bytes.Equal(mustMarshal(n.t, m.g), before) {
		n.t.Fatalf("%s: a refusal has changed the state", m.name)
	}
}

// reads checks that a recipient of a targeted message reads it, however often, and stays as
// it was.
func (n *network) reads(m *endpoint, l *letter, fault int) {
	n.t.Helper()
	before := mustMarshal(n.t, m.g)
	n.try(m, fault, "processes a targeted message", func() error {
		received, err := m.g.Process(l.message)
		if err != nil {
			return err
		}
		got, ok := received.(*ReceivedTargeted)
		if !ok || string(got.Data) != l.data || string(m.g.Leaf(got.Sender).Credential.Identity) != l.from || !slices.Equal(got.Recipients, l.to) {
			n.t.Fatalf("%s reads %+v, %s wrote %q to %v", m.name, received, l.from, l.data, l.to)
		}
		return nil
	})
	if !bytes.Equal(mustMarshal(n.t, m.g), before) {
		n.t.Fatalf("%s: a targeted message has changed the state", m.name)
	}
}

// accepts checks that a member accepts a letter, after the proposals that it
// missed have been repeated if need be.
func (n *network) accepts(m *endpoint, l *letter, fault int) {
	n.t.Helper()
	if l.kind == ContentCommit && fault >= 0 {
		n.repeatProposals(m)
	}
	n.try(m, fault, "processes a letter", func() error {
		received, err := m.g.Process(l.message)
		var broken *Error
		if errors.As(err, &broken) && broken.Check == CheckProposalUnknownRef && l.kind == ContentCommit {
			n.refuses(m, l, nil)
			n.repeatProposals(m)
			received, err = m.g.Process(l.message)
		}
		if err != nil {
			return err
		}
		m.seen[l] = true
		switch r := received.(type) {
		case *ReceivedApplication:
			if string(r.Data) != l.data {
				n.t.Fatalf("%s reads %q, %s wrote %q", m.name, r.Data, l.from, l.data)
			}
		case *ReceivedCommit:
			n.follow(m, r)
		}
		return nil
	})
}

// repeatProposals gives a member all proposals of its epoch that it has missed.
func (n *network) repeatProposals(m *endpoint) {
	n.t.Helper()
	for _, l := range n.letters[m.g.Epoch()] {
		if l.kind != ContentProposal || m.seen[l] || l.from == m.name {
			continue
		}
		if _, err := m.g.Process(l.message); err != nil {
			n.t.Fatalf("%s misses a proposal of %s: %v", m.name, l.from, err)
		}
		m.seen[l] = true
	}
}

// follow has a member go where a commit of another leads.
func (n *network) follow(m *endpoint, c *ReceivedCommit) {
	n.t.Helper()
	if m.pending != nil {
		n.t.Fatalf("%s: its commit was taken, and another one as well", m.name)
	}
	if c.Group() == nil {
		n.endpoints = slices.DeleteFunc(n.endpoints, func(o *endpoint) bool { return o == m })
		n.gone = append(n.gone, m)
		return
	}
	m.adopt(c.Group())
	n.learn(m.g)
}

// catchUp gives a member all that it has missed.
func (n *network) catchUp(m *endpoint) {
	n.t.Helper()
	for m.g.Epoch() < n.head {
		before := m.g.Epoch()
		n.deliver(m, n.commits[before], -1)
		if !slices.Contains(n.endpoints, m) {
			return
		}
		if m.g.Epoch() != before+1 {
			n.t.Fatalf("%s stays in epoch %d", m.name, before)
		}
	}
}

// checkGone checks that who was removed reads nothing that was sent since, not
// even by lying about the epoch that it is in.
func (n *network) checkGone() {
	n.t.Helper()
	for _, m := range n.gone {
		for epoch := m.g.Epoch() + 1; epoch <= n.head; epoch++ {
			for _, l := range n.letters[epoch] {
				if _, err := m.g.Process(l.message); !errors.Is(err, ErrWrongEpoch) {
					n.t.Fatalf("%s is gone since epoch %d and processes a letter of epoch %d: %v", m.name, m.g.Epoch(), epoch, err)
				}
				if !l.private {
					continue
				}
				liar := m.clone(n.t)
				liar.context.epoch = epoch
				if r, err := liar.Process(l.message); err == nil {
					n.t.Fatalf("%s is gone since epoch %d and reads %+v of epoch %d", m.name, m.g.Epoch(), r, epoch)
				}
			}
		}
	}
}
