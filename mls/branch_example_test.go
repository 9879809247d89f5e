package mls_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// Bob joins a branch of an epoch that he has left meanwhile.
func ExampleBranchPoint() {
	alice, bob := newPair()
	cfg := &mls.Config{AuthenticationService: anyone{}, Now: time.Now}
	bundle, err := bob.BranchKeyPackage(cfg, mls.LeafOptions{})
	if err != nil {
		log.Fatal(err)
	}
	branch, err := alice.Branch(mls.SuccessorOptions{Config: cfg, KeyPackages: []*mls.KeyPackage{bundle.KeyPackage()}})
	if err != nil {
		log.Fatal(err)
	}

	// Before the Welcome arrives, Bob makes a commit.
	point := bob.BranchPoint()
	commit, err := bob.Commit(mls.CommitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	bob.Erase()
	bob = commit.Group()

	joined, err := mls.Join(cfg, branch.Welcome(), bundle, mls.JoinOptions{Previous: bob, BranchPoints: []*mls.BranchPoint{point}})
	if err != nil {
		log.Fatal(err)
	}
	point.Erase()
	fmt.Printf("branch of epoch %d, joined in epoch %d: %d members\n", point.Epoch(), bob.Epoch(), len(joined.Members()))
	// Output: branch of epoch 1, joined in epoch 2: 2 members
}

// A group that was made without a client goes on in a client's store.
func ExampleClient_TakeOver() {
	book := addressBook{}
	alice := newIdentity(book, "alice")
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	group, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: alice, GroupID: []byte("branch")})
	if err != nil {
		log.Fatal(err)
	}
	client, err := mls.NewClient(mls.ClientOptions{Config: cfg, Store: mls.NewMemoryStore(), Signers: mls.OnlySigner(alice.Signer)})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := client.TakeOver(ctx, group); err != nil {
		log.Fatal(err)
	}
	groups, err := client.Groups(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", groups)
	// Output: ["branch"]
}

// anyone is an AuthenticationService that accepts everybody.
type anyone struct{}

func (anyone) ValidateLeaf(leaf, previous *mls.LeafNode) error { return nil }
