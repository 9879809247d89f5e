package mls

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const suiteP256 = ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256

// A wallet has credentials with their keys, by what they say.
type wallet struct {
	c     *crowd
	cards map[string]Identity
	suite map[string]ciphersuite.ID
}

func (c *crowd) newWallet() *wallet {
	return &wallet{c: c, cards: make(map[string]Identity), suite: make(map[string]ciphersuite.ID)}
}

// card returns the basic credential of that name, or one of type x509 if the name
// begins with "x509", with a key of a suite if it is new.
func (w *wallet) card(id ciphersuite.ID, name string) Identity {
	w.c.t.Helper()
	if _, ok := w.cards[name]; !ok {
		signer, err := lookup(w.c.t, id).GenerateSigner(w.c.rand)
		if err != nil {
			w.c.t.Fatal(err)
		}
		credential := BasicCredential([]byte(name))
		if strings.HasPrefix(name, "x509") {
			credential = Credential{Type: CredentialX509, Certificates: [][]byte{[]byte(name)}}
		}
		w.cards[name], w.suite[name] = Identity{Credential: credential, Signer: signer}, id
	}
	return w.cards[name]
}

// bind returns the binding of a card to a signer of the group's suite.
func (w *wallet) bind(id ciphersuite.ID, name string, to crypto.Signer) CredentialBinding {
	w.c.t.Helper()
	card := w.card(id, name)
	key, err := w.c.suite.SignaturePublicKey(to.Public())
	if err != nil {
		w.c.t.Fatal(err)
	}
	b, err := NewCredentialBinding(lookup(w.c.t, w.suite[name]), w.c.rand, card, key)
	if err != nil {
		w.c.t.Fatal(err)
	}
	return b
}

// show returns the identity that shows cards of suite 1 together.
func (w *wallet) show(weak bool, to crypto.Signer, names ...string) Identity {
	w.c.t.Helper()
	var bindings []CredentialBinding
	for _, name := range names {
		bindings = append(bindings, w.bind(suite1, name, to))
	}
	if weak {
		return Identity{Credential: WeakMultiCredential(bindings...), Signer: to}
	}
	return Identity{Credential: MultiCredential(bindings...), Signer: to}
}

// multiService understands multi-credentials of basic ones.
func multiService(of AuthenticationService, types ...CredentialType) *MultiCredentialService {
	return &MultiCredentialService{Service: of, Credentials: append([]CredentialType{CredentialBasic}, types...)}
}

// multiCrowd is a group of n with plain credentials that understand the others.
func multiCrowd(t failer, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.as = multiService(acceptAll{})
	c.found(GroupOptions{})
	var adds []Proposal
	for range n - 1 {
		adds = append(adds, c.invite(LeafOptions{}))
	}
	c.commit(0, CommitOptions{Proposals: adds, OmitPath: true})
	return c
}

// inviteAs is invite for a client with another identity.
func (c *crowd) inviteAs(identify func(*client), o LeafOptions) *Add {
	c.t.Helper()
	c.identify = identify
	defer func() { c.identify = nil }()
	return c.invite(o)
}

