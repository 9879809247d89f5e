package record_test

import (
	"crypto/rand"
	"fmt"
	"log"

	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// epoch returns a cipher suite and a traffic secret, as a session gives them out.
func epoch() (*ciphersuite.Suite, []byte) {
	suite := must(ciphersuite.Default().Lookup(ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519))
	secret := make([]byte, suite.HashSize())
	must(rand.Read(secret))
	return suite, secret
}

// One direction of a byte stream, with a step to the next key of the epoch.
func Example() {
	suite, secret := epoch()
	sender, receiver := must(record.NewProtection(suite, secret)), must(record.NewProtection(suite, secret))
	for _, text := range []string{"before", "after"} {
		sealed := must(sender.Seal(nil, record.ContentApplicationData, []byte(text)))
		header := must(record.ParseHeader(sealed))
		kind, content, err := receiver.Open(nil, sealed)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v %q in %v of %d octets\n", kind, content, header.Type, header.Length)
		for _, p := range []*record.Protection{sender, receiver} {
			if err := p.Update(); err != nil {
				log.Fatal(err)
			}
		}
	}
	sender.Erase()
	receiver.Erase()
	// Output:
	// application_data "before" in application_data of 23 octets
	// application_data "after" in application_data of 22 octets
}

// Each stream of a connection has its own key, and datagrams may be lost.
func ExampleEpochSecret() {
	suite, secret := epoch()
	var ends [2]*record.EpochSecret
	for i := range ends {
		ends[i] = must(record.NewEpochSecret(suite, 7, secret, record.MaxPlaintext))
		defer ends[i].Erase()
	}
	const stream = 4
	sender := must(ends[0].Stream(7, ends[0].StreamKey(stream)))
	receiver := must(ends[1].Stream(7, ends[1].StreamKey(stream)))
	_, content, err := receiver.Open(nil, must(sender.Seal(nil, record.ContentApplicationData, []byte("on a stream"))))
	fmt.Printf("%q, %v\n", content, err)

	from, to := must(ends[0].Datagrams()), must(ends[1].Datagrams())
	must(from.Seal(nil, []byte("is lost")))
	content, err = to.Open(must(from.Seal(nil, []byte("arrives"))))
	fmt.Printf("%q, %v\n", content, err)
	// Output:
	// "on a stream", <nil>
	// "arrives", <nil>
}
