package mls

import "testing"

// A group that was joined by itself goes on in the store of a client, which after a
// failure can try again.
func TestAClientTakesAGroupOver(t *testing.T) {
	f := newFleet(t, 1)
	d, other := f.devices[0], f.newDevice()
	bundle, err := NewKeyPackage(other.cfg, KeyPackageOptions{Suite: f.suite.ID(), Identity: other.id})
	if err != nil {
		t.Fatal(err)
	}
	out := d.commit(CommitOptions{Proposals: []Proposal{&Add{KeyPackage: bundle.KeyPackage()}}})
	d.accept()
	g, err := Join(other.cfg, out.Welcome, bundle, JoinOptions{RatchetTree: out.RatchetTree})
	if err != nil {
		t.Fatal(err)
	}

	keys := other.keys
	other.keys = nil
	if m, err := other.c.TakeOver(background, g); m != nil || err == nil {
		t.Errorf("taken over without the signature key: %v, %v", m, err)
	}
	other.keys = keys
	other.store.after = 0
	_, err = other.c.TakeOver(background, g)
	other.store.after = -1
	wantError(t, "taking over where the store fails", err, errFault)

	if other.m, err = other.c.TakeOver(background, g); err != nil {
		t.Fatal(err)
	}
	_, err = g.Protect([]byte("x"), nil)
	wantError(t, "using the group afterwards", err, ErrErased)
	_, err = other.c.TakeOver(background, g)
	wantError(t, "taking over an erased group", err, ErrErased)
	f.devices = append(f.devices, other)
	other.restart()
	f.checkAgreement()
	f.checkMessages()

	again, err := RestoreGroup(other.cfg, other.id.Signer, must(other.m.state.group.Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.c.TakeOver(background, again)
	wantError(t, "taking over a group that is there", err, ErrConflict)
	if again.erased {
		t.Error("a group that was not taken over is erased")
	}
}
