package mls

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// dictionary returns a dictionary as an extension.
func (c *crowd) dictionary(entries ...ComponentData) Extension {
	c.t.Helper()
	x, err := AppDataDictionary(entries).Extension()
	if err != nil {
		c.t.Fatal(err)
	}
	return x
}

func TestKeyPackagesOfLastResort(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	for _, grease := range []bool{false, true} {
		joiner := c.newClient()
		joiner.cfg.GREASE = grease
		for name, e := range map[string]struct {
			o      KeyPackageOptions
			marked bool
			others int // components
		}{
			"marked":                      {KeyPackageOptions{LastResort: true}, true, 0},
			"not marked":                  {KeyPackageOptions{}, false, 0},
			"marked beside others":        {KeyPackageOptions{LastResort: true, Extensions: Extensions{c.dictionary(ComponentData{ID: 1}, ComponentData{ID: 0x8001})}}, true, 2},
			"marked before another":       {KeyPackageOptions{LastResort: true, Extensions: Extensions{c.dictionary(ComponentData{ID: 0x8001})}}, true, 1},
			"marked behind another":       {KeyPackageOptions{LastResort: true, Extensions: Extensions{c.dictionary(ComponentData{ID: 1})}}, true, 1},
			"marked twice":                {KeyPackageOptions{LastResort: true, Extensions: Extensions{c.dictionary(ComponentData{ID: ComponentLastResort})}}, true, 0},
			"not marked, has a component": {KeyPackageOptions{Extensions: Extensions{c.dictionary(ComponentData{ID: 3})}}, false, 1},
		} {
			e.o.Suite, e.o.Identity = suite1, joiner.id
			b, err := NewKeyPackage(joiner.cfg, e.o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			unverified, err := ParseKeyPackage(b.Message())
			if err != nil {
				t.Fatal(err)
			}
			k, err := unverified.Verify(c.members[0].cfg)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if marked, err := k.LastResort(); marked != e.marked || err != nil {
				t.Errorf("%s: LastResort is %t, %v", name, marked, err)
			}
			dictionary, err := k.Extensions.AppDataDictionary()
			if err != nil {
				t.Fatal(err)
			}
			want := e.others
			if e.marked {
				want++
			}
			if grease && want > 0 {
				want++
			}
			if len(dictionary) != want {
				t.Errorf("%s, GREASE %t: the dictionary is %v", name, grease, dictionary)
			}
			// Members see the mark in the Add.
			pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{&Add{KeyPackage: k}}})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			received, err := c.members[1].clone(t).Process(pending.Message())
			if err != nil {
				t.Fatal(err)
			}
			seen := received.(*ReceivedCommit).Proposals[0].Proposal.(*Add).KeyPackage
			if marked, err := seen.LastResort(); marked != e.marked || err != nil {
				t.Errorf("%s: a member sees LastResort as %t, %v", name, marked, err)
			}
		}
	}
}

// A Client joins any number of groups by a key package of last resort, and one by
// any other.
func TestClientsKeepKeyPackagesOfLastResort(t *testing.T) {
	f := newFleet(t, 1)
	other := &fleet{crowd: f.crowd}
	other.found(1)
	d := f.newDevice()
	keyPackages := func() (n int) {
		for name := range d.stored() {
			if strings.HasPrefix(name, keyPackageRecords) {
				n++
			}
		}
		return n
	}
	make := func(lastResort bool) (*Add, []byte) {
		message := must(d.c.NewKeyPackage(background, KeyPackageOptions{Suite: suite1, Identity: d.id, LastResort: lastResort}))
		add, err := d.c.ParseAdd(message)
		if err != nil {
			t.Fatal(err)
		}
		return add, message
	}
	last, message := make(true)
	once, _ := make(false)

	first := f.devices[0].commit(CommitOptions{Proposals: []Proposal{last}})
	f.devices[0].accept()
	d.join(first.Welcome, nil)
	if n := keyPackages(); n != 2 {
		t.Errorf("%d key packages are left, want 2", n)
	}
	d.restart()
	if _, err := d.c.Join(background, first.Welcome, nil); !errors.Is(err, ErrConflict) {
		t.Errorf("joining again: error %v, want ErrConflict", err)
	}
	second := other.devices[0].commit(CommitOptions{Proposals: []Proposal{last}})
	other.devices[0].accept()
	d.join(second.Welcome, nil)
	d.reads(other.devices[0].protect("hello"), "hello")
	if n := keyPackages(); n != 2 {
		t.Errorf("%d key packages are left, want 2", n)
	}

	// The other one is used up.
	if err := d.m.Forget(background); err != nil {
		t.Fatal(err)
	}
	other.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 1}}})
	third := other.devices[0].commit(CommitOptions{Proposals: []Proposal{once}})
	other.devices[0].accept()
	d.join(third.Welcome, nil)
	if n := keyPackages(); n != 1 {
		t.Errorf("%d key packages are left, want 1", n)
	}

	// It can be given up, and is when it has expired.
	if err := d.c.EraseKeyPackage(background, message); err != nil || keyPackages() != 0 {
		t.Errorf("erased: %v; %d are left", err, keyPackages())
	}
	if err := d.c.EraseKeyPackage(background, message); !errors.Is(err, ErrNotStored) {
		t.Errorf("erased twice: error %v, want ErrNotStored", err)
	}
	if err := d.c.EraseKeyPackage(background, third.Welcome); err == nil {
		t.Error("a Welcome is erased as a key package")
	}
	_, _ = make(true)
	f.now = f.now.Add(8 * 24 * time.Hour)
	if n, err := d.c.EraseExpiredKeyPackages(background); n != 1 || err != nil || keyPackages() != 0 {
		t.Errorf("%d expired, %v; %d are left", n, err, keyPackages())
	}
}

