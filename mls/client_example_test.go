package mls_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// Two clients form a group. One of them is restarted in the middle of a commit,
// and goes on from what is in its store.
func ExampleClient() {
	ctx := context.Background()
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	start := func(id mls.Identity, store mls.Store) *mls.Client {
		c, err := mls.NewClient(mls.ClientOptions{Config: cfg, Store: store, Signers: mls.OnlySigner(id.Signer)})
		if err != nil {
			log.Fatal(err)
		}
		return c
	}
	aliceID, aliceStore := newIdentity(book, "alice"), mls.NewMemoryStore()
	alice := start(aliceID, aliceStore)
	bobID := newIdentity(book, "bob")
	bob := start(bobID, mls.NewMemoryStore())

	keyPackage, err := bob.NewKeyPackage(ctx, mls.KeyPackageOptions{Suite: suite, Identity: bobID})
	if err != nil {
		log.Fatal(err)
	}
	atAlice, err := alice.CreateGroup(ctx, mls.GroupOptions{Suite: suite, Identity: aliceID})
	if err != nil {
		log.Fatal(err)
	}
	add, err := alice.ParseAdd(keyPackage)
	if err != nil {
		log.Fatal(err)
	}
	commit, err := atAlice.Commit(ctx, mls.CommitOptions{Proposals: []mls.Proposal{add}})
	if err != nil {
		log.Fatal(err)
	}

	// Alice's process ends before she hears whether the commit was accepted.
	atAlice, err = start(aliceID, aliceStore).Open(ctx, atAlice.GroupID())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := atAlice.Process(ctx, commit.Commit); err != nil { // it comes back
		log.Fatal(err)
	}
	atBob, err := bob.Join(ctx, commit.Welcome, nil)
	if err != nil {
		log.Fatal(err)
	}

	message, err := atAlice.Protect(ctx, []byte("hello, Bob"), nil)
	if err != nil {
		log.Fatal(err)
	}
	received, err := atBob.Process(ctx, message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", received.(*mls.ReceivedApplication).Data)
	// Output: hello, Bob
}
