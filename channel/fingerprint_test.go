package channel

import (
	"bytes"
	"regexp"
	"testing"
)

func TestBothEndsShowOneFingerprintInAnEpoch(t *testing.T) {
	a, b := established(t)
	seen := map[string]bool{}
	for range 20 {
		f := a.ShortFingerprint()
		if !regexp.MustCompile(`^\d{5}( \d{5}){5}$`).MatchString(f) {
			t.Fatalf("fingerprint is %q", f)
		}
		if f != b.ShortFingerprint() || !bytes.Equal(a.EpochAuthenticator(), b.EpochAuthenticator()) || len(a.EpochAuthenticator()) != 32 {
			t.Error("the ends show different ones")
		}
		if seen[f] {
			t.Errorf("%q comes twice", f)
		}
		seen[f] = true
		a.update(t, ReasonAge)
		settle(t, a, b)
	}
	p, _ := inState(t, StateAwaitingServerHello, 0)
	if p.ShortFingerprint() != "" || p.EpochAuthenticator() != nil {
		t.Error("there is one before the handshake is complete")
	}
}

// Two people who each talk to somebody in the middle see different numbers.
func TestSomebodyInTheMiddleHasTwoFingerprints(t *testing.T) {
	a, _ := handshake(t)
	_, b := handshake(t)
	if a.ShortFingerprint() == b.ShortFingerprint() {
		t.Error("two handshakes have one fingerprint")
	}
}

func TestExportIsBoundToTheRole(t *testing.T) {
	a, b := established(t)
	seen := map[string]bool{}
	for _, from := range []Role{RoleInitiator, RoleResponder} {
		x := must(a.ExportFrom(from, "label", []byte("context"), 32))
		y := must(b.ExportFrom(from, "label", []byte("context"), 32))
		if !bytes.Equal(x, y) || len(x) != 32 || seen[string(x)] {
			t.Errorf("%v: %x and %x", from, x, y)
		}
		seen[string(x)] = true
	}
	if seen[string(must(a.ExportKeyingMaterial("label", []byte("context"), 32)))] {
		t.Error("what is exported for both is that of one role")
	}
	if _, err := a.ExportFrom(0, "label", nil, 32); err == nil {
		t.Error("no role has an export")
	}
}
