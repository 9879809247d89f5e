package mls

import (
	"bytes"
	"fmt"
	"testing"
)

// Where a number may be used is for the application to say: those that the draft assigns to
// other places, those of GREASE and those of nobody work in all of them, and members who do not
// know a component pass it by. draft-ietf-mls-extensions, Sections 5.1 and 7.5.
func TestComponentNumbersWorkInEveryPlace(t *testing.T) {
	// app_components and safe_aad mean something in leaves and GroupContexts.
	numbers := []ComponentID{
		ComponentContentMediaTypes, ComponentLastResort, ComponentAppAck, ComponentAPQInfo, 0x0008, ComponentOuterKeyPackageHash,
		ComponentOuterUpdateHash, 0x0A0A, 0x7A7A, 0x7FFF, 0x8000, 0xFFFF,
	}
	inKeyPackages := append([]ComponentID{ComponentAppComponents, ComponentSafeAAD}, numbers...)
	entries := func(list []ComponentID) Extension {
		var d AppDataDictionary
		for _, id := range list {
			if id != ComponentContentMediaTypes && id != ComponentLastResort { // which this package reads
				d = append(d, ComponentData{ID: id, Data: []byte("any data")})
			}
		}
		return mustExtension(d)
	}
	plain := Extensions{entries(numbers)}
	leaf := LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}, Extensions: plain}
	c := emptyCrowd(t, suite1)
	c.found(GroupOptions{Leaf: leaf, Extensions: Extensions{entries(numbers)}})

	// In a leaf, a key package and the GroupInfo of a Welcome.
	joiner := c.newClient()
	bundle, err := NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: suite1, Identity: joiner.id, Leaf: leaf, Extensions: Extensions{entries(inKeyPackages)}})
	if err != nil {
		t.Fatal(err)
	}
	unverified, err := ParseKeyPackage(bundle.Message())
	if err != nil {
		t.Fatal(err)
	}
	k, err := unverified.Verify(c.members[0].cfg)
	if err != nil {
		t.Fatal(err)
	}
	joiner.bundle = bundle
	c.invited = append(c.invited, joiner)
	c.commit(0, CommitOptions{Proposals: []Proposal{&Add{KeyPackage: k}}, GroupInfoExtensions: Extensions{entries(inKeyPackages)}})
	a, b := c.members[0].g, c.members[1].g
	for what, x := range map[string]Extensions{
		"GroupContext": b.Extensions(), "leaf": b.Leaf(0).Extensions, "own leaf": b.Leaf(1).Extensions, "key package": k.Extensions, "GroupInfo": b.GroupInfoExtensions(),
	} {
		d, err := x.AppDataDictionary()
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := d.Find(0xFFFF); !ok || string(data) != "any data" {
			t.Errorf("%s: the entry of 0xFFFF is %q", what, data)
		}
	}

	// In labels, secrets, pre-shared keys and SafeAADs.
	for _, id := range inKeyPackages {
		name := fmt.Sprintf("%#04x", uint16(id))
		one, err := a.SafeExportSecret(id)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, err := b.SafeExportSecret(id); err != nil || !bytes.Equal(one, other) {
			t.Errorf("%s: exported %x and %x, %v", name, one, other, err)
		}
		signature, err := a.ComponentKeys(id).Sign("label", nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := b.SafeVerify(0, id, "label", nil, signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		kem, sealed, err := a.SafeEncrypt(1, id, "label", nil, []byte("text"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if opened, err := b.ComponentKeys(id).Decrypt("label", nil, kem, sealed); string(opened) != "text" {
			t.Errorf("%s: decrypts to %q, %v", name, opened, err)
		}
		c.componentPSKs[componentPSK{id, name}] = []byte("a key of " + name)
	}
	var psks []Proposal
	for _, id := range inKeyPackages {
		psks = append(psks, c.applicationPSK(id, fmt.Sprintf("%#04x", uint16(id))))
	}
	c.commit(1, CommitOptions{Proposals: psks})

	safe := safeCrowd(t)
	var said SafeAAD
	for _, id := range inKeyPackages {
		said = append(said, SafeAADItem{ID: id, Data: []byte("any data")})
	}
	message := must(safe.members[0].g.Protect([]byte("text"), must(said.Marshal())))
	received, ok := safe.process(1, message).(*ReceivedApplication)
	if !ok {
		t.Fatalf("received %+v", received)
	}
	if items, err := ParseSafeAAD(received.AuthenticatedData); err != nil || len(items) != len(said) {
		t.Errorf("the SafeAAD has %d items, %v, want %d", len(items), err, len(said))
	}
}

// So do AppDataUpdate and AppEphemeral, for a component of the application with any number
// but those of GREASE, media types and AppAcks, which this package reads.
func TestUpdatesAreForComponentsOfAnyNumber(t *testing.T) {
	for _, id := range []ComponentID{0x0004, 0x0006, 0x0008, 0x0009, 0x7FFF, 0x8A8A, 0xFFFF} {
		c := emptyCrowd(t, suite1)
		c.configure = func(cfg *Config) { cfg.Components = []Component{{ID: id, Name: "of the application"}} }
		c.found(GroupOptions{})
		c.add(0, 1)
		c.commit(0, CommitOptions{Proposals: []Proposal{update(id, "any data"), &AppEphemeral{Component: id, Data: []byte("any data")}}})
		c.wantEntry(id, "any data")
		c.commit(1, CommitOptions{Proposals: []Proposal{&AppDataUpdate{Component: id, Remove: true}}})
		c.wantEntry(id, "")
	}
}
