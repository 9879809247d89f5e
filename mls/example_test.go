package mls_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const suite = ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519

// addressBook is an AuthenticationService that knows everybody's signature key.
type addressBook map[string]ed25519.PublicKey

func (b addressBook) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	name := string(leaf.Credential.Identity)
	if !bytes.Equal(b[name], leaf.SignatureKey) {
		return fmt.Errorf("this is not the key of %q", name)
	}
	return nil
}

// newIdentity makes a signature key and enters it into the address book.
func newIdentity(book addressBook, name string) mls.Identity {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	book[name] = public
	return mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: private}
}

// Many groups can share one Config.
func ExampleConfig_WithDefaults() {
	book := addressBook{}
	alice := newIdentity(book, "alice")
	cfg, err := (&mls.Config{AuthenticationService: book, Now: time.Now}).WithDefaults()
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		group, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: alice})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(len(group.Members()), "member")
	}
	// Output:
	// 1 member
	// 1 member
}

// newPair returns the groups of two members, in epoch 1.
func newPair() (alice, bob *mls.Group) {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
	if err != nil {
		log.Fatal(err)
	}
	bob, err = mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	return pending.Group(), bob
}

// Two clients form a group, exchange a message and heal.
func Example() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}

	// Bob publishes a key package. It travels as bytes.
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	published := bundle.Message()

	// Alice creates a group and adds Bob.
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	unverified, err := mls.ParseKeyPackage(published)
	if err != nil {
		log.Fatal(err)
	}
	keyPackage, err := unverified.Verify(cfg)
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: keyPackage}}})
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	alice = pending.Group()

	// Bob joins with the Welcome.
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}

	// Alice sends, Bob receives.
	message, err := alice.Protect([]byte("Hello, Bob."), nil)
	if err != nil {
		log.Fatal(err)
	}
	received, err := bob.Process(message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", received.(*mls.ReceivedApplication).Data)

	// Bob heals: whoever stole his keys before is locked out from here on.
	pending, err = bob.Commit(mls.CommitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	received, err = alice.Process(pending.Message())
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	alice = received.(*mls.ReceivedCommit).Group()
	bob.Erase()
	bob = pending.Group()
	fmt.Println("epoch", alice.Epoch(), bytes.Equal(alice.EpochAuthenticator(), bob.EpochAuthenticator()))
	// Output:
	// Hello, Bob.
	// epoch 2 true
}

func ExampleNewGroup() {
	book := addressBook{}
	group, err := mls.NewGroup(&mls.Config{AuthenticationService: book, Now: time.Now}, mls.GroupOptions{
		Suite:    suite,
		Identity: newIdentity(book, "alice"),
		GroupID:  []byte("an example"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range group.Members() {
		fmt.Printf("%s, epoch %d: leaf %d is %s\n", group.GroupID(), group.Epoch(), m.Index, m.Leaf.Credential.Identity)
	}
	// Output:
	// an example, epoch 0: leaf 0 is alice
}

// A Welcome can leave the ratchet tree out. The new member needs it by another
// way then.
func ExampleJoin() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{
		Proposals:   []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}},
		WithoutTree: true,
	})
	if err != nil {
		log.Fatal(err)
	}

	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{RatchetTree: pending.RatchetTree()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("leaf", bob.OwnLeaf(), "of", len(bob.Members()))
	// Output:
	// leaf 1 of 2
}

// A commit takes effect when the member adopts the group that it leads to. If
// another member's commit comes first, the own one is dropped.
func ExampleGroup_Commit() {
	alice, bob := newPair()
	hers, err := alice.Commit(mls.CommitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	his, err := bob.Commit(mls.CommitOptions{})
	if err != nil {
		log.Fatal(err)
	}

	// The delivery service says that Alice's came first.
	received, err := bob.Process(hers.Message())
	if err != nil {
		log.Fatal(err)
	}
	his.Erase()
	bob.Erase()
	bob = received.(*mls.ReceivedCommit).Group()
	alice.Erase()
	alice = hers.Group()
	fmt.Println(alice.Epoch(), bob.Epoch())
	// Output:
	// 2 2
}

// All members export the same secrets.
func ExampleGroup_Export() {
	alice, bob := newPair()
	hers, err := alice.Export("example key", []byte("file 7"), 32)
	if err != nil {
		log.Fatal(err)
	}
	his, err := bob.Export("example key", []byte("file 7"), 32)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(hers), bytes.Equal(hers, his))

	// Nobody can export the key again once the secret behind it is gone.
	alice.EraseExporterSecret()
	_, err = alice.Export("example key", []byte("file 7"), 32)
	fmt.Println(err)
	// Output:
	// 32 true
	// mls: exporting: mls: erased
}
