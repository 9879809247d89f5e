package identity_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

func ExamplePinned() {
	peer, err := identity.Generate(rand.Reader, "peer")
	if err != nil {
		log.Fatal(err)
	}
	// The peer's public key comes to us in a file.
	file, err := identity.MarshalPublicKey(peer.Signer.Public())
	if err != nil {
		log.Fatal(err)
	}
	key, err := identity.ParsePublicKey(file)
	if err != nil {
		log.Fatal(err)
	}
	pinned, err := identity.NewPinned(key)
	if err != nil {
		log.Fatal(err)
	}
	err = pinned.ValidateLeaf(&mls.LeafNode{SignatureKey: []byte("a stranger's key")}, nil)
	fmt.Println(errors.Is(err, identity.ErrUnknownPeer))
	// Output: true
}
