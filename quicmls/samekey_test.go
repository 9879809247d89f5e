package quicmls

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
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := make(chan error, 1)
	go func() {
		c, err := l.Accept(t.Context())
		if err == nil {
			err = c.HandshakeContext(t.Context())
		}
		refused <- err
	}()
	_, err = Dial(t.Context(), l.Addr().String(), ic)
	for who, err := range map[string]error{"initiator": err, "responder": <-refused} {
		if !errors.Is(err, channel.ErrSameSignatureKey) || !strings.Contains(err.Error(), channel.ErrSameSignatureKey.Error()) {
			t.Errorf("%s: error %v, want %v", who, err, channel.ErrSameSignatureKey)
		}
	}
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Unwrap() == nil {
		t.Errorf("error %v, want an alert in an error of QUIC", err)
	}
}
