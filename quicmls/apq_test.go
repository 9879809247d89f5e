package quicmls

import (
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Sessions of two groups need nothing but the Config.
func TestSessionsOfTwoGroups(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.APQ, rc.APQ = &channel.APQ{}, &channel.APQ{}
	client, server := connect(t, ic, rc)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	for range 3 {
		update(t, client)
		update(t, server)
		for _, c := range []*Conn{client, server} {
			within(t, "a full update", func() {
				if err := c.UpdateFull(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		exchange(t, a, b)
	}
	if state := client.ConnectionState(); state.Epoch != 13 || state.Negotiated.PQSuite != ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519 {
		t.Errorf("epoch %d, post-quantum suite %v", state.Epoch, state.Negotiated.PQSuite)
	}
}
