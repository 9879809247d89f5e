package mls

import (
	"bytes"
	"slices"
	"testing"
)

// requiring returns a dictionary whose lists name the given components.
func requiring(components, safeAAD ComponentsList) Extension {
	return mustExtension(AppDataDictionary{
		{ComponentAppComponents, components.Marshal()}, {ComponentSafeAAD, safeAAD.Marshal()},
	})
}

// demandingCrowd is a group whose GroupContext requires a component, and another
// one in SafeAADs.
func demandingCrowd(t failer, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) {
		componentConfig(cfg)
		cfg.Components[1].SafeAAD = true
	}
	c.found(GroupOptions{Extensions: Extensions{requiring(ComponentsList{notesComponent}, ComponentsList{plainComponent})}})
	var proposals []Proposal
	for range n - 1 {
		proposals = append(proposals, c.invite(LeafOptions{}))
	}
	if n > 1 {
		c.commit(0, CommitOptions{Proposals: proposals, AuthenticatedData: []byte{0}, OmitPath: true})
	}
	return c
}

func componentSupportRefusals() []refusal {
	var list []refusal
	// lacking is what the dictionary of a leaf may say that falls short.
	lacking := []struct {
		check Check
		name  string
		x     Extensions
	}{
		{CheckComponentsSupport, "another one", Extensions{requiring(ComponentsList{plainComponent}, ComponentsList{plainComponent})}},
		{CheckComponentsSupport, "no list", Extensions{mustExtension(AppDataDictionary{{ComponentSafeAAD, ComponentsList{plainComponent}.Marshal()}})}},
		{CheckComponentsSupport, "no dictionary", nil},
		{CheckSafeAADSupport, "another one", Extensions{requiring(ComponentsList{notesComponent}, ComponentsList{notesComponent})}},
		{CheckSafeAADSupport, "no list", Extensions{mustExtension(AppDataDictionary{{ComponentAppComponents, ComponentsList{notesComponent}.Marshal()}})}},
	}
	for _, l := range lacking {
		spoil := func(leaf *LeafNode, _ *Identity) {
			leaf.Capabilities.Extensions = []ExtensionType{ExtensionAppDataDictionary}
			leaf.Extensions = l.x
		}
		at := func(venue string, try func(c *crowd) error) {
			list = append(list, refusal{l.check, l.name + " by " + venue, func(t *testing.T) error { return try(demandingCrowd(t, 3)) }})
		}
		at("join", func(c *crowd) error {
			c.t.Helper()
			return c.refusedWelcome(LeafOptions{}, CommitOptions{OmitPath: true, AuthenticatedData: []byte{0}}, func(f *forgedWelcome) {
				f.changeLeaf(1, func(leaf *LeafNode) { spoil(leaf, nil) })
				f.signLeaf(1)
			}, nil)
		})
		for _, venue := range []string{"add", "update", "commit"} {
			at(venue, func(c *crowd) error {
				c.aad = []byte{0}
				return leafVenues[venue](c, spoil, func(*LeafNode) {})
			})
		}
		at("a joiner's own", func(c *crowd) error {
			c.configure = nil
			joiner := c.newClient()
			o := ExternalJoinOptions{Identity: joiner.id, AuthenticatedData: []byte{0}, Leaf: LeafOptions{
				Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}, Extensions: l.x,
			}}
			_, err := JoinExternal(joiner.cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{})), o)
			return err
		})
	}
	raised := func(check Check, name string, components, safeAAD ComponentsList) {
		list = append(list, refusal{check, "raised by " + name, func(t *testing.T) error {
			return componentCrowd(t, 2).refusedProposals(update(ComponentAppComponents, string(components.Marshal())), update(ComponentSafeAAD, string(safeAAD.Marshal())))
		}}, refusal{check, "raised by GroupContextExtensions, " + name, func(t *testing.T) error {
			return componentCrowd(t, 2).refusedProposals(&GroupContextExtensions{Extensions{requiring(components, safeAAD)}})
		}}, refusal{check, "in a new group, " + name, func(t *testing.T) error {
			founder := componentCrowd(t, 1).newClient()
			_, err := NewGroup(founder.cfg, GroupOptions{Suite: suite1, Identity: founder.id, Extensions: Extensions{requiring(components, safeAAD)}})
			return err
		}})
	}
	raised(CheckComponentsSupport, "an unknown component", ComponentsList{notesComponent, 0x8013}, nil)
	raised(CheckSafeAADSupport, "a component that does not speak", ComponentsList{notesComponent}, ComponentsList{notesComponent})
	return list
}

