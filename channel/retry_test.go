package channel

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const (
	chaCha = ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
	hybrid = ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519
)

// retrying returns two ends of which the responder lacks the initiator's favourite.
func retrying(t tb) (a, b *peer) {
	t.Helper()
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.Suites = []ciphersuite.ID{hybrid, suite, chaCha}
	hb.cfg.Suites = []ciphersuite.ID{chaCha, suite}
	return initiate(t, ha, hb)
}

func suites(ids ...ciphersuite.ID) []byte {
	var w wire.Writer
	w.Vector(func() {
		for _, id := range ids {
			w.Uint16(uint16(id))
		}
	})
	return w.Data()
}

func TestRetryFindsTheInitiatorsBestSuiteThatBothHave(t *testing.T) {
	a, b := retrying(t)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	if a.Suite().ID() != suite {
		t.Errorf("suite is %v, want %v", a.Suite(), suite)
	}
	canUpdate(t, a, b)
}

func TestForgedRetryIsFoundOut(t *testing.T) {
	// Somebody answers in the responder's place and names the weakest suite only.
	a, b := retrying(t)
	a.start(t)
	b.deliver(t)
	a.in[0].Body = suites(chaCha)
	settle(t, a, b)
	if !errors.Is(b.err, ErrDowngrade) || AlertOf(b.err) != AlertIllegalParameter {
		t.Errorf("list that was changed: %v", b.err)
	}

	// The responder has never seen the first hello.
	a, b = retrying(t)
	a.start(t)
	b.in = nil
	a.in = append(a.in, packet{Message: Message{Type: MessageHelloRetry, Body: suites(chaCha)}})
	settle(t, a, b)
	if !errors.Is(b.err, ErrDowngrade) {
		t.Errorf("list out of the blue: %v", b.err)
	}
}

// A hello of a suite that is not the best of those that its own leaf lists.
func TestHelloBelowTheBestSuiteIsRefused(t *testing.T) {
	a, b := retrying(t)
	events := must(a.sendClientHelloOf(chaCha))
	a.carryOut(t, events, nil)
	b.deliver(t)
	if !errors.Is(b.err, ErrDowngrade) || AlertOf(b.err) != AlertInsufficientSecurity {
		t.Errorf("error is %v, alert %v", b.err, AlertOf(b.err))
	}
}

func TestRetryGoesRoundOnce(t *testing.T) {
	for name, test := range map[string]struct {
		bodies [][]byte
		want   error
	}{
		"twice":                    {[][]byte{suites(suite), suites(chaCha)}, ErrUnexpectedMessage},
		"the suite that was there": {[][]byte{suites(hybrid)}, ErrProfile},
		"none":                     {[][]byte{suites()}, ErrNoCommonSuite},
		"none that it has":         {[][]byte{suites(7)}, ErrNoCommonSuite},
		"cut short":                {[][]byte{{2, 0}}, wire.ErrTruncated},
	} {
		a, _ := retrying(t)
		a.start(t)
		var err error
		for _, body := range test.bodies {
			_, err = a.Receive(ctx, Message{Type: MessageHelloRetry, Body: body})
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// And so does the responder.
	a, b := retrying(t)
	a.start(t)
	hello := b.in[0].Message
	b.deliver(t)
	if _, err := b.Receive(ctx, hello); !errors.Is(err, ErrNoCommonSuite) || AlertOf(err) != AlertHandshakeFailure {
		t.Errorf("the same hello again: %v", err)
	}
}
