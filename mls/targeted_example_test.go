package mls_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// newTrio returns the groups of three members who can send targeted messages.
func newTrio() (alice, bob, carol *mls.Group) {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now, TargetedMessages: true}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	var bundles []*mls.KeyPackageBundle
	var adds []mls.Proposal
	for _, name := range []string{"bob", "carol"} {
		bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, name)})
		if err != nil {
			log.Fatal(err)
		}
		bundles = append(bundles, bundle)
		adds = append(adds, &mls.Add{KeyPackage: bundle.KeyPackage()})
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: adds})
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	if bob, err = mls.Join(cfg, pending.Welcome(), bundles[0], mls.JoinOptions{}); err != nil {
		log.Fatal(err)
	}
	if carol, err = mls.Join(cfg, pending.Welcome(), bundles[1], mls.JoinOptions{}); err != nil {
		log.Fatal(err)
	}
	return pending.Group(), bob, carol
}

// Alice tells Bob something that Carol, in the same group, cannot read.
func ExampleGroup_ProtectTo() {
	alice, bob, carol := newTrio()
	message, err := alice.ProtectTo(bob.OwnLeaf(), []byte("a present for Carol"), nil)
	if err != nil {
		log.Fatal(err)
	}
	received, err := bob.Process(message)
	if err != nil {
		log.Fatal(err)
	}
	targeted := received.(*mls.ReceivedTargeted)
	fmt.Printf("from leaf %d: %s\n", targeted.Sender, targeted.Data)
	_, err = carol.Process(message)
	fmt.Println(errors.Is(err, mls.ErrNotRecipient))
	// Output:
	// from leaf 0: a present for Carol
	// true
}

// Carol tells the two others the same, with one encryption.
func ExampleGroup_ProtectToSeveral() {
	alice, bob, carol := newTrio()
	message, err := carol.ProtectToSeveral([]mls.LeafIndex{alice.OwnLeaf(), bob.OwnLeaf()}, []byte("thank you"), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, group := range []*mls.Group{alice, bob} {
		received, err := group.Process(message)
		if err != nil {
			log.Fatal(err)
		}
		targeted := received.(*mls.ReceivedTargeted)
		fmt.Printf("to leaves %d: %s\n", targeted.Recipients, targeted.Data)
	}
	// Output:
	// to leaves [0 1]: thank you
	// to leaves [0 1]: thank you
}
