package mls_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// A group uses a wire format of the application's, which all members have to
// understand.
func ExampleWireFormats() {
	const digest mls.WireFormat = 0xF0F0
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now, WireFormats: mls.WireFormats{digest}}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{
		Suite: suite, Identity: newIdentity(book, "alice"), Extensions: mls.Extensions{cfg.WireFormats.Required()},
	})
	if err != nil {
		log.Fatal(err)
	}
	older := &mls.Config{AuthenticationService: book, Now: time.Now, WireFormats: mls.WireFormats{}}
	for _, cfg := range []*mls.Config{cfg, older} {
		bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
		if err != nil {
			log.Fatal(err)
		}
		_, err = alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
		broken := (*mls.Error)(nil)
		fmt.Println(err == nil, errors.As(err, &broken) && broken.Check == mls.CheckLeafWireFormats)
	}
	// Output:
	// true false
	// false true
}
