package mls

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const (
	thisComponent  ComponentID = 0x8001
	otherComponent ComponentID = 0x8002
)

// checkComponents has a component of one member sign for and decrypt from another.
func (c *crowd) checkComponents(signer, reader int) {
	c.t.Helper()
	a, b := c.members[signer].g, c.members[reader].g
	signature, err := a.ComponentKeys(thisComponent).Sign("label", []byte("content"))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := b.SafeVerify(a.OwnLeaf(), thisComponent, "label", []byte("content"), signature); err != nil {
		c.t.Errorf("%s verifies: %v", c.members[reader].name, err)
	}
	kem, sealed, err := a.SafeEncrypt(b.OwnLeaf(), thisComponent, "label", []byte("context"), []byte("to a leaf"))
	if err != nil {
		c.t.Fatal(err)
	}
	if opened, err := b.ComponentKeys(thisComponent).Decrypt("label", []byte("context"), kem, sealed); string(opened) != "to a leaf" {
		c.t.Errorf("%s decrypts %q, %v", c.members[reader].name, opened, err)
	}
	if kem, sealed, err = a.SafeEncryptToGroup(thisComponent, "label", []byte("context"), []byte("to the group")); err != nil {
		c.t.Fatal(err)
	}
	if opened, err := b.ComponentKeys(thisComponent).DecryptToGroup("label", []byte("context"), kem, sealed); string(opened) != "to the group" {
		c.t.Errorf("%s decrypts %q, %v", c.members[reader].name, opened, err)
	}
}

func TestComponentsUseTheKeysOfAGroup(t *testing.T) {
	for _, id := range []ciphersuite.ID{suite1, ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256, ciphersuite.MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448} {
		c := newCrowd(t, id, 3)
		c.checkComponents(0, 1)
		c.checkComponents(2, 2)
		c.commit(1, CommitOptions{})
		c.checkComponents(1, 0)
		c.restart()
		c.checkComponents(0, 1)
	}
}

