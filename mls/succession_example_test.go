package mls_test

import (
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A group moves to a post-quantum suite. One commit closes it, and the group that
// takes its place is bound to it by a resumption PSK.
func ExampleGroup_ReInitialize() {
	alice, bob := newPair()
	const next = ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519
	closing, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{
		&mls.ReInit{GroupID: []byte("the next group"), Version: mls.MLS10, CipherSuite: next},
	}})
	if err != nil {
		log.Fatal(err)
	}
	received, err := bob.Process(closing.Message())
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	bob.Erase()
	alice, bob = closing.Group(), received.(*mls.ReceivedCommit).Group()

	// Bob makes a key package for the suite that the group moves to, here with a new
	// signature key.
	cfg := &mls.Config{AuthenticationService: anyone{}, Now: time.Now}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: bob.ReInit().CipherSuite, Identity: newIdentity(addressBook{}, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	founding, err := alice.ReInitialize(mls.SuccessorOptions{Config: cfg, KeyPackages: []*mls.KeyPackage{bundle.KeyPackage()}})
	if err != nil {
		log.Fatal(err)
	}
	joined, err := mls.Join(cfg, founding.Welcome(), bundle, mls.JoinOptions{Previous: bob})
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	bob.Erase()
	fmt.Printf("%s: %v, %d members\n", joined.GroupID(), joined.Suite().ID(), len(joined.Members()))
	// Output: the next group: MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519, 2 members
}
