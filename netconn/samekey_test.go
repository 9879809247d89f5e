package netconn

import (
	"errors"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

// Two ends that were configured with one key learn so, both of them.
func TestTwoEndsWithOneSignatureKeyAreTold(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.Identity = ic.Identity
	ic.Validator, rc.Validator = pin(t, ic.Identity), pin(t, ic.Identity)
	a, b := tcpPair(t)
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	refused := make(chan error, 1)
	go func() { refused <- server.Handshake() }()
	for who, err := range map[string]error{"initiator": client.Handshake(), "responder": <-refused} {
		if !errors.Is(err, channel.ErrSameSignatureKey) || !strings.Contains(err.Error(), channel.ErrSameSignatureKey.Error()) {
			t.Errorf("%s: error %v, want %v", who, err, channel.ErrSameSignatureKey)
		}
	}
	if err := error(&AlertError{Alert: channel.AlertIllegalParameter}); errors.Is(err, channel.ErrSameSignatureKey) {
		t.Errorf("%v is taken for %v", err, channel.ErrSameSignatureKey)
	}
}
