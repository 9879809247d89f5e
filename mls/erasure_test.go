package mls

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// reachable returns all memory that holds octets and can be reached from vs, by
// where it hangs, but for suites, configurations and signers.
func reachable(vs ...any) map[string][]byte {
	found := make(map[string][]byte)
	seen := make(map[uintptr]bool)
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Type() {
		case reflect.TypeFor[*ciphersuite.Suite](), reflect.TypeFor[*Config]():
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() || seen[v.Pointer()] {
				return
			}
			seen[v.Pointer()] = true
			walk(path, v.Elem())
		case reflect.Interface:
			if !v.IsNil() {
				walk(path, v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; name != "signer" {
					walk(path+"."+name, v.Field(i))
				}
			}
		case reflect.Map:
			for i := v.MapRange(); i.Next(); {
				walk(path+"[]", i.Value())
			}
		case reflect.Slice, reflect.Array:
			if v.Type().Elem().Kind() != reflect.Uint8 {
				for i := range v.Len() {
					walk(path+"[]", v.Index(i))
				}
			} else if v.Kind() == reflect.Slice || v.CanAddr() {
				if b := v.Bytes(); len(b) >= 8 {
					for found[path] != nil {
						path += "'"
					}
					found[path] = b
				}
			}
		}
	}
	for _, v := range vs {
		walk("", reflect.ValueOf(v))
	}
	return found
}

// secretsForTest returns the memory that holds a group's secrets.
func (g *Group) secretsForTest() map[string][]byte {
	all := reachable(g.epoch, g.secrets, g.exporter, g.keys, g.pastResumptionPSKs)
	for _, p := range g.proposals {
		for path, b := range reachable(p.leafKey) {
			all["proposal"+path] = b
		}
	}
	// A private key has its public key with it.
	public := make(map[string]bool)
	for _, n := range g.tree.nodes {
		if !n.blank() {
			public[string(n.encryptionKey())] = true
		}
	}
	for _, p := range g.proposals {
		if u, ok := p.proposal.(*Update); ok {
			public[string(u.LeafNode.EncryptionKey)] = true
		}
	}
	maps.DeleteFunc(all, func(_ string, b []byte) bool { return public[string(b)] })
	return all
}

func isZero(b []byte) bool { return bytes.Equal(b, make([]byte, len(b))) }

// holds returns where in memory the octets of secret are.
func holds(memory map[string][]byte, secret []byte) (where []string) {
	for path, b := range memory {
		if bytes.Contains(b, secret) {
			where = append(where, path)
		}
	}
	slices.Sort(where)
	return where
}