func lastResortRefusals() []refusal {
	return []refusal{
		{CheckLastResort, "mark with data", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			x := c.dictionary(ComponentData{ID: ComponentLastResort, Data: []byte{1}})
			add := c.spoiltAdd(LeafOptions{}, func(k *KeyPackage) { k.Extensions = Extensions{x} })
			if err := add.KeyPackage.verify(c.suite, c.members[0].g.cfg); err != nil {
				t.Errorf("the key package itself is refused: %v", err)
			}
			return second(add.KeyPackage.LastResort())
		}},
		{CheckLastResort, "mark of one's own with data", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			m := c.newClient()
			x := c.dictionary(ComponentData{ID: ComponentLastResort, Data: []byte{1}})
			return second(NewKeyPackage(m.cfg, KeyPackageOptions{Suite: suite1, Identity: m.id, Extensions: Extensions{x}}))
		}},
		{CheckAppDataDictionary, "of a key package of last resort", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			m := c.newClient()
			x := Extension{Type: ExtensionAppDataDictionary, Data: []byte{1}}
			return second(NewKeyPackage(m.cfg, KeyPackageOptions{Suite: suite1, Identity: m.id, Extensions: Extensions{x}, LastResort: true}))
		}},
		{CheckAppDataDictionary, "asked about the mark", func(*testing.T) error {
			k := &KeyPackage{Extensions: Extensions{{Type: ExtensionAppDataDictionary, Data: []byte{3, 0, 4}}}}
			return second(k.LastResort())
		}},
	}
}

// Dictionaries and lists of components get GREASE where the draft allows it, and
// nobody minds. draft-ietf-mls-extensions, Section 5.1.
func TestComponentsAreGreased(t *testing.T) {
	seen := make(map[ComponentID]bool)
	for b := range 256 {
		seen[greaseComponent(byte(b))] = true
	}
	var grease []ComponentID
	for id := range seen {
		grease = append(grease, id)
	}
	slices.Sort(grease)
	if want := []ComponentID{0x0A0A, 0x1A1A, 0x2A2A, 0x3A3A, 0x4A4A, 0x5A5A, 0x6A6A, 0x7A7A}; !slices.Equal(grease, want) {
		t.Errorf("GREASE values are %#04x, want %#04x", grease, want)
	}

	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.GREASE = true }
	x := c.dictionary(
		ComponentData{ID: ComponentAppComponents, Data: ComponentsList{0x8001}.Marshal()},
		ComponentData{ID: ComponentSafeAAD, Data: ComponentsList{}.Marshal()}, ComponentData{ID: 0x8001},
	)
	leaf := LeafOptions{Extensions: Extensions{x}}
	c.found(GroupOptions{Leaf: leaf, Extensions: Extensions{x}})
	empty := must(SafeAAD{}.Marshal())
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(leaf), c.invite(leaf)}, AuthenticatedData: empty})
	dictionaryOf := func(e Extensions, entries int) AppDataDictionary {
		t.Helper()
		d, err := e.AppDataDictionary()
		if err != nil || len(d) != entries {
			t.Fatalf("dictionary %v, %v, want %d entries", d, err, entries)
		}
		return d
	}
	for _, m := range c.members[0].g.Members() {
		d := dictionaryOf(m.Leaf.Extensions, 4)
		for i, n := range map[int]int{0: 2, 1: 1} { // entries of the lists
			at := slices.IndexFunc(d, func(e ComponentData) bool { return e.ID == ComponentID(i+1) })
			list, err := ParseComponentsList(d[at].Data)
			if err != nil || len(list) != n || !seen[list[n-1]] {
				t.Errorf("leaf %d: component %d lists %v, %v", m.Index, i+1, list, err)
			}
		}
	}
	dictionaryOf(c.members[0].g.Extensions(), 3) // not allowed in a GroupContext
	info, err := c.members[0].g.signGroupInfo(GroupInfoOptions{Extensions: Extensions{x}})
	if err != nil {
		t.Fatal(err)
	}
	dictionaryOf(info.extensions, 4)
	plain, err := c.members[0].g.signGroupInfo(GroupInfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dictionaryOf(plain.extensions, 0)

	m := c.newClient()
	for name, spoil := range map[string]func(){
		"a bad dictionary": func() { x.Data = []byte{1} },
		"a bad list":       func() { x = c.dictionary(ComponentData{ID: ComponentSafeAAD, Data: []byte{1}}) },
	} {
		spoil()
		if _, err := NewGroup(m.cfg, GroupOptions{Suite: suite1, Identity: m.id, Leaf: LeafOptions{Extensions: Extensions{x}}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d := Extensions{c.dictionary()}
	if err := (&Config{GREASE: true, Rand: &shortReader{}}).greaseDictionary(d, true); err == nil {
		t.Error("no randomness: no error")
	}
}