func TestMultiCredentialsInAGroup(t *testing.T) {
	c := multiCrowd(t, 2)
	w := c.newWallet()
	w.card(suiteP256, "carol, in another suite")
	c.commit(0, CommitOptions{Proposals: []Proposal{
		c.inviteAs(func(m *client) { m.id = w.show(false, m.id.Signer, "carol", "carol, in another suite") }, LeafOptions{}),
		c.inviteAs(func(m *client) { m.id = w.show(true, m.id.Signer, "dave", "x509 of dave") }, LeafOptions{}),
	}})
	c.checkMessages()
	bindings, err := c.members[0].g.Leaf(2).Credential.Bindings()
	if err != nil || len(bindings) != 2 || string(bindings[0].Credential.Identity) != "carol" || bindings[1].CipherSuite != suiteP256 {
		t.Errorf("bindings %+v, %v", bindings, err)
	}
	if want := []CredentialType{1, 3, 4}; !slices.Equal(c.members[0].g.Leaf(0).Capabilities.Credentials, want) {
		t.Errorf("a plain leaf supports %v, want %v", c.members[0].g.Leaf(0).Capabilities.Credentials, want)
	}
	// They heal, come from outside, come back, and live through a restart.
	c.restart()
	c.proposeUpdate(2, LeafChanges{})
	c.commit(3, CommitOptions{})
	joiner := c.newClient()
	joiner.id = w.show(false, joiner.id.Signer, "erin")
	c.joinExternal(2, joiner, ExternalJoinOptions{})
	// A member changes from a plain credential to several, and to a plain one of those.
	own := c.members[1].id.Credential
	signer := must2(c.suite.GenerateSigner(c.rand))
	w.cards[string(own.Identity)], w.suite[string(own.Identity)] = c.members[1].id, suite1
	several := w.show(false, signer, string(own.Identity), "bob at work")
	c.commit(1, CommitOptions{Leaf: LeafChanges{Identity: &several}})
	plain := w.card(suite1, "bob at work")
	c.proposeUpdate(1, LeafChanges{Identity: &plain})
	c.commit(0, CommitOptions{})
	if got := c.members[2].g.Leaf(1).Credential; !got.Equal(plain.Credential) {
		t.Errorf("leaf 1 has %+v", got)
	}
	c.checkMessages()
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The service is asked about each credential as if it stood in the leaf with its
// key. draft-ietf-mls-extensions, Section 6.5.2.
func TestEachCredentialIsJudged(t *testing.T) {
	c := emptyCrowd(t, suite1)
	w := c.newWallet()
	key := must2(c.suite.GenerateSigner(c.rand))
	leafOf := func(id Identity) *LeafNode {
		return &LeafNode{Credential: id.Credential, SignatureKey: must(c.suite.SignaturePublicKey(id.Signer.Public()))}
	}
	multi := func(weak bool, names ...string) *LeafNode { return leafOf(w.show(weak, key, names...)) }
	plain := func(name string) *LeafNode { return leafOf(w.card(suite1, name)) }
	for _, e := range []struct {
		name           string
		leaf, previous *LeafNode
		want           string // the questions, of which number
		refuse         int    // is answered by no
		err            error
	}{
		{"a plain one", plain("a"), nil, "a", 0, nil},
		{"a plain one after another", plain("b"), plain("a"), "b after a", 0, nil},
		{"a plain one, refused", plain("a"), nil, "a", 1, errNotary},
		{"several", multi(false, "a", "b"), nil, "a, b", 0, nil},
		{"several, the last refused", multi(false, "a", "b"), nil, "a, b", 2, errNotary},
		{"several, the first refused", multi(false, "a", "b"), nil, "a", 1, errNotary},
		{"several, of a type that is not supported", multi(false, "a", "x509"), nil, "", 0, ErrCredentialType},
		{"weak, of a type that is not supported", multi(true, "a", "x509", "b"), nil, "a, b", 0, nil},
		{"weak, one that is supported refused", multi(true, "a", "x509", "b"), nil, "a, b", 2, errNotary},
		{"weak, none supported", multi(true, "x509"), nil, "", 0, ErrCredentialType},
		{"several after a plain one", multi(false, "a", "b"), plain("a"), "a after a, b after a", 0, nil},
		{"several after several", multi(false, "c"), multi(false, "a", "b"), "c after a", 0, nil},
		{"several after several, the first of which says no", multi(false, "c"), multi(false, "a", "b"), "c after a, c after b", 1, nil},
		{"a plain one after several", plain("b"), multi(true, "a", "x509"), "b after a", 0, nil},
		{"after one of another type", multi(false, "a"), plain("x509 of a"), "", 0, ErrCredentialType},
	} {
		n := &notary{refuse: e.refuse}
		err := multiService(n).ValidateLeaf(e.leaf, e.previous)
		if e.name == "after one of another type" {
			n.asked = nil
			err = multiService(n, CredentialX509).ValidateLeaf(e.leaf, e.previous)
			e.err, e.want = ErrOtherClient, "a"
		}
		if !errors.Is(err, e.err) || (err == nil) != (e.err == nil) {
			t.Errorf("%s: error %v, want %v", e.name, err, e.err)
		}
		if got := strings.Join(n.asked, ", "); got != e.want {
			t.Errorf("%s: asked %q, want %q", e.name, got, e.want)
		}
	}
	if err := multiService(nil).ValidateLeaf(plain("a"), nil); err == nil {
		t.Error("there is no service, and no error")
	}
	none := multiService(&notary{})
	none.Suites = must2(ciphersuite.NewRegistry())
	if err := none.ValidateLeaf(multi(false, "a"), nil); !errors.Is(err, ciphersuite.ErrUnsupported) {
		t.Errorf("no suite is supported: error %v, want ErrUnsupported", err)
	}
	// External senders have plain credentials, if the service knows of any.
	sender := &ExternalSender{Credential: BasicCredential([]byte("boss"))}
	if err := multiService(&notary{}).ValidateExternalSender(sender); err != nil {
		t.Error(err)
	}
	several := &ExternalSender{Credential: multi(false, "a").Credential, SignatureKey: multi(false, "a").SignatureKey}
	for _, err := range []error{multiService(&notary{}).ValidateExternalSender(several), multiService(addressless{}).ValidateExternalSender(sender)} {
		if !errors.Is(err, ErrCredentialType) {
			t.Errorf("external sender: error %v, want ErrCredentialType", err)
		}
	}
	// Two leaves are of one client if they share a credential, or a key of one.
	for _, e := range []struct {
		a, b *LeafNode
		want bool
	}{
		{multi(false, "a", "b"), multi(false, "c", "b"), true},
		{multi(false, "a", "b"), plain("b"), true},
		{multi(false, "a", "b"), multi(false, "c"), false},
		{plain("a"), plain("a"), true},
		{plain("a"), plain("b"), false},
		{&LeafNode{Credential: Credential{Type: CredentialMulti}}, plain("b"), false},
	} {
		if got := multiService(&notary{}).SameClient(e.a, e.b); got != e.want {
			t.Errorf("same client: %t, want %t", got, e.want)
		}
		if got := multiService(matching{}).SameClient(e.a, e.b); got != (e.a.Credential.Type != CredentialMulti || e.a.Credential.Data != nil) {
			t.Errorf("by a service that matches: %t", got)
		}
	}
}

// addressless does not know of external senders.
type addressless struct{}

func (addressless) ValidateLeaf(leaf, previous *LeafNode) error { return nil }

// matching takes everybody for one client.
type matching struct{ addressless }

func (matching) SameClient(a, b *LeafNode) bool { return true }

func TestMultiCredentialsAreEncodedAsTheDraftSays(t *testing.T) {
	b := CredentialBinding{CipherSuite: 0x0102, Credential: BasicCredential([]byte("me")), CredentialKey: []byte("key"), Signature: []byte("sig")}
	c := MultiCredential(b, b)
	one := "\x01\x02\x00\x01\x02me\x03key\x03sig"
	if got, want := marshal(&c), []byte("\x00\x03\x1e"+one+one); !bytes.Equal(got, want) {
		t.Errorf("encoded as %q, want %q", got, want)
	}
	if got, want := b.toBeSigned([]byte("leaf")), []byte("\x01\x02\x00\x01\x02me\x03key\x04leaf"); !bytes.Equal(got, want) {
		t.Errorf("to be signed is %q, want %q", got, want)
	}
	weak := WeakMultiCredential(b)
	if weak.Type != 4 || c.Type != 3 {
		t.Errorf("types are %d and %d, want 3 and 4", c.Type, weak.Type)
	}
	if bindings, err := (&Credential{Type: CredentialBasic}).Bindings(); bindings != nil || err != nil {
		t.Errorf("a basic credential has bindings %v, %v", bindings, err)
	}
	for _, id := range []Identity{{}, {Signer: badSigner{}}} {
		if _, err := NewCredentialBinding(lookup(t, suite1), nil, id, nil); err == nil {
			t.Errorf("bound without a key")
		}
	}
}

// badSigner has no key of any suite.
type badSigner struct{ crypto.Signer }

func (badSigner) Public() crypto.PublicKey { return "none" }

func multiCredentialRefusals() []refusal {
	var list []refusal
	// broken breaks a member's multi-credential, or that of somebody who comes.
	broken := func(check Check, name string, credential func(w *wallet, id Identity) Credential) {
		list = append(list,
			refusal{check, name + " by add", func(t *testing.T) error {
				c := multiCrowd(t, 2)
				w := c.newWallet()
				add := c.invite(LeafOptions{})
				joiner := c.invited[0]
				c.invited = nil
				add.KeyPackage.LeafNode.Credential = credential(w, joiner.id)
				c.signKeyPackage(add.KeyPackage, joiner.id, true)
				return c.refusedProposals(add)
			}},
			refusal{check, name + " by commit", func(t *testing.T) error {
				c := multiCrowd(t, 3)
				w := c.newWallet()
				w.cards["client 0"], w.suite["client 0"] = c.members[0].id, suite1
				own := c.refusedToSend(func(g *Group) error {
					id := Identity{Credential: credential(w, c.members[0].id), Signer: c.members[0].id.Signer}
					return second(g.Commit(CommitOptions{Leaf: LeafChanges{Identity: &id}}))
				})
				err := c.refused(c.forgePath(CommitOptions{}, func(f *forgedPath) {
					f.made.leaf.Credential = credential(w, c.members[0].id)
					f.signLeaf(c.members[0].id)
				}, nil))
				c.sameRule(own, err)
				return err
			}},
			refusal{check, name + " by joining", func(t *testing.T) error {
				c := multiCrowd(t, 2)
				w := c.newWallet()
				return c.refusedWelcome(LeafOptions{}, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
					f.changeLeaf(1, func(l *LeafNode) { l.Credential = credential(w, c.members[1].id) })
					f.signLeaf(1)
				}, nil)
			}},
		)
	}
	broken(CheckCredentialBinding, "signature changed", func(w *wallet, id Identity) Credential {
		b := w.bind(suite1, "client 0", id.Signer)
		b.Signature[0] ^= 1
		return MultiCredential(b)
	})
	broken(CheckCredentialBinding, "for another leaf's key", func(w *wallet, id Identity) Credential {
		return MultiCredential(w.bind(suite1, "client 0", w.card(suite1, "somebody").Signer))
	})
	broken(CheckCredentialBinding, "second signature by another", func(w *wallet, id Identity) Credential {
		b := w.bind(suite1, "client 1", id.Signer)
		b.CredentialKey = w.bind(suite1, "client 2", id.Signer).CredentialKey
		return WeakMultiCredential(w.bind(suite1, "client 0", id.Signer), b)
	})
	broken(CheckCredentialBinding, "for another credential", func(w *wallet, id Identity) Credential {
		b := w.bind(suite1, "client 0", id.Signer)
		b.Credential = BasicCredential([]byte("root"))
		return WeakMultiCredential(b)
	})
	broken(CheckCredentialBinding, "for another suite", func(w *wallet, id Identity) Credential {
		b := w.bind(suite1, "client 0", id.Signer)
		b.CipherSuite = ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519 // with the same signatures
		return MultiCredential(b)
	})
	broken(CheckCredentialBinding, "no key", func(w *wallet, id Identity) Credential {
		b := w.bind(suite1, "client 0", id.Signer)
		b.CredentialKey = nil
		return MultiCredential(b)
	})
	broken(CheckMultiCredential, "empty", func(w *wallet, id Identity) Credential { return MultiCredential() })
	broken(CheckMultiCredential, "empty and weak", func(w *wallet, id Identity) Credential { return WeakMultiCredential() })
	broken(CheckMultiCredential, "cut short", func(w *wallet, id Identity) Credential {
		c := MultiCredential(w.bind(suite1, "client 0", id.Signer))
		c.Data = c.Data[:len(c.Data)-1]
		return c
	})
	broken(CheckMultiCredential, "trailing octet", func(w *wallet, id Identity) Credential {
		c := MultiCredential(w.bind(suite1, "client 0", id.Signer))
		c.Data = append(c.Data, 0)
		return c
	})
	broken(CheckMultiCredential, "nested", func(w *wallet, id Identity) Credential {
		w.cards["nested"], w.suite["nested"] = w.show(false, w.card(suite1, "somebody").Signer, "client 0"), suite1
		return MultiCredential(w.bind(suite1, "nested", id.Signer))
	})
	broken(CheckMultiCredential, "too many", func(w *wallet, id Identity) Credential {
		return WeakMultiCredential(slices.Repeat([]CredentialBinding{w.bind(suite1, "client 0", id.Signer)}, MaxCredentialBindings+1)...)
	})

	// Somebody with two credentials comes to, or is in, a group with a member that
	// supports basic ones of suite 1 alone.
	narrow := LeafOptions{Capabilities: Capabilities{
		CipherSuites: []ciphersuite.ID{suite1}, Credentials: []CredentialType{CredentialBasic, CredentialMulti, CredentialWeakMulti},
	}}
	unsupported := func(check Check, name string, weak bool, names ...string) {
		wide := func(t *testing.T) (*crowd, func(*client)) {
			c := emptyCrowd(t, suite1)
			c.as = multiService(acceptAll{}, CredentialX509)
			w := c.newWallet()
			w.card(suiteP256, "in suite 2")
			return c, func(m *client) { m.id = w.show(weak, m.id.Signer, names...) }
		}
		list = append(list,
			refusal{check, name + " by an old member", func(t *testing.T) error {
				c, several := wide(t)
				c.found(GroupOptions{})
				c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(narrow)}})
				add := c.inviteAs(several, LeafOptions{})
				c.invited = nil
				return c.refusedProposals(add)
			}},
			refusal{check, name + " by a new member", func(t *testing.T) error {
				c, several := wide(t)
				c.identify = several
				c.found(GroupOptions{})
				c.identify = nil
				c.add(0, 1)
				add := c.invite(narrow)
				c.invited = nil
				return c.refusedProposals(add)
			}},
			refusal{check, name + " by a new member, of one that stays as it is", func(t *testing.T) error {
				c, several := wide(t)
				c.found(GroupOptions{})
				c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{}), c.inviteAs(several, LeafOptions{})}})
				add := c.invite(narrow)
				c.invited = nil
				return c.refusedProposals(add)
			}},
			refusal{check, name + " by a member that changes", func(t *testing.T) error {
				c, several := wide(t)
				c.identify = several
				c.found(GroupOptions{})
				c.identify = nil
				c.add(0, 2)
				capabilities := narrow.Capabilities
				capabilities.Versions = []ProtocolVersion{MLS10}
				return leafVenues["update"](c, func(l *LeafNode, _ *Identity) { l.Capabilities = capabilities }, func(*LeafNode) {})
			}},
			refusal{check, name + ", seen by who joins", func(t *testing.T) error {
				c, several := wide(t)
				c.found(GroupOptions{})
				c.commit(0, CommitOptions{Proposals: []Proposal{c.inviteAs(several, LeafOptions{})}, OmitPath: true})
				return c.refusedWelcome(LeafOptions{}, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
					f.changeLeaf(0, func(l *LeafNode) {
						l.Capabilities = narrow.Capabilities
						l.Capabilities.Versions = []ProtocolVersion{MLS10}
					})
					f.signLeaf(0)
				}, nil)
			}},
		)
	}
	unsupported(CheckMultiCredentialSupport, "type", false, "a", "x509")
	unsupported(CheckMultiCredentialSupport, "suite", false, "a", "in suite 2")
	unsupported(CheckWeakMultiCredentialSupport, "types", true, "x509", "x509 too")
	unsupported(CheckWeakMultiCredentialSupport, "type and suite", true, "x509", "in suite 2")

	return append(list,
		refusal{CheckLeafCredential, "one of several", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			c.as = multiService(suspicious{})
			c.found(GroupOptions{})
			c.add(0, 1)
			w := c.newWallet()
			add := c.inviteAs(func(m *client) { m.id = w.show(false, m.id.Signer, "honest", "impostor") }, LeafOptions{})
			c.invited = nil
			return c.refusedProposals(add)
		}},
		refusal{CheckLeafCredentialSupport, "multi", func(t *testing.T) error {
			c := multiCrowd(t, 1)
			c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Capabilities: Capabilities{Credentials: []CredentialType{CredentialBasic}}})}})
			w := c.newWallet()
			add := c.inviteAs(func(m *client) { m.id = w.show(false, m.id.Signer, "a") }, LeafOptions{})
			c.invited = nil
			return c.refusedProposals(add)
		}},
		refusal{CheckLeafCredentialSupport, "weak-multi", func(t *testing.T) error {
			c := multiCrowd(t, 1)
			c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Capabilities: Capabilities{Credentials: []CredentialType{CredentialBasic, CredentialMulti}}})}})
			w := c.newWallet()
			add := c.inviteAs(func(m *client) { m.id = w.show(true, m.id.Signer, "a") }, LeafOptions{})
			c.invited = nil
			return c.refusedProposals(add)
		}},
		refusal{CheckCredentialBinding, "of one's own key package", func(t *testing.T) error {
			c := multiCrowd(t, 1)
			m := c.newClient()
			m.id.Credential = c.newWallet().show(false, c.members[0].id.Signer, "a").Credential
			return second(NewKeyPackage(m.cfg, KeyPackageOptions{Suite: suite1, Identity: m.id}))
		}},
		refusal{CheckCredentialBinding, "before an observer", func(t *testing.T) error {
			c := multiCrowd(t, 2)
			w := c.newWallet()
			return second(c.observer(0).Process(c.forgePath(CommitOptions{}, func(f *forgedPath) {
				f.made.leaf.Credential = MultiCredential(w.bind(suite1, "client 0", w.card(suite1, "somebody").Signer))
				f.signLeaf(c.members[0].id)
			}, nil)))
		}},
	)
}

