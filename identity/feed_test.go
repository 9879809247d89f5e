package identity

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

func TestAFeedTellsOfEachChange(t *testing.T) {
	ca := newAuthority(t, "root")
	key := newEd25519Key(t)
	leaf := ca.issue(t, key.Public(), "peer")
	var f Feed
	v := mustValidator(t, X509Options{RootsFor: f.RootsFor, Names: AnyName, Revoked: f.Revoked})
	validate := func() error { return v.ValidateLeaf(leafOf(t, key.Public(), leaf), nil) }
	changes := 0
	stop := f.Watch(func() {
		changes++
		f.Watch(func() {})() // may be called from within
	})
	if err := validate(); !errors.Is(err, ErrNoRoots) || len(f.Identities())+len(f.PreviousIdentities()) != 0 {
		t.Errorf("an empty feed: %v", err)
	}
	f.SetTrust(NewTrustBundle(pool(ca), nil))
	if err := validate(); err != nil || changes != 1 {
		t.Errorf("with authorities, %d changes: %v", changes, err)
	}
	revoked, err := LoadRevoked(newPlace(t).write("revoked", []byte("serial "+leaf.SerialNumber.Text(16))))
	if err != nil {
		t.Fatal(err)
	}
	f.SetRevoked(revoked)
	if err := validate(); !errors.Is(err, ErrRevoked) || changes != 2 {
		t.Errorf("revoked, %d changes: %v", changes, err)
	}
	f.SetRevoked(nil)
	if err := validate(); err != nil || changes != 3 {
		t.Errorf("no more, %d changes: %v", changes, err)
	}
	stop()
	f.SetTrust(nil)
	if err := validate(); !errors.Is(err, ErrNoRoots) || changes != 3 {
		t.Errorf("nobody watches, %d changes: %v", changes, err)
	}
}

// What comes back is no identity of before, and what shares a key with one of today is not
// needed.
func TestAFeedRemembersKeysThatAreGone(t *testing.T) {
	names := func(ids []mls.Identity) (s string) {
		for _, id := range ids {
			s += string(id.Credential.Identity) + " "
		}
		return s
	}
	a, b := newBasic(t), newBasic(t)
	a.Credential, b.Credential = mls.BasicCredential([]byte("a")), mls.BasicCredential([]byte("b"))
	renewed := New(a.Signer, "a2")
	var f Feed
	for _, c := range []struct {
		set      mls.Identity
		previous string
	}{{a, ""}, {b, "a "}, {a, "b "}, {renewed, "b "}, {b, "a2 "}} {
		f.SetIdentities(c.set)
		if got := names(f.PreviousIdentities()); got != c.previous {
			t.Errorf("after %s: %q, want %q", c.set.Credential.Identity, got, c.previous)
		}
	}
	ids := f.Identities()
	ids[0] = a
	if names(f.Identities()) != "b " {
		t.Error("a caller's slice reaches the feed")
	}
}
