package mls_test

import (
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// With post-quantum signatures, one less is some kilobytes less.
func ExampleConfig_oneSignature() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now, OneSignature: true}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}

	// Bob publishes a key package that the signature of his leaf speaks for.
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob"), OneSignature: true})
	if err != nil {
		log.Fatal(err)
	}
	unverified, err := mls.ParseKeyPackage(bundle.Message())
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
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}

	// His Updates have one signature as well: all members understand that.
	update, err := bob.ProposeUpdate(mls.LeafChanges{}, mls.ProposeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	header, err := mls.ParseHeader(update)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(keyPackage.Signature), header.WireFormat)
	// Output: 0 mls_os_private_message
}
