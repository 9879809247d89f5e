package mls_test

import (
	"fmt"
	"log"

	"github.com/mendlink/mendlink/mls"
)

// A component signs, and gets a message that only it can read.
func ExampleComponentKeys() {
	const directory mls.ComponentID = 0x8001
	alice, bob := newPair()

	entry := []byte("bob is at extension 7")
	signature, err := bob.ComponentKeys(directory).Sign("entry", entry)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("signed by bob:", alice.SafeVerify(bob.OwnLeaf(), directory, "entry", entry, signature) == nil)

	kemOutput, ciphertext, err := alice.SafeEncrypt(bob.OwnLeaf(), directory, "note", nil, []byte("for your eyes only"))
	if err != nil {
		log.Fatal(err)
	}
	note, err := bob.ComponentKeys(directory).Decrypt("note", nil, kemOutput, ciphertext)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", note)
	// Output:
	// signed by bob: true
	// for your eyes only
}