// Weak multi-credentials are for groups whose members understand different
// credentials. draft-ietf-mls-extensions, Section 6.5.2.
func TestWeakMultiCredentialsBridgeAGroup(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.as = multiService(acceptAll{}, CredentialX509)
	w := c.newWallet()
	weak := func(m *client) { m.id = w.show(true, m.id.Signer, m.name, "x509 of "+m.name) }
	only := func(t CredentialType) LeafOptions {
		return LeafOptions{Capabilities: Capabilities{Credentials: []CredentialType{t, CredentialWeakMulti}}}
	}
	c.identify = weak
	c.found(GroupOptions{})
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(only(CredentialBasic)), c.invite(only(CredentialX509))}})
	c.proposeUpdate(1, LeafChanges{})
	c.commit(2, CommitOptions{})
	c.checkMessages()
}

func TestMultiCredentialsGoOnInASuccessor(t *testing.T) {
	c := multiCrowd(t, 1)
	w := c.newWallet()
	c.commit(0, CommitOptions{Proposals: []Proposal{c.inviteAs(func(m *client) { m.id = w.show(false, m.id.Signer, "carol", "carol at work") }, LeafOptions{})}})
	// Carol shows one of her credentials in the branch.
	signer := must2(c.suite.GenerateSigner(c.rand))
	carol := c.members[1]
	b, err := NewKeyPackage(carol.cfg, KeyPackageOptions{Suite: suite1, Identity: w.show(false, signer, "carol at work")})
	if err != nil {
		t.Fatal(err)
	}
	pending, err := c.members[0].g.Branch(SuccessorOptions{KeyPackages: []*KeyPackage{b.KeyPackage()}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := Join(carol.cfg, pending.Welcome(), b, JoinOptions{Previous: carol.g})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "epoch authenticator", g.EpochAuthenticator(), pending.Group().EpochAuthenticator())
	stranger, err := NewKeyPackage(carol.cfg, KeyPackageOptions{Suite: suite1, Identity: w.show(false, signer, "mallory")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.members[0].g.Branch(SuccessorOptions{KeyPackages: []*KeyPackage{stranger.KeyPackage()}})
	wantCheck(t, err, CheckBranchMembers)
}

// Whatever stands in a multi-credential is read as it was written, or refused.
func FuzzMultiCredential(f *testing.F) {
	c := emptyCrowd(f, suite1)
	w := c.newWallet()
	signer := w.card(suite1, "leaf").Signer
	key := must(c.suite.SignaturePublicKey(signer.Public()))
	w.card(suiteP256, "p256")
	for _, weak := range []bool{false, true} {
		f.Add(weak, w.show(weak, signer, "a").Credential.Data)
		f.Add(weak, w.show(weak, signer, "a", "x509", "p256").Credential.Data)
	}
	f.Add(false, []byte{})
	service := multiService(acceptAll{}, CredentialX509)
	f.Fuzz(func(t *testing.T, weak bool, data []byte) {
		credential := Credential{Type: CredentialMulti, Data: data}
		if weak {
			credential.Type = CredentialWeakMulti
		}
		bindings, err := credential.Bindings()
		leaf := &LeafNode{Credential: credential, SignatureKey: key}
		verdict := service.ValidateLeaf(leaf, nil)
		if err != nil {
			if verdict == nil {
				t.Errorf("accepted what does not decode: %v", err)
			}
			return
		}
		wantEqual(t, "encoded credential", multiCredential(credential.Type, bindings).Data, data)
		if len(bindings) == 0 || len(bindings) > MaxCredentialBindings {
			t.Errorf("%d bindings", len(bindings))
		}
		if again := service.ValidateLeaf(leaf, leaf); (again == nil) != (verdict == nil) {
			t.Errorf("accepted as a new member: %v; after itself: %v", verdict, again)
		}
	})
}
