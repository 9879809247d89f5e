package mls_test

import (
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// Bob leaves. It is Carol who takes that into account, as she joins from outside.
func ExampleSelfRemove() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now, SelfRemove: true}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
	if err != nil {
		log.Fatal(err)
	}
	alice = pending.Group()
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}

	leaving, err := bob.Propose(&mls.SelfRemove{}, mls.ProposeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := alice.Process(leaving); err != nil {
		log.Fatal(err)
	}
	// The delivery service gives Carol the proposal with the GroupInfo.
	info, err := alice.GroupInfo(mls.GroupInfoOptions{})
	if err != nil {
		log.Fatal(err)
	}
	joining, err := mls.JoinExternal(cfg, info, mls.ExternalJoinOptions{
		Identity: newIdentity(book, "carol"), SelfRemoves: [][]byte{leaving},
	})
	if err != nil {
		log.Fatal(err)
	}
	received, err := alice.Process(joining.Message())
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range received.(*mls.ReceivedCommit).Group().Members() {
		fmt.Printf("%s\n", m.Leaf.Credential.Identity)
	}
	// Output:
	// alice
	// carol
}
