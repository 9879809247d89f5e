package mls_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// A component makes sure that all members have the same file, without sending
// it: who has another one does not get into the next epoch.
func ExamplePreSharedKeyID() {
	const fileSync mls.ComponentID = 0x8001
	files := map[string][]byte{"terms.txt": []byte("All messages are kept for a year.")}
	book := addressBook{}
	cfg := &mls.Config{
		AuthenticationService: book, Now: time.Now,
		PSK: func(id mls.PreSharedKeyID) ([]byte, error) {
			if file, ok := files[string(id.ID)]; ok && id.Type == mls.PSKApplication && id.Component == fileSync {
				return file, nil
			}
			return nil, mls.ErrUnknownPSK
		},
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}

	terms := mls.PreSharedKeyID{Type: mls.PSKApplication, Component: fileSync, ID: []byte("terms.txt")}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{
		&mls.Add{KeyPackage: bundle.KeyPackage()},
		&mls.PreSharedKey{PSK: terms},
	}})
	if err != nil {
		log.Fatal(err)
	}
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("agreed:", bytes.Equal(pending.Group().EpochAuthenticator(), bob.EpochAuthenticator()))
	// Output: agreed: true
}
