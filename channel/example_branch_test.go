package channel_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// Two ends found a group, to which one of them adds a third party. The applications carry the key
// package and the Welcome.
func ExampleSession_Branch() {
	first, second := sessions(configs())
	a, b := connect(first, second, start, nil)

	options := channel.BranchOptions{Config: &mls.Config{AuthenticationService: anybody{}, Now: time.Now}}
	keyPackage, err := b.session.BranchKeyPackage(options)
	if err != nil {
		log.Fatal(err)
	}
	// Meanwhile, Bob's keys change.
	b.carryOut(b.session.Update(context.Background(), channel.ReasonRequested))
	talk(a, b)
	atAlice, welcome, err := a.session.Branch(keyPackage, options)
	if err != nil {
		log.Fatal(err)
	}
	atBob, err := b.session.JoinBranch(welcome)
	if err != nil {
		log.Fatal(err)
	}

	// It is a group like any other.
	carol, err := mls.NewKeyPackage(options.Config, mls.KeyPackageOptions{Suite: atBob.Suite().ID(), Identity: generate("carol")})
	if err != nil {
		log.Fatal(err)
	}
	commit, err := atBob.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: carol.KeyPackage()}}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := atAlice.Process(commit.Message()); err != nil {
		log.Fatal(err)
	}
	atCarol, err := mls.Join(options.Config, commit.Welcome(), carol, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range atCarol.Members() {
		fmt.Printf("%s\n", m.Leaf.Credential.Identity)
	}
	fmt.Println("the session is in epoch", a.session.Epoch())
	// Output:
	// alice
	// bob
	// carol
	// the session is in epoch 2
}
