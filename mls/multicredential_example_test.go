package mls_test

import (
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Alice proves two things at once: who she is in the messaging service, and that
// she works for a company. Each of the two credentials has a key of its own, which
// vouches for the key of her leaf.
func ExampleMultiCredentialService() {
	book := addressBook{} // knows the keys of single credentials
	service := &mls.MultiCredentialService{Service: book, Credentials: []mls.CredentialType{mls.CredentialBasic}}
	cfg := &mls.Config{AuthenticationService: service, Now: time.Now}
	s, err := ciphersuite.Default().Lookup(suite)
	if err != nil {
		log.Fatal(err)
	}
	leafKey, err := s.GenerateSigner(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	encoded, err := s.SignaturePublicKey(leafKey.Public())
	if err != nil {
		log.Fatal(err)
	}
	var bindings []mls.CredentialBinding
	for _, name := range []string{"@alice", "alice of Example Ltd"} {
		binding, err := mls.NewCredentialBinding(s, rand.Reader, newIdentity(book, name), encoded)
		if err != nil {
			log.Fatal(err)
		}
		bindings = append(bindings, binding)
	}
	alice := mls.Identity{Credential: mls.MultiCredential(bindings...), Signer: leafKey}

	bob, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "@bob")})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: alice})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := bob.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
	if err != nil {
		log.Fatal(err)
	}
	shown, err := pending.Group().Leaf(1).Credential.Bindings()
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range shown {
		fmt.Printf("%s\n", b.Credential.Identity)
	}
	// Output:
	// @alice
	// alice of Example Ltd
}