func TestEraseOverwritesEverySecret(t *testing.T) {
	c := newCrowd(t, suite1, 4)
	for by := range c.members {
		c.commit(by, CommitOptions{})
	}
	for range 3 { // leave some keys of skipped messages
		if _, err := c.members[0].g.Protect(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.checkMessages()
	c.proposeUpdate(1, LeafChanges{})
	g := c.members[1].g
	secrets := g.secretsForTest()
	// 9 of the key schedule, 3 private keys and that of the update, 2 past
	// resumption PSKs, and ratchets of 4 members, with 3 skipped keys.
	if len(secrets) < 9+4+2+8+2*3 {
		t.Fatalf("found %d secrets only: %v", len(secrets), slices.Sorted(maps.Keys(secrets)))
	}
	for path, b := range secrets {
		if isZero(b) {
			t.Errorf("%s is zero before", path)
		}
	}
	g.Erase()
	g.Erase()
	for path, b := range secrets {
		if !isZero(b) {
			t.Errorf("%s is not erased", path)
		}
	}
	for path, b := range g.secretsForTest() {
		if !isZero(b) {
			t.Errorf("%s is still there", path)
		}
	}

	_, exportErr := g.Export("label", nil, 32)
	_, marshalErr := g.Marshal()
	_, protectErr := g.Protect(nil, nil)
	_, commitErr := g.Commit(CommitOptions{})
	_, proposeErr := g.Propose(&Remove{}, ProposeOptions{})
	_, updateErr := g.ProposeUpdate(LeafChanges{}, ProposeOptions{})
	_, processErr := g.Process(nil)
	for name, err := range map[string]error{
		"Export": exportErr, "Marshal": marshalErr, "Protect": protectErr, "Commit": commitErr,
		"Propose": proposeErr, "ProposeUpdate": updateErr, "Process": processErr,
	} {
		if !errors.Is(err, ErrErased) {
			t.Errorf("%s: error %v, want ErrErased", name, err)
		}
	}
	if g.EpochAuthenticator() != nil {
		t.Error("there is an epoch authenticator")
	}
	g.EraseExporterSecret()
}

func TestSharedKeysAreErasedWithTheLastEpochThatUsesThem(t *testing.T) {
	for _, order := range []string{"old first", "new first"} {
		c := newCrowd(t, suite1, 4)
		c.commit(3, CommitOptions{})
		old := c.members[3].g
		pending, err := c.members[0].g.Commit(CommitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		next := c.process(3, pending.Message()).(*ReceivedCommit).Group()
		at := map[string]treemath.NodeIndex{"leaf": 6, "parent": 5, "root": 3}
		oldRoot, newRoot := old.keys.at(at["root"]), next.keys.at(at["root"])
		leaf, parent := next.keys.at(at["leaf"]), next.keys.at(at["parent"])
		if leaf != old.keys.at(at["leaf"]) || parent != old.keys.at(at["parent"]) || newRoot == oldRoot {
			t.Fatal("leaf and parent should be shared, the root should not")
		}
		first, last, firstRoot, lastRoot := old, next, oldRoot, newRoot
		if order == "new first" {
			first, last, firstRoot, lastRoot = next, old, newRoot, oldRoot
		}
		memory := reachable(leaf.HPKEPrivateKey)
		first.Erase()
		if leaf.Bytes() == nil || parent.Bytes() == nil || lastRoot.Bytes() == nil {
			t.Errorf("%s: a key that is in use was erased", order)
		}
		if firstRoot.Bytes() != nil {
			t.Errorf("%s: the key of one epoch outlives it", order)
		}
		last.Erase()
		if leaf.Bytes() != nil || parent.Bytes() != nil || lastRoot.Bytes() != nil {
			t.Errorf("%s: a key outlives the last epoch that uses it", order)
		}
		for path, b := range memory {
			if !isZero(b) && !bytes.Equal(b, leaf.PublicKey()) {
				t.Errorf("%s: %s is not erased", order, path)
			}
		}
	}
}

func TestReplacedLeafKeysGoWithTheOldEpoch(t *testing.T) {
	for _, how := range []string{"commit", "update"} {
		c := newCrowd(t, suite1, 3)
		leaf := leafPosition(1)
		old := c.members[1].g.keys.at(leaf)
		memory := reachable(old.HPKEPrivateKey)
		if how == "commit" {
			c.commit(1, CommitOptions{})
		} else {
			c.proposeUpdate(1, LeafChanges{})
			c.commit(0, CommitOptions{})
		}
		if old.Bytes() != nil {
			t.Errorf("%s: the replaced key is still there", how)
		}
		for path, b := range memory {
			if !isZero(b) && !bytes.Equal(b, old.PublicKey()) {
				t.Errorf("%s: %s is not erased", how, path)
			}
		}
		if c.members[1].g.keys.at(leaf).Bytes() == nil {
			t.Errorf("%s: the new key is erased", how)
		}
	}
}

func TestAnUpdateThatIsNotCommittedIsErasedWithItsEpoch(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.proposeUpdate(1, LeafChanges{})
	key := c.members[1].g.proposals[0].leafKey
	c.commit(0, CommitOptions{WithoutPending: true})
	if key.Bytes() != nil {
		t.Error("the key of the update is still there")
	}
}

// What leads from one epoch to the next would give that away to whoever finds
// it: neither the old epoch, nor the new, nor the pending commit keeps it.
func TestSecretsOfATransitionDoNotStay(t *testing.T) {
	c := newCrowd(t, suite1, 4)
	for by := range c.members {
		c.commit(by, CommitOptions{})
	}
	add := c.invite(LeafOptions{})
	joiner := c.invited[0]
	initKey, err := c.suite.ParseHPKEPrivateKey(joiner.bundle.initKey.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{add}, WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	// Take the transition apart in member 1's stead, to know the secrets.
	var m, w mlsMessage
	mustUnmarshal(t, pending.Message(), &m)
	mustUnmarshal(t, pending.Welcome(), &w)
	g := c.members[1].clone(t)
	a := verifiedContent{m.publicMessage.authenticatedContent()}
	_, transition, err := g.receiveCommit(a)
	if err != nil {
		t.Fatal(err)
	}
	next := g.nextGroup(transition)
	next.context.treeHash = transition.tree.rootHash(c.suite)
	commitSecret, err := g.decryptPath(a.content.commit.path, transition, next)
	if err != nil {
		t.Fatal(err)
	}
	groupSecrets, err := w.welcome.openSecrets(c.suite, &KeyPackageBundle{keyPackage: joiner.bundle.keyPackage, initKey: initKey})
	if err != nil {
		t.Fatal(err)
	}
	welcomeKey, _ := keysched.WelcomeKey(c.suite, groupSecrets.joinerSecret, nil)
	transient := map[string][]byte{
		"commit secret": commitSecret,
		"joiner secret": groupSecrets.joinerSecret,
		"path secret":   groupSecrets.pathSecret,
		"node secret":   c.suite.DeriveSecret(groupSecrets.pathSecret, "node"),
		"init secret":   c.members[0].g.epoch.InitSecret,
		"welcome key":   welcomeKey,
		"init key":      initKey.Bytes(),
	}
	for name, secret := range transient {
		if len(secret) < 16 || isZero(secret) {
			t.Fatalf("%s is %x", name, secret)
		}
		transient[name] = bytes.Clone(secret)
	}
	old := make(map[string][]byte)
	for path, secret := range reachable(c.members[1].g.epoch, c.members[1].g.secrets) {
		if path != ".ResumptionPSK" { // kept on purpose
			old[path] = bytes.Clone(secret)
		}
	}

	received := c.process(1, pending.Message()).(*ReceivedCommit)
	memories := map[string]map[string][]byte{
		"the pending commit":  reachable(pending),
		"the received commit": reachable(received),
		"the receiver":        reachable(received.Group()),
	}
	memories["the receiver's state"] = map[string][]byte{"": mustMarshal(t, received.Group())}
	memories["the committer's state"] = map[string][]byte{"": mustMarshal(t, pending.Group())}
	initKeyMemory := reachable(joiner.bundle.initKey)
	c.members[1].g.Erase()
	c.members[1].g = received.Group()
	c.members[0].adopt(pending.Group())
	joined, err := Join(joiner.cfg, pending.Welcome(), joiner.bundle, JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	memories["the new member"] = reachable(joined, joiner.bundle)
	memories["the init key"] = initKeyMemory
	for who, memory := range memories {
		for name, secret := range transient {
			if where := holds(memory, secret); where != nil {
				t.Errorf("%s still holds the %s at %v", who, name, where)
			}
		}
		for name, secret := range old {
			if where := holds(memory, secret); where != nil {
				t.Errorf("%s still holds %s of the old epoch at %v", who, name, where)
			}
		}
	}
	if where := holds(memories["the receiver's state"], c.members[1].g.epoch.InitSecret); where == nil {
		t.Error("the search finds nothing")
	}
}

func TestExporterSecretIsErased(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	g := c.members[0].g
	want, err := g.Export("label", nil, 32)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Export("label", nil, 1<<20); err == nil || errors.Is(err, ErrErased) {
		t.Errorf("exporting 2^20 octets: %v", err)
	}
	alias, copied := g.epoch.ExporterSecret, bytes.Clone(g.epoch.ExporterSecret)
	g.EraseExporterSecret()
	if !isZero(alias) {
		t.Error("the secret is still there")
	}
	if bytes.Contains(mustMarshal(t, g), copied) {
		t.Error("the secret is in the state")
	}
	restored := c.members[0].clone(t)
	for _, g := range []*Group{g, restored} {
		if _, err := g.Export("label", nil, 32); !errors.Is(err, ErrErased) {
			t.Errorf("error %v, want ErrErased", err)
		}
	}
	other, err := c.members[1].g.Export("label", nil, 32)
	if err != nil || !bytes.Equal(other, want) {
		t.Errorf("the other member exports %x, %v", other, err)
	}
	c.commit(0, CommitOptions{})
	c.checkMessages()
}

// Post-compromise security: a stolen state follows the group until the victim
// commits, or another member commits the victim's Update.
func TestStolenStateIsLockedOutByTheVictimsOwnKeys(t *testing.T) {
	for _, how := range []string{"commit", "update"} {
		t.Run(how, func(t *testing.T) {
			c := newCrowd(t, suite1, 3)
			c.format = WireFormatPublicMessage
			stolen := c.members[1].clone(t)

			// Others commit: no healing.
			for _, by := range []int{0, 2} {
				pending, err := c.members[by].g.Commit(CommitOptions{})
				if err != nil {
					t.Fatal(err)
				}
				c.deliver(by, pending)
				received, err := stolen.Process(pending.Message())
				if err != nil {
					t.Fatal(err)
				}
				stolen = received.(*ReceivedCommit).Group()
				if !bytes.Equal(stolen.EpochAuthenticator(), c.members[1].g.EpochAuthenticator()) {
					t.Fatal("the thief should have followed")
				}
			}
			message, err := c.members[0].g.Protect([]byte("overheard"), nil)
			if err != nil {
				t.Fatal(err)
			}
			c.process(1, message)
			c.process(2, message)
			if a, err := stolen.Process(message); err != nil || string(a.(*ReceivedApplication).Data) != "overheard" {
				t.Fatalf("the thief should read on: %v", err)
			}

			by := 1
			if how == "update" {
				by = 0
				update := c.proposeUpdate(1, LeafChanges{})
				if _, err := stolen.Process(update); !errors.Is(err, ErrOwnMessage) {
					t.Errorf("error %v, want ErrOwnMessage", err)
				}
				// The thief knows the proposal, but not the key to it.
				guess, err := c.suite.GenerateHPKEKeyPair(c.rand)
				if err != nil {
					t.Fatal(err)
				}
				p := *c.members[0].g.proposals[0]
				p.leafKey = newSharedKey(guess)
				stolen.proposals = append(stolen.proposals, &p)
			}
			pending, err := c.members[by].g.Commit(CommitOptions{WireFormat: c.format})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stolen.Process(pending.Message()); err == nil {
				t.Error("the thief follows")
			}
			var m mlsMessage
			mustUnmarshal(t, pending.Message(), &m)
			context := pending.next.context
			context.confirmedTranscriptHash = stolen.context.confirmedTranscriptHash
			tried := 0
			for _, n := range m.publicMessage.content.commit.path.nodes {
				for _, secret := range n.pathSecrets {
					for _, stolen := range stolen.keys {
						tried++
						if _, err := c.suite.DecryptWithLabel(stolen.key.HPKEPrivateKey, "UpdatePathNode", marshal(&context), secret.kemOutput, secret.ciphertext); err == nil {
							t.Error("the thief decrypts a path secret")
						}
					}
				}
			}
			if tried < 2 {
				t.Errorf("%d attempts at decryption", tried)
			}
			c.deliver(by, pending)
			c.checkMessages()
			for _, stolen := range stolen.keys {
				if held := c.members[1].g.keys.at(stolen.node); held != nil && bytes.Equal(held.Bytes(), stolen.key.Bytes()) {
					t.Errorf("the victim still uses the stolen key of node %d", stolen.node)
				}
			}
		})
	}
}

// Forward secrecy within an epoch.
func TestStolenStateCannotReadWhatWasReadOrSent(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	message, err := c.members[0].g.Protect([]byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.process(1, message)
	if _, err := c.members[1].clone(t).Process(message); !errors.Is(err, secrettree.ErrConsumed) {
		t.Errorf("the receiver's state: error %v, want %v", err, secrettree.ErrConsumed)
	}
	sender := c.members[0].clone(t)
	sender.own = 1 // or it would refuse its own message
	if _, err := sender.Process(message); !errors.Is(err, secrettree.ErrConsumed) {
		t.Errorf("the sender's state: error %v, want %v", err, secrettree.ErrConsumed)
	}
}

func TestTemporarySecretsAreOverwritten(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	secrets := &groupSecrets{joinerSecret: bytes.Repeat([]byte{1}, 32), pathSecret: bytes.Repeat([]byte{2}, 32)}
	secrets.erase()

	tree := c.members[0].g.tree.clone()
	leaf := *tree.leafNode(0)
	path, err := tree.createPath(c.suite, c.rand, 0, &leaf, &c.members[0].id, []byte("group"))
	if err != nil {
		t.Fatal(err)
	}
	consumed := bytes.Clone(path.secrets[0])
	if _, commitSecret, err := tree.derivePath(c.suite, path.steps, consumed); err != nil || !bytes.Equal(commitSecret, path.commitSecret) {
		t.Fatalf("commit secret %x, %v", commitSecret, err)
	}
	wrong := bytes.Repeat([]byte{3}, 32)
	if _, _, err := tree.derivePath(c.suite, path.steps, wrong); err == nil {
		t.Error("a wrong path secret was accepted")
	}
	path.erase()
	for name, secret := range map[string][]byte{
		"joiner secret": secrets.joinerSecret, "path secret of a Welcome": secrets.pathSecret,
		"consumed path secret": consumed, "wrong path secret": wrong,
		"first path secret": path.secrets[0], "last path secret": path.secrets[1], "commit secret": path.commitSecret,
	} {
		if !isZero(secret) {
			t.Errorf("%s is not erased", name)
		}
	}
}

// The encryption secret opens every message of the epoch. It lives in the
// secret tree alone, and only until that is first used.
func TestEncryptionSecretGoesWithTheFirstMessage(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	for _, g := range []*Group{c.members[0].g, c.members[1].g} {
		before := reachable(g.secrets)
		if len(before) != 1 {
			t.Fatalf("an unused secret tree holds %d secrets, want the encryption secret", len(before))
		}
		var secret []byte
		for _, b := range before {
			secret = bytes.Clone(b)
		}
		if where := holds(reachable(g), secret); len(where) != 1 {
			t.Errorf("the encryption secret is at %v, want one place", where)
		}
		if _, err := g.Protect(nil, nil); err != nil {
			t.Fatal(err)
		}
		if where := holds(reachable(g), secret); where != nil {
			t.Errorf("the encryption secret is still at %v", where)
		}
		if bytes.Contains(mustMarshal(t, g), secret) {
			t.Error("the encryption secret is in the state")
		}
	}
}
