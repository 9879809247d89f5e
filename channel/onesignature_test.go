package channel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// helloFormat returns the wire format of the ClientHello that is on the way to p.
func (p *peer) helloFormat(t tb) mls.WireFormat {
	t.Helper()
	if len(p.in) != 1 || p.in[0].Type != MessageClientHello {
		t.Fatalf("%d messages are on the way, want a ClientHello", len(p.in))
	}
	return mls.WireFormat(binary.BigEndian.Uint16(p.in[0].Body[2:]))
}

// With the option at both ends, the hello has one signature less, and everything
// afterwards goes on as ever.
func TestHelloWithOneSignature(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.OneSignature, hb.cfg.OneSignature = true, true
	a, b := initiate(t, ha, hb)
	a.start(t)
	if got := b.helloFormat(t); got != mls.WireFormatOneSignatureKeyPackage {
		t.Errorf("the hello is a %v", got)
	}
	settle(t, a, b)
	agree(t, a, b)
	canUpdate(t, a, b)
	for _, way := range []string{"initiator resumes", "responder resumes", "both resume"} {
		cut(a, b)
		a, b = recoverFrom(t, way, ha, hb)
		canUpdate(t, a, b)
	}
	// The option is of the hello: sessions go on without it.
	cut(a, b)
	ha.cfg.OneSignature, hb.cfg.OneSignature = false, false
	a, b = recoverFrom(t, "initiator resumes", ha, hb)
	canUpdate(t, a, b)
}

func TestWhoTakesWhichHello(t *testing.T) {
	for _, initiator := range []bool{false, true} {
		for _, responder := range []bool{false, true} {
			t.Run(fmt.Sprintf("initiator %t, responder %t", initiator, responder), func(t *testing.T) {
				ha, hb := newHost(t, "alice"), newHost(t, "bob")
				ha.cfg.OneSignature, hb.cfg.OneSignature = initiator, responder
				a, b := initiate(t, ha, hb)
				a.start(t)
				settle(t, a, b)
				if initiator && !responder {
					if !errors.Is(b.err, mls.ErrUnsupported) || AlertOf(b.err) != AlertHandshakeFailure {
						t.Errorf("error is %v, alert %v", b.err, AlertOf(b.err))
					}
					return
				}
				agree(t, a, b)
				canUpdate(t, a, b)
			})
		}
	}
}

// The second hello is of the same kind, and found out if somebody has meddled.
func TestRetryWithOneSignature(t *testing.T) {
	a, b := retrying(t)
	a.host.cfg.OneSignature, b.host.cfg.OneSignature = true, true
	a, b = initiate(t, a.host, b.host)
	a.start(t)
	b.deliver(t)
	a.deliver(t)
	if got := b.helloFormat(t); got != mls.WireFormatOneSignatureKeyPackage {
		t.Errorf("the second hello is a %v", got)
	}
	settle(t, a, b)
	agree(t, a, b)
	if a.Suite().ID() != suite {
		t.Errorf("suite is %v, want %v", a.Suite(), suite)
	}

	a, b = initiate(t, a.host, b.host)
	a.start(t)
	b.deliver(t)
	a.in[0].Body = suites(chaCha)
	settle(t, a, b)
	if !errors.Is(b.err, ErrDowngrade) {
		t.Errorf("list that was changed: %v", b.err)
	}
}

// No octet of such a hello can be changed.
func TestDamagedHelloWithOneSignatureIsRefused(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.OneSignature, hb.cfg.OneSignature = true, true
	a, b := initiate(t, ha, hb)
	a.start(t)
	hello := b.in[0].Body
	for at := range hello {
		_, b := initiate(t, ha, hb)
		damaged := slices.Clone(hello)
		damaged[at] ^= 1
		b.in = []packet{{Message: Message{Type: MessageClientHello, Body: damaged}}}
		b.deliver(t)
		for _, m := range b.other.in {
			if m.Type == MessageServerHello {
				t.Errorf("octet %d was changed, and the hello answered", at)
			}
		}
	}
}

// The sizes of hellos. What the leaf says in addition costs less than a signature
// in each suite, and nearly nothing beside one of ML-DSA.
func TestSizeOfHelloWithOneSignature(t *testing.T) {
	for _, want := range []struct {
		suite    ciphersuite.ID
		two, one int
	}{
		{suite, 325, 302},
		{hybrid, 2695, 2672},
		{ciphersuite.MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44, 8688, 6325},
		{ciphersuite.MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65, 11042, 7790},
		{ciphersuite.MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87, 15086, 10516},
	} {
		size := func(one bool) int {
			ha, hb := newHost(t, "alice"), newHost(t, "bob")
			s := must(ciphersuite.Default().Lookup(want.suite))
			for _, h := range []*host{ha, hb} {
				h.cfg.OneSignature, h.cfg.Suites = one, []ciphersuite.ID{want.suite}
				h.cfg.Identity.Signer = must(s.GenerateSigner(rand.Reader))
			}
			a, b := initiate(t, ha, hb)
			a.start(t)
			n := len(b.in[0].Body)
			settle(t, a, b)
			agree(t, a, b)
			return n
		}
		if two, one := size(false), size(true); two != want.two || one != want.one {
			t.Errorf("%v: hellos of %d and %d octets, want %d and %d", want.suite, two, one, want.two, want.one)
		}
	}
}