// A signature or ciphertext of a component holds for nothing but that component,
// label, content and context. draft-ietf-mls-extensions, Sections 4.2 and 4.3.
func TestComponentsAreSeparated(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	a, b := c.members[0].g, c.members[1].g
	signature := must(a.ComponentKeys(thisComponent).Sign("label", []byte("content")))
	for name, err := range map[string]error{
		"another component": b.SafeVerify(0, otherComponent, "label", []byte("content"), signature),
		"another label":     b.SafeVerify(0, thisComponent, "label2", []byte("content"), signature),
		"another content":   b.SafeVerify(0, thisComponent, "label", []byte("Content"), signature),
		"another member":    b.SafeVerify(2, thisComponent, "label", []byte("content"), signature),
		"nothing":           b.SafeVerify(0, thisComponent, "label", []byte("content"), nil),
		"of MLS itself":     c.suite.VerifyWithLabel(a.Leaf(0).SignatureKey, "label", []byte("content"), signature),
	} {
		if !errors.Is(err, ciphersuite.ErrSignature) {
			t.Errorf("%s: error %v, want ErrSignature", name, err)
		}
	}
	if err := b.SafeVerify(0, thisComponent, "label", []byte("content"), must(c.suite.SignWithLabel(c.rand, a.signer, "label", []byte("content")))); !errors.Is(err, ciphersuite.ErrSignature) {
		t.Errorf("a signature of MLS itself: error %v, want ErrSignature", err)
	}

	kem, sealed, err := a.SafeEncrypt(1, thisComponent, "label", []byte("context"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	groupKEM, groupSealed, err := a.SafeEncryptToGroup(thisComponent, "label", []byte("context"), []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(sealed)
	changed[0] ^= 1
	own, outsider := b.ComponentKeys(thisComponent), c.members[2].g.ComponentKeys(thisComponent)
	for name, open := range map[string]func() ([]byte, error){
		"another component": func() ([]byte, error) {
			return b.ComponentKeys(otherComponent).Decrypt("label", []byte("context"), kem, sealed)
		},
		"another component, to the group": func() ([]byte, error) {
			return b.ComponentKeys(otherComponent).DecryptToGroup("label", []byte("context"), groupKEM, groupSealed)
		},
		"another label":              func() ([]byte, error) { return own.Decrypt("", []byte("context"), kem, sealed) },
		"another context":            func() ([]byte, error) { return own.Decrypt("label", nil, kem, sealed) },
		"another member":             func() ([]byte, error) { return outsider.Decrypt("label", []byte("context"), kem, sealed) },
		"changed":                    func() ([]byte, error) { return own.Decrypt("label", []byte("context"), kem, changed) },
		"no ciphertext":              func() ([]byte, error) { return own.Decrypt("label", []byte("context"), kem, nil) },
		"no KEM output":              func() ([]byte, error) { return own.Decrypt("label", []byte("context"), nil, sealed) },
		"the leaf's, as the group's": func() ([]byte, error) { return own.DecryptToGroup("label", []byte("context"), kem, sealed) },
		"the group's, as the leaf's": func() ([]byte, error) { return own.Decrypt("label", []byte("context"), groupKEM, groupSealed) },
	} {
		if opened, err := open(); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%s: opened %q, %v, want ErrDecrypt", name, opened, err)
		}
	}
	if own.ID() != thisComponent {
		t.Errorf("ID is %#04x", uint16(own.ID()))
	}
	for name, err := range map[string]error{
		"encrypting": third(a.SafeEncrypt(9, thisComponent, "", nil, nil)),
		"verifying":  a.SafeVerify(9, thisComponent, "", nil, nil),
	} {
		if !errors.Is(err, ErrNoSuchMember) {
			t.Errorf("%s, no member: error %v, want ErrNoSuchMember", name, err)
		}
	}
}

func third[T, U any](_ T, _ U, err error) error { return err }

// The keys live as long as the draft says. draft-ietf-mls-extensions, Section 4.2.
func TestLifetimesOfKeysForComponents(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	a := c.members[0].g
	toLeaf := func() (kem, sealed []byte) {
		kem, sealed, err := a.SafeEncrypt(1, thisComponent, "", nil, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		return kem, sealed
	}
	kem, sealed := toLeaf()
	groupKEM, groupSealed, err := a.SafeEncryptToGroup(thisComponent, "", nil, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	component := c.members[1].g.ComponentKeys(thisComponent)
	c.commit(0, CommitOptions{})
	b := c.members[1].g
	if _, err := b.ComponentKeys(thisComponent).Decrypt("", nil, kem, sealed); err != nil {
		t.Errorf("the leaf is the same, but: %v", err)
	}
	if _, err := b.ComponentKeys(thisComponent).DecryptToGroup("", nil, groupKEM, groupSealed); !errors.Is(err, ErrDecrypt) {
		t.Errorf("external_priv of the last epoch: error %v, want ErrDecrypt", err)
	}
	c.commit(1, CommitOptions{})
	if _, err := c.members[1].g.ComponentKeys(thisComponent).Decrypt("", nil, kem, sealed); !errors.Is(err, ErrDecrypt) {
		t.Errorf("the leaf's former key: error %v, want ErrDecrypt", err)
	}
	for name, err := range map[string]error{
		"signing":                 second(component.Sign("", nil)),
		"decrypting":              second(component.Decrypt("", nil, kem, sealed)),
		"decrypting by the group": second(component.DecryptToGroup("", nil, groupKEM, groupSealed)),
		"encrypting to the group": third(b.SafeEncryptToGroup(thisComponent, "", nil, nil)),
	} {
		if !errors.Is(err, ErrErased) {
			t.Errorf("%s in an epoch that is erased: error %v, want ErrErased", name, err)
		}
	}
}

func TestObserversEncryptAndVerify(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
	o, err := NewObserver(c.newClient().cfg, info, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := c.members[1].g.ComponentKeys(thisComponent)
	kem, sealed, err := o.SafeEncrypt(1, thisComponent, "label", nil, []byte("to a leaf"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := b.Decrypt("label", nil, kem, sealed); string(opened) != "to a leaf" {
		t.Errorf("decrypted %q, %v", opened, err)
	}
	if kem, sealed, err = o.SafeEncryptToGroup(thisComponent, "label", nil, []byte("to the group")); err != nil {
		t.Fatal(err)
	}
	if opened, err := b.DecryptToGroup("label", nil, kem, sealed); string(opened) != "to the group" {
		t.Errorf("decrypted %q, %v", opened, err)
	}
	if err := o.SafeVerify(1, thisComponent, "label", nil, must(b.Sign("label", nil))); err != nil {
		t.Error(err)
	}
	pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	received, err := o.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	// Whoever has no secrets cannot know the next epoch's external_pub.
	wantCheck(t, third(received.(*ObservedCommit).Observer().SafeEncryptToGroup(thisComponent, "", nil, nil)), CheckExternalPub)
	wantCheck(t, third(c.observer(0).SafeEncryptToGroup(thisComponent, "", nil, nil)), CheckExternalPub)
	for _, data := range [][]byte{nil, {1}, {1, 0}, append([]byte{32}, make([]byte, 33)...)} {
		o.external = Extensions{{Type: ExtensionExternalPub, Data: data}}
		wantCheck(t, third(o.SafeEncryptToGroup(thisComponent, "", nil, nil)), CheckExternalPub)
	}
}

func TestComponentsUseInitKeys(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	add := c.invite(LeafOptions{})
	joiner := c.invited[0]
	kem, sealed, err := add.KeyPackage.SafeEncrypt(c.members[0].cfg, thisComponent, "label", []byte("context"), []byte("welcome"))
	if err != nil {
		t.Fatal(err)
	}
	restored, err := RestoreKeyPackage(joiner.cfg, joiner.id.Signer, must(joiner.bundle.Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*KeyPackageBundle{joiner.bundle, restored} {
		if opened, err := b.SafeDecrypt(joiner.cfg, thisComponent, "label", []byte("context"), kem, sealed); string(opened) != "welcome" {
			t.Errorf("decrypted %q, %v", opened, err)
		}
		if _, err := b.SafeDecrypt(joiner.cfg, otherComponent, "label", []byte("context"), kem, sealed); !errors.Is(err, ErrDecrypt) {
			t.Errorf("for another component: error %v, want ErrDecrypt", err)
		}
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{add}})
	if _, err := joiner.bundle.SafeDecrypt(joiner.cfg, thisComponent, "label", []byte("context"), kem, sealed); !errors.Is(err, ErrErased) {
		t.Errorf("after joining: error %v, want ErrErased", err)
	}
	for name, err := range map[string]error{
		"encrypting": third(add.KeyPackage.SafeEncrypt(&Config{}, thisComponent, "", nil, nil)),
		"decrypting": second(restored.SafeDecrypt(&Config{}, thisComponent, "", nil, kem, sealed)),
	} {
		if err == nil {
			t.Errorf("%s with an empty Config: no error", name)
		}
	}
}

func TestComponentsOfAMembership(t *testing.T) {
	f := newFleet(t, 2)
	a, b := f.devices[0], f.devices[1]
	component := a.m.ComponentKeys(thisComponent)
	check := func() {
		t.Helper()
		view := b.view()
		if err := view.SafeVerify(a.view().OwnLeaf(), thisComponent, "label", nil, must(component.Sign("label", nil))); err != nil {
			t.Error(err)
		}
		kem, sealed, err := view.SafeEncrypt(a.view().OwnLeaf(), thisComponent, "label", nil, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := component.Decrypt("label", nil, kem, sealed); string(opened) != "data" {
			t.Errorf("decrypted %q, %v", opened, err)
		}
		if kem, sealed, err = b.m.SafeEncryptToGroup(thisComponent, "label", nil, []byte("data")); err != nil {
			t.Fatal(err)
		}
		if opened, err := component.DecryptToGroup("label", nil, kem, sealed); string(opened) != "data" {
			t.Errorf("decrypted %q, %v", opened, err)
		}
	}
	check()
	f.commit(0, CommitOptions{}) // it goes with the membership
	check()
	a.restart()
	component = a.m.ComponentKeys(thisComponent)
	check()
	a.m.Close()
	if _, err := component.Sign("label", nil); !errors.Is(err, ErrErased) {
		t.Errorf("after Close: error %v, want ErrErased", err)
	}
	if err := third(a.m.SafeEncryptToGroup(thisComponent, "label", nil, nil)); !errors.Is(err, ErrErased) {
		t.Errorf("after Close: error %v, want ErrErased", err)
	}
}
