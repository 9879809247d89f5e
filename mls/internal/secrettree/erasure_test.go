package secrettree

import (
	"bytes"
	"errors"
	"testing"
)

// What the tree holds after a message must not contain any secret that the
// message's key follows from, and must still contain what other messages need
// (RFC 9420, Section 9.2).
func TestConsumedKeysCannotBeDerivedAgain(t *testing.T) {
	s := testSuite(t)
	const leaf, generation = 5, 3
	app := derive(s, 3, leaf, Application, 8)
	handshake := derive(s, 3, leaf, Handshake, 1)
	tree := New(s, testSecret, 8, Limits{})
	holds := func(want bool, secrets ...[]byte) {
		t.Helper()
		b := state(tree)
		for i, secret := range secrets {
			if bytes.Contains(b, secret) != want {
				t.Errorf("secret %d of %d in the state: %v, want %v", i, len(secrets), !want, want)
			}
		}
	}
	holds(true, testSecret)
	mustPeek(t, tree, leaf, Application, generation).Consume()
	holds(false, app.path...)
	holds(false, app.secrets[:generation+1]...)
	holds(false, app.keys[generation], app.nonces[generation])
	holds(true, app.copath...)
	holds(true, app.keys[:generation]...)
	holds(true, app.nonces[:generation]...)
	holds(true, app.secrets[generation+1], handshake.secrets[0])

	mustPeek(t, tree, leaf, Application, 1).Consume()
	holds(false, app.keys[1], app.nonces[1])
	holds(true, app.keys[0], app.keys[2])

	k := mustNext(t, tree, leaf, Handshake)
	holds(false, handshake.secrets[0], handshake.keys[0], handshake.nonces[0])
	holds(true, handshake.secrets[1])
	k.Discard()

	other := derive(s, 3, 4, Handshake, 1)
	mustNext(t, tree, 4, Handshake).Discard()
	holds(false, other.path...)
	holds(false, other.secrets[0])
	holds(true, app.copath[:2]...)

	for kind, generation := range map[Kind]uint32{Application: 1, Handshake: 0} {
		if _, err := tree.Peek(leaf, kind, generation); !errors.Is(err, ErrConsumed) {
			t.Errorf("kind %d, generation %d: %v", kind, generation, err)
		}
	}
}

// The example of RFC 9420, Section 9.2: A, B or C gets generation 1 of D, in a
// group of four, before generation 0.
func TestTheDeletionScheduleOfTheSpecification(t *testing.T) {
	s := testSuite(t)
	const a, c, d = 0, 2, 3
	application, handshake := derive(s, 2, d, Application, 2), derive(s, 2, d, Handshake, 1)
	tree := New(s, testSecret, 4, Limits{})
	mustPeek(t, tree, d, Application, 1).Consume()

	consumed := map[string][]byte{
		"K1": application.keys[1], "N1": application.nonces[1], "AR1": application.secrets[1], "AR0": application.secrets[0],
		"D": application.path[2], "F": application.path[1], "G": application.path[0],
	}
	retained := map[string][]byte{
		"K0": application.keys[0], "N0": application.nonces[0], "AR2": application.secrets[2], "HR0": handshake.secrets[0],
		"E": application.copath[0], "C": application.copath[1],
	}
	b := state(tree)
	for name, secret := range consumed {
		if bytes.Contains(b, secret) {
			t.Errorf("%s is still there", name)
		}
	}
	for name, secret := range retained {
		if !bytes.Contains(b, secret) {
			t.Errorf("%s is gone", name)
		}
	}
	// Nothing else is there, in plain sight.
	const header = 1 + 4 + 4 + 2*4 + 4 + 4 + 2*(4+4) + 4 + 8 // version, counts, indices, generations, time
	size := header
	for _, secret := range retained {
		size += len(secret)
	}
	if len(b) != size {
		t.Errorf("a state of %d octets, want %d", len(b), size)
	}
	// What is retained is what the others' messages need.
	for _, leaf := range []uint32{a, c} {
		k := mustPeek(t, tree, leaf, Handshake, 0)
		if !bytes.Equal(k.Key, derive(s, 2, leaf, Handshake, 1).keys[0]) {
			t.Errorf("leaf %d has another key", leaf)
		}
		k.Consume()
	}
}

