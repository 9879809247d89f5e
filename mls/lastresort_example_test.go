package mls_test

import (
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// A client publishes a key package that may be used again when all others are
// used up, and a delivery service can tell it from those.
func ExampleKeyPackage_LastResort() {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now}
	bob := newIdentity(book, "bob")
	for _, lastResort := range []bool{false, true} {
		bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: bob, LastResort: lastResort})
		if err != nil {
			log.Fatal(err)
		}
		received, err := mls.ParseKeyPackage(bundle.Message())
		if err != nil {
			log.Fatal(err)
		}
		keyPackage, err := received.Verify(cfg)
		if err != nil {
			log.Fatal(err)
		}
		marked, err := keyPackage.LastResort()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("last resort:", marked)
	}
	// Output:
	// last resort: false
	// last resort: true
}
