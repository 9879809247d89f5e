package mls_test

import (
	"fmt"
	"log"

	"github.com/mendlink/mendlink/mls"
)

// A token comes as text. Compacted, it makes smaller leaves. The module identity/webtoken has what
// makes and verifies tokens.
func ExampleParseSDJWT() {
	const text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJpc3N1ZXIifQ.c2lnbmF0dXJl~WyJzYWx0IiwibmFtZSIsIkFkYSJd~eyJ0eXAiOiJrYitqd3QifQ.e30.c2lnbmF0dXJl"
	token, err := mls.ParseSDJWT([]byte(text))
	if err != nil {
		log.Fatal(err)
	}
	compacted, err := token.Compact()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s discloses %s\n", compacted.Payload, compacted.Disclosures[0])
	credential := mls.SDJWTCredential(compacted)
	fmt.Println(len(credential.Marshal()), "octets instead of", len(text))
	// Output:
	// {"iss":"issuer"} discloses ["salt","name","Ada"]
	// 109 octets instead of 125
}
