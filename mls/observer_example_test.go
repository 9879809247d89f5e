package mls_test

import (
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// A delivery service follows a group without its secrets: it knows who the members
// are, and passes on what they will accept. What it knows survives a restart.
func ExampleObserver() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	info, err := alice.GroupInfo(mls.GroupInfoOptions{})
	if err != nil {
		log.Fatal(err)
	}
	observer, err := mls.NewObserver(cfg, info, nil)
	if err != nil {
		log.Fatal(err)
	}

	// Alice adds Bob. It has to be in the clear, or only members could follow.
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{
		Proposals:  []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}},
		WireFormat: mls.WireFormatPublicMessage,
	})
	if err != nil {
		log.Fatal(err)
	}

	// The service is restarted before the commit comes.
	stored := observer.Marshal()
	if observer, err = mls.RestoreObserver(cfg, stored); err != nil {
		log.Fatal(err)
	}
	received, err := observer.Process(pending.Message())
	if err != nil {
		log.Fatal(err)
	}
	observer = received.(*mls.ObservedCommit).Observer()
	for _, m := range observer.Members() {
		fmt.Printf("epoch %d: leaf %d is %s\n", observer.Epoch(), m.Index, m.Leaf.Credential.Identity)
	}

	// A second commit to the same epoch comes too late, and is not passed on.
	_, err = observer.Process(pending.Message())
	fmt.Println(err)
	// Output:
	// epoch 1: leaf 0 is alice
	// epoch 1: leaf 1 is bob
	// mls: message belongs to another epoch: 0, want 1
}
