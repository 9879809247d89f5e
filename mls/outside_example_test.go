package mls_test

import (
	"crypto/ed25519"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// Bob has lost his state. He enters the group again by a commit of his own, which
// removes the member that he was.
func ExampleJoinExternal() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	bobID := newIdentity(book, "bob")
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: bobID})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	alice = pending.Group()

	// The delivery service has a GroupInfo of each epoch.
	info, err := alice.GroupInfo(mls.GroupInfoOptions{})
	if err != nil {
		log.Fatal(err)
	}
	joining, err := mls.JoinExternal(cfg, info, mls.ExternalJoinOptions{
		Identity: bobID,
		Resync:   func(leaf *mls.LeafNode) bool { return leaf.Credential.Equal(bobID.Credential) },
	})
	if err != nil {
		log.Fatal(err)
	}
	received, err := alice.Process(joining.Message())
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	alice = received.(*mls.ReceivedCommit).Group()
	bob := joining.Group()

	message, err := bob.Protect([]byte("I am back"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if received, err = alice.Process(message); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d members in epoch %d\n", received.(*mls.ReceivedApplication).Data, len(alice.Members()), alice.Epoch())
	// Output: I am back: 2 members in epoch 2
}

// A service that is not a member, but that the group admits, has it take Bob in.
// A member commits what the service proposes.
func ExampleProposeAsExternalSender() {
	book := serviceBook{addressBook{}}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	service := newIdentity(book.addressBook, "directory")
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{
		Suite:    suite,
		Identity: newIdentity(book.addressBook, "alice"),
		Extensions: mls.Extensions{mls.ExternalSenders(mls.ExternalSender{
			SignatureKey: book.addressBook["directory"], Credential: service.Credential,
		})},
	})
	if err != nil {
		log.Fatal(err)
	}

	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book.addressBook, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	proposal, err := mls.ProposeAsExternalSender(cfg, mls.ExternalProposalOptions{
		Suite: suite, GroupID: alice.GroupID(), Epoch: alice.Epoch(), Signer: service.Signer,
	}, &mls.Add{KeyPackage: bundle.KeyPackage()})
	if err != nil {
		log.Fatal(err)
	}

	received, err := alice.Process(proposal)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("external sender %d proposes\n", received.(*mls.ReceivedProposal).Sender.Index)
	pending, err := alice.Commit(mls.CommitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(bob.Members()), "members")
	// Output:
	// external sender 0 proposes
	// 2 members
}

// serviceBook is an address book that has the keys of services, too.
type serviceBook struct{ addressBook }

func (b serviceBook) ValidateExternalSender(s *mls.ExternalSender) error {
	if name := string(s.Credential.Identity); !b.addressBook[name].Equal(ed25519.PublicKey(s.SignatureKey)) {
		return fmt.Errorf("this is not the key of the service %q", name)
	}
	return nil
}

// Bob asks to be let in, with a proposal of his own. A member commits it.
func ExampleKeyPackageBundle_ProposeJoin() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice"), GroupID: []byte("open")})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	proposal, err := bundle.ProposeJoin(cfg, []byte("open"), 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := alice.Process(proposal); err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(bob.Members()), "members in epoch", bob.Epoch())
	// Output: 2 members in epoch 1
}
