package channel_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mendlink/mendlink/channel"
)

// Both ends keep post-quantum keys apart, and replace them when it is time; the updates
// between cost what classical ones do.
func ExampleSession_UpdateFull() {
	alice, bob := configs()
	alice.APQ, bob.APQ = &channel.APQ{}, &channel.APQ{}
	first, err := channel.NewInitiator(alice)
	if err != nil {
		log.Fatal(err)
	}
	second, err := channel.NewResponder(bob)
	if err != nil {
		log.Fatal(err)
	}
	a, b := connect(first, second, start, nil)
	fmt.Println(second.Suite(), "and", second.Negotiated().PQSuite)

	b.told = func(e channel.Event) {
		if e, ok := e.(channel.Updated); ok {
			fmt.Printf("epoch %d, full: %t\n", e.Epoch, e.Full)
		}
	}
	b.carryOut(second.Update(context.Background(), channel.ReasonRequested))
	talk(a, b)
	b.carryOut(second.UpdateFull(context.Background(), channel.ReasonRequested))
	talk(a, b)
	// Output:
	// MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519 and MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519
	// epoch 2, full: false
	// epoch 3, full: true
}