func TestMembersWhoCoverTheRequirementsAreAccepted(t *testing.T) {
	c := demandingCrowd(t, 3)
	data := []byte{0}
	// A leaf may say more, and 0x0001 and 0x0002 come with the dictionary.
	more := Extensions{requiring(ComponentsList{0x8013, notesComponent}, ComponentsList{0x8013, plainComponent})}
	c.commit(1, CommitOptions{AuthenticatedData: data, Leaf: LeafChanges{Extensions: &more}})
	c.commit(2, CommitOptions{AuthenticatedData: data, Proposals: []Proposal{
		c.invite(LeafOptions{}),
		update(ComponentAppComponents, string(ComponentsList{ComponentAppComponents, ComponentSafeAAD, plainComponent, notesComponent}.Marshal())),
	}})
	c.joinExternal(0, c.newClient(), ExternalJoinOptions{AuthenticatedData: data})
	// What nobody requires any more need not be supported.
	c.commit(0, CommitOptions{AuthenticatedData: data, Proposals: []Proposal{
		&AppDataUpdate{Component: ComponentAppComponents, Remove: true}, &AppDataUpdate{Component: ComponentSafeAAD, Remove: true},
	}})
	c.configure = nil
	leaf := LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}}
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(leaf)}})
	c.checkMessages()
}

// leafEntry returns the entry of a component in a leaf.
func leafEntry(t failer, leaf *LeafNode, id ComponentID) (data []byte, ok bool) {
	t.Helper()
	d, err := leaf.Extensions.AppDataDictionary()
	if err != nil {
		t.Fatal(err)
	}
	return d.Find(id)
}

func TestLeavesAdvertiseTheirComponents(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) {
		componentConfig(cfg)
		cfg.Components[0].SafeAAD = true
		cfg.Components[1].Leaf = []byte("in the leaf")
	}
	own := mustExtension(AppDataDictionary{{ComponentAppComponents, ComponentsList{0x8015, plainComponent}.Marshal()}, {0x8016, []byte("own")}})
	for _, test := range []struct {
		name                string
		x                   Extensions
		components, safeAAD ComponentsList
	}{
		{"by default", nil, ComponentsList{notesComponent, plainComponent}, ComponentsList{notesComponent}},
		{"beside others", Extensions{{ExtensionApplicationID, []byte("x")}, own}, ComponentsList{0x8015, plainComponent, notesComponent}, ComponentsList{notesComponent}},
	} {
		leaf := &c.invite(LeafOptions{Extensions: test.x}).KeyPackage.LeafNode
		components, _ := leafEntry(t, leaf, ComponentAppComponents)
		safeAAD, _ := leafEntry(t, leaf, ComponentSafeAAD)
		entry, _ := leafEntry(t, leaf, plainComponent)
		if !bytes.Equal(components, test.components.Marshal()) || !bytes.Equal(safeAAD, test.safeAAD.Marshal()) || string(entry) != "in the leaf" {
			t.Errorf("%s: components %x, in SafeAADs %x, entry %q", test.name, components, safeAAD, entry)
		}
		if len(leaf.Extensions) != max(1, len(test.x)) {
			t.Errorf("%s: extensions are %v", test.name, leaf.Extensions)
		}
		if other, _ := leafEntry(t, leaf, 0x8016); test.x != nil && string(other) != "own" {
			t.Errorf("%s: the caller's own entry is %q", test.name, other)
		}
	}
	c.invited = nil
	given := mustExtension(AppDataDictionary{{plainComponent, []byte("given")}})
	leaf := &c.invite(LeafOptions{Extensions: Extensions{given}}).KeyPackage.LeafNode
	if entry, _ := leafEntry(t, leaf, plainComponent); string(entry) != "given" {
		t.Errorf("the entry is %q, want the one that was given", entry)
	}
	without := &c.invite(LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{}}}).KeyPackage.LeafNode
	if len(without.Extensions) != 0 {
		t.Errorf("a leaf that may hold no dictionary has %v", without.Extensions)
	}
}

// Whoever advertises app_data_dictionary has app_components in the leaf, if only
// an empty list, also when the leaf changes.
func TestEveryLeafWithADictionaryHasAppComponents(t *testing.T) {
	c := emptyCrowd(t, suite1)
	leaf := LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}}
	c.found(GroupOptions{Leaf: leaf})
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(leaf), c.invite(LeafOptions{})}})
	c.joinExternal(0, c.newClient(), ExternalJoinOptions{Leaf: leaf})
	c.commit(0, CommitOptions{Leaf: LeafChanges{Extensions: &Extensions{}}})
	capabilities := leaf.Capabilities.withDefaults(c.members[2].g.cfg, c.members[2].g.Leaf(2), nil)
	c.proposeUpdate(2, LeafChanges{Capabilities: &capabilities})
	c.commit(1, CommitOptions{})
	for _, m := range c.members[0].g.Members() {
		if data, ok := leafEntry(t, m.Leaf, ComponentAppComponents); !ok || !bytes.Equal(data, []byte{0}) {
			t.Errorf("leaf %d has app_components %x (%v)", m.Index, data, ok)
		}
	}
}

