package channel

import (
	"errors"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// sameKey checks that an end has failed because the peer has its key, and tells the peer so.
func sameKey(t *testing.T, p *peer, err error) {
	t.Helper()
	if !errors.Is(err, ErrSameSignatureKey) || !strings.Contains(err.Error(), ErrSameSignatureKey.Error()) {
		t.Errorf("%s: error %v, want %v", p.name, err, ErrSameSignatureKey)
	}
	if alert := AlertOf(err); alert != AlertCertificateUnknown || !errors.Is(alert.Cause(), ErrSameSignatureKey) {
		t.Errorf("%s tells the peer %v", p.name, alert)
	}
}

func TestTwoEndsWithOneSignatureKeyAreTold(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	hb.cfg.Identity.Signer = ha.cfg.Identity.Signer
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	sameKey(t, b, b.err)
	if a.complete+b.complete != 0 || ha.store.Len()+hb.store.Len() != 0 {
		t.Error("a handshake is complete, or stored, between two ends with one key")
	}
	if AlertIllegalParameter.Cause() != nil {
		t.Errorf("%v stands for %v", AlertIllegalParameter, AlertIllegalParameter.Cause())
	}
}

// An end cannot rotate to the peer's key, and one that does not know better ends the session.
func TestNobodyRotatesToThePeersSignatureKey(t *testing.T) {
	a, b := established(t)
	stolen := mls.Identity{Credential: mls.BasicCredential([]byte("alice")), Signer: b.cfg.Identity.Signer}
	if events, err := a.Rotate(ctx, stolen); !errors.Is(err, ErrSameSignatureKey) || events != nil {
		t.Errorf("%d events, error %v, want %v", len(events), err, ErrSameSignatureKey)
	}
	agree(t, a, b)
	canUpdate(t, a, b)

	// Two that rotate to one new key at once: the one that gives way finds that it cannot make up for it.
	next := newHost(t, "both").cfg.Identity
	for _, p := range []*peer{a, b} {
		events, err := p.Rotate(ctx, next)
		p.carryOut(t, events, err)
	}
	settle(t, a, b)
	if !errors.Is(b.err, ErrSameSignatureKey) || a.err != nil {
		t.Errorf("errors %v and %v, want none and %v", a.err, b.err, ErrSameSignatureKey)
	}
}
