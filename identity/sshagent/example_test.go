package sshagent_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log"
	"net"

	"golang.org/x/crypto/ssh/agent"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/identity/sshagent"
)

func ExampleAgent_SignerFor() {
	// In a program: sshagent.FromEnvironment().
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: &private}); err != nil {
		log.Fatal(err)
	}
	a := sshagent.New(func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go agent.ServeAgent(keyring, theirs)
		return ours, nil
	})

	signer, err := a.SignerFor(public)
	if err != nil {
		log.Fatal(err)
	}
	self := identity.New(signer, "replica-7") // for netconn.Config.Identity
	fmt.Println(string(self.Credential.Identity), signer.Public().(ed25519.PublicKey).Equal(public))
	// Output: replica-7 true
}