func TestDictionariesHoldGrease(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) {
		componentConfig(cfg)
		cfg.GREASE = true
		cfg.Components[1].SafeAAD = true
	}
	context := Extensions{requiring(ComponentsList{notesComponent}, ComponentsList{plainComponent})}
	c.found(GroupOptions{Extensions: context})
	seen := make(map[ComponentID]bool)
	grease := func(what string, list ComponentsList) {
		t.Helper()
		found := slices.IndexFunc(list, func(id ComponentID) bool { return id < 0x8000 && isGrease(id) })
		if found < 0 {
			t.Errorf("%s: no GREASE in %v", what, list)
			return
		}
		seen[list[found]] = true
	}
	entries := func(what string, x Extensions) {
		t.Helper()
		d, err := x.AppDataDictionary()
		if err != nil {
			t.Fatal(err)
		}
		var ids ComponentsList
		for _, c := range d {
			ids = append(ids, c.ID)
		}
		grease(what, ids)
	}
	for range 20 {
		joiner := c.newClient()
		bundle, err := NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: suite1, Identity: joiner.id, Extensions: Extensions{mustExtension(nil)}})
		if err != nil {
			t.Fatal(err)
		}
		k := bundle.KeyPackage()
		entries("key package", k.Extensions)
		entries("leaf", k.LeafNode.Extensions)
		for _, id := range []ComponentID{ComponentAppComponents, ComponentSafeAAD} {
			data, _ := leafEntry(t, &k.LeafNode, id)
			list, err := ParseComponentsList(data)
			if err != nil {
				t.Fatal(err)
			}
			grease("list", list)
		}
		info, err := c.members[0].g.signGroupInfo(GroupInfoOptions{Extensions: Extensions{mustExtension(nil)}})
		if err != nil {
			t.Fatal(err)
		}
		entries("GroupInfo", info.extensions)
	}
	if len(seen) != 8 {
		t.Errorf("only the values %v are used, of 8", seen)
	}
	if x := c.members[0].g.Extensions(); len(x) != 1 || !bytes.Equal(x[0].Data, context[0].Data) {
		t.Error("the GroupContext has GREASE")
	}
	if err := (&Config{Components: []Component{{ID: 0x7A7A}}}).verifyComponentIDs(); err == nil {
		t.Error("a component has a number of GREASE")
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}, AuthenticatedData: []byte{0}})
	c.joinExternal(0, c.newClient(), ExternalJoinOptions{AuthenticatedData: []byte{0}})
}

// Without a dictionary there is no place for GREASE of components.
func TestGreaseNeedsADictionary(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.GREASE = true }
	k := c.invite(LeafOptions{}).KeyPackage
	for _, x := range slices.Concat(k.Extensions, k.LeafNode.Extensions) {
		if x.Type == ExtensionAppDataDictionary {
			t.Error("there is a dictionary")
		}
	}
	leaf := LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}}
	if data, ok := leafEntry(t, &c.invite(leaf).KeyPackage.LeafNode, ComponentSafeAAD); ok {
		t.Errorf("a client without components has safe_aad %x", data)
	}
}

// What others list costs no more than its length, even if both lists are long.
func TestLongListsAreComparedInNoTime(t *testing.T) {
	const n = 1 << 18
	required, supported := make(ComponentsList, n), make(ComponentsList, n)
	for i := range n {
		required[i], supported[i] = 0x8001, 0x8002
	}
	supported[n-1] = 0x8001
	if err := required.coveredBy(supported); err != nil {
		t.Error(err)
	}
	x := requiring(required, nil)
	if r, err := componentsRequired(Extensions{x}); err != nil || len(r.components) != 1 {
		t.Errorf("%d components are required, %v", len(r.components), err)
	}
	types, receivable := make(MediaTypeList, n), make(MediaTypeList, n)
	for i := range n {
		types[i], receivable[i] = png, jsonType
	}
	receivable[n-1] = png
	if err := types.coveredBy(receivable); err != nil {
		t.Error(err)
	}
	if r, err := componentsRequired(Extensions{mediaExtension(png, jsonType, png)}); err != nil || len(r.mediaTypes) != 2 {
		t.Errorf("the media types %v are required, %v", r.mediaTypes, err)
	}
}