func TestConsumedSecretsAreOverwritten(t *testing.T) {
	tree := New(testSuite(t), testSecret, 4, Limits{MaxSkipped: 4})
	zeroed := func(what string, secrets ...[]byte) {
		t.Helper()
		for _, secret := range secrets {
			if len(secret) == 0 || !isZero(secret) {
				t.Errorf("%s is still in memory", what)
			}
		}
	}
	root, _ := tree.frontier.secrets.get(3)
	mustNext(t, tree, 0, Application)
	zeroed("the root", root)
	parent, _ := tree.frontier.secrets.get(5)
	mustPeek(t, tree, 3, Application, 0).Consume()
	zeroed("an inner node", parent)
	leaf, _ := tree.frontier.secrets.get(4)
	mustNext(t, tree, 2, Application)
	zeroed("a leaf", leaf)

	r := &mustRatchets(t, tree, 0)[Application]
	secret := bytes.Clone(r.secret)
	overwritten := r.secret
	sent := mustNext(t, tree, 0, Application)
	if bytes.Equal(overwritten, secret) {
		t.Error("a ratchet secret is still in memory after sending")
	}
	key, nonce := sent.Key, sent.Nonce
	sent.Discard()
	zeroed("a discarded key", key, nonce)

	received := mustPeek(t, tree, 0, Application, r.next+4)
	key, nonce = received.Key, received.Nonce
	following := received.following
	secret = bytes.Clone(r.secret)
	received.Consume()
	if bytes.Equal(overwritten, secret) {
		t.Error("a ratchet secret is still in memory after receiving")
	}
	zeroed("a consumed key", key, nonce, following)

	oldest, used := r.skipped[0], r.skipped[2]
	mustPeek(t, tree, 0, Application, used.generation).Consume()
	zeroed("a skipped key after its use", used.key, used.nonce)
	mustPeek(t, tree, 0, Application, r.next+2).Consume()
	zeroed("a skipped key that fell out of the window", oldest.key, oldest.nonce)
}

// Whatever was derived on the way to a key is either part of the tree or
// overwritten.
func TestNothingThatWasDerivedLingers(t *testing.T) {
	kdf := &recordingKDF{kdf: testSuite(t)}
	tree := newTree(kdf, testSecret, 8, Limits{MaxForward: 20, MaxSkipped: 5})
	check := func(what string) {
		t.Helper()
		kept := 0
		b := state(tree)
		for _, secret := range kdf.derived {
			if isZero(secret) {
				continue
			}
			kept++
			if !bytes.Contains(b, secret) {
				t.Errorf("%s: %x is in memory, but not in the tree", what, secret)
			}
		}
		if kept == 0 && len(tree.ratchets) > 0 {
			t.Errorf("%s: no secret recorded", what)
		}
	}
	mustPeek(t, tree, 3, Application, 0).Discard()
	check("looking at a leaf that is not in use")
	mustPeek(t, tree, 3, Application, 9).Discard()
	check("looking ahead at a leaf that is not in use")
	mustPeek(t, tree, 3, Application, 9).Consume()
	check("receiving after a loss")
	mustPeek(t, tree, 3, Application, 7).Discard()
	check("looking at a skipped key")
	mustPeek(t, tree, 3, Application, 7).Consume()
	check("receiving out of order")
	mustPeek(t, tree, 3, Application, 20).Discard()
	check("looking ahead")
	mustNext(t, tree, 2, Handshake).Discard()
	check("sending")
	tree.Erase()
	check("erasing the tree")
}

func TestEraseOverwritesEverythingButNotClones(t *testing.T) {
	s := testSuite(t)
	tree := New(s, testSecret, 8, Limits{})
	mustPeek(t, tree, 2, Application, 3).Consume()
	held := mustPeek(t, tree, 6, Application, 0)
	before := state(tree)
	clone := tree.Clone()

	var secrets [][]byte
	for _, r := range tree.frontier.secrets {
		secrets = append(secrets, r.value)
	}
	for _, pair := range tree.ratchets {
		for _, r := range pair.value {
			secrets = append(secrets, r.secret)
			for _, k := range r.skipped {
				secrets = append(secrets, k.key, k.nonce)
			}
		}
	}
	if len(secrets) != 3+2+2*3 {
		t.Fatalf("%d secrets", len(secrets))
	}
	tree.Erase()
	for i, secret := range secrets {
		if !isZero(secret) {
			t.Errorf("secret %d is still in memory", i)
		}
	}
	if _, err := tree.Next(2, Application); !errors.Is(err, ErrNoSuchLeaf) {
		t.Errorf("sending after erasure: %v", err)
	}
	if _, err := tree.Peek(2, Application, 0); !errors.Is(err, ErrNoSuchLeaf) {
		t.Errorf("receiving after erasure: %v", err)
	}
	held.Consume()
	if want := state(New(s, nil, 0, Limits{})); !bytes.Equal(state(tree), want) {
		t.Error("an erased tree is not empty")
	}
	tree.Erase()

	if !bytes.Equal(state(clone), before) {
		t.Error("erasing a tree changed its clone")
	}
	mustPeek(t, clone, 2, Application, 1).Consume()
}

func TestNewCopiesTheSecret(t *testing.T) {
	secret := bytes.Repeat([]byte{1}, 32)
	tree := New(testSuite(t), secret, 2, Limits{})
	clear(secret)
	if !bytes.Contains(state(tree), bytes.Repeat([]byte{1}, 32)) {
		t.Error("the tree shares memory with its caller")
	}
}
