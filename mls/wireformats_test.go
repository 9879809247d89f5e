package mls

import (
	"slices"
	"testing"
)

// furtherFormat is a wire format that only some clients know.
const furtherFormat WireFormat = 0xF0F0

var formatsFurther = WireFormats{furtherFormat}

// formatCrowd is a group of n members that requires furtherFormat.
func formatCrowd(t failer, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.WireFormats = formatsFurther }
	c.found(GroupOptions{Extensions: Extensions{formatsFurther.Required()}})
	var adds []Proposal
	for range n - 1 {
		adds = append(adds, c.invite(LeafOptions{}))
	}
	c.commit(0, CommitOptions{Proposals: adds, OmitPath: true})
	return c
}

func TestWireFormatsAreNegotiated(t *testing.T) {
	c := formatCrowd(t, 3)
	for i, m := range c.members {
		leaf := m.g.Leaf(m.g.OwnLeaf())
		if listed, err := leaf.SupportedWireFormats(); err != nil || !slices.Equal(listed, formatsFurther) {
			t.Errorf("member %d lists %v, %v", i, listed, err)
		}
		if required, err := m.g.Extensions().RequiredWireFormats(); err != nil || !slices.Equal(required, formatsFurther) {
			t.Errorf("member %d: required are %v, %v", i, required, err)
		}
	}
	c.proposeUpdate(2, LeafChanges{})
	c.commit(0, CommitOptions{})
	c.joinExternal(1, c.newClient(), ExternalJoinOptions{})
	c.restart()
	c.commit(1, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}})
	c.checkMessages()

	// What nobody needs to list can be required of anybody.
	all := WireFormats{WireFormatPublicMessage, WireFormatPrivateMessage, WireFormatWelcome, WireFormatGroupInfo, WireFormatKeyPackage}
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{all.Required()}}}})
	c.configure = func(cfg *Config) { cfg.WireFormats = WireFormats{} }
	c.add(1, 1)
	// The requirement can be given up.
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{}}})
	c.configure = nil
	c.add(0, 1)
	c.checkMessages()
}

// Those who do not negotiate wire formats ignore what others say of them, whatever
// it is.
func TestWireFormatsAreOptional(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	odd := Extension{Type: ExtensionSupportedWireFormats, Data: []byte{1}}
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Extensions: Extensions{odd}})}})
	c.checkMessages()
	if leaf := c.members[0].g.Leaf(0); len(leaf.Extensions) != 0 || len(leaf.Capabilities.Extensions) != 0 {
		t.Errorf("a leaf has %v, %v", leaf.Extensions, leaf.Capabilities.Extensions)
	}
	if formats, err := (Extensions{}).RequiredWireFormats(); formats != nil || err != nil {
		t.Errorf("required by no extension: %v, %v", formats, err)
	}
	cfg := c.newClient().cfg
	cfg.WireFormats = formatsFurther
	cfg.Extensions = []CustomExtensionType{{Type: ExtensionRequiredWireFormats}}
	if _, err := cfg.WithDefaults(); err == nil {
		t.Error("an extension of the application takes the place of required_wire_formats")
	}
}

// A leaf that says itself what it supports is left as it is, but for the
// capabilities that go with it.
func TestALeafCanListItsWireFormatsItself(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.WireFormats = formatsFurther }
	mine := WireFormats{furtherFormat, 0xF0F1}
	c.found(GroupOptions{Leaf: LeafOptions{
		Extensions: Extensions{mine.Supported()}, Capabilities: Capabilities{Extensions: []ExtensionType{0x8001}},
	}})
	leaf := c.members[0].g.Leaf(0)
	if listed, err := leaf.SupportedWireFormats(); err != nil || !slices.Equal(listed, mine) {
		t.Errorf("lists %v, %v", listed, err)
	}
	if want := []ExtensionType{0x8001, 7, 8}; !slices.Equal(leaf.Capabilities.Extensions, want) {
		t.Errorf("capabilities %v, want %v", leaf.Capabilities.Extensions, want)
	}
}

func TestObserversCheckWireFormats(t *testing.T) {
	c := formatCrowd(t, 2)
	o := c.observer(0)
	none := Extensions{WireFormats{}.Supported()}
	message := c.forgePath(CommitOptions{Leaf: LeafChanges{Extensions: &none}}, nil, nil)
	_, err := o.Process(message)
	wantCheck(t, err, CheckLeafWireFormats)
}

func wireFormatRefusals() []refusal {
	var list []refusal
	// Each way by which a leaf comes into a group.
	bad := func(check Check, name string, extensions Extensions) {
		list = append(list,
			refusal{check, name + " by add", func(t *testing.T) error {
				c := formatCrowd(t, 2)
				return c.refusedProposals(c.spoiltAdd(LeafOptions{}, func(k *KeyPackage) { k.LeafNode.Extensions = extensions }))
			}},
			refusal{check, name + " by commit", func(t *testing.T) error {
				c := formatCrowd(t, 2)
				_, own := c.members[0].g.Commit(CommitOptions{Leaf: LeafChanges{Extensions: &extensions}})
				err := c.refused(c.forgePath(CommitOptions{Leaf: LeafChanges{Extensions: &extensions}}, nil, nil))
				c.sameRule(own, err)
				return err
			}},
			refusal{check, name + " by update", func(t *testing.T) error {
				c := formatCrowd(t, 3)
				return leafVenues["update"](c, func(l *LeafNode, _ *Identity) { l.Extensions = extensions }, func(*LeafNode) {})
			}},
			refusal{check, name + " by joining", func(t *testing.T) error {
				c := formatCrowd(t, 2)
				return c.refusedWelcome(LeafOptions{}, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
					f.changeLeaf(1, func(l *LeafNode) { l.Extensions = extensions })
					f.signLeaf(1)
				}, nil)
			}},
		)
	}
	bad(CheckLeafWireFormats, "others", Extensions{WireFormats{0xF0F1, 0x0A0A}.Supported()})
	bad(CheckLeafWireFormats, "none", Extensions{WireFormats{}.Supported()})
	bad(CheckLeafWireFormats, "not listed", nil)
	bad(CheckWireFormats, "cut short", Extensions{{Type: ExtensionSupportedWireFormats, Data: []byte{2, 0xF0}}})
	bad(CheckWireFormats, "odd length", Extensions{{Type: ExtensionSupportedWireFormats, Data: []byte{1, 0xF0}}})
	bad(CheckWireFormats, "trailing octet", Extensions{{Type: ExtensionSupportedWireFormats, Data: []byte{0, 0}}})
	bad(CheckWireFormats, "empty", Extensions{{Type: ExtensionSupportedWireFormats}})

	context := func(check Check, name string, x Extension) {
		list = append(list, refusal{check, name, func(t *testing.T) error {
			c := formatCrowd(t, 3)
			p := &GroupContextExtensions{Extensions{x}}
			_, own := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{p}})
			err := c.refused(c.forgeCommit(byValue(p)...))
			c.sameRule(own, err)
			return err
		}})
	}
	context(CheckLeafWireFormats, "a new requirement", WireFormats{furtherFormat, 0xF0F1}.Required())
	context(CheckWireFormats, "a requirement cut short", Extension{Type: ExtensionRequiredWireFormats, Data: []byte{2, 0xF0}})
	return append(list,
		refusal{CheckWireFormats, "where nothing is required", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			c.configure = func(cfg *Config) { cfg.WireFormats = formatsFurther }
			c.found(GroupOptions{})
			c.add(0, 1)
			return c.refusedProposals(c.spoiltAdd(LeafOptions{}, func(k *KeyPackage) {
				k.LeafNode.Extensions = Extensions{{Type: ExtensionSupportedWireFormats, Data: []byte{1, 0}}}
			}))
		}},
		refusal{CheckLeafWireFormats, "of one's own group", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			m := c.newClient()
			m.cfg.WireFormats = WireFormats{}
			return second(NewGroup(m.cfg, GroupOptions{Suite: suite1, Identity: m.id, Extensions: Extensions{formatsFurther.Required()}}))
		}},
		refusal{CheckLeafWireFormats, "by an external commit", func(t *testing.T) error {
			c := formatCrowd(t, 2)
			joiner := c.newClient()
			joiner.cfg.WireFormats = WireFormats{}
			info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
			return second(JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id}))
		}},
		refusal{CheckLeafWireFormats, "of all who are there, by an observer", func(t *testing.T) error {
			c := formatCrowd(t, 2)
			none := Extensions{WireFormats{}.Supported()}
			return second(c.observer(0).Process(c.forgePath(CommitOptions{Leaf: LeafChanges{Extensions: &none}}, nil, nil)))
		}},
		refusal{CheckContextExtensionSupport, "required_wire_formats without WireFormats", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			return c.refusedProposals(&GroupContextExtensions{Extensions{formatsFurther.Required()}})
		}},
	)
}

// What decodes encodes to the same octets.
func FuzzParseWireFormats(f *testing.F) {
	f.Add(WireFormats{}.Marshal())
	f.Add(WireFormats{1, furtherFormat}.Marshal())
	f.Add([]byte{1, 0})
	f.Add([]byte{0x40, 0x02, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ParseWireFormats(data)
		if err != nil {
			return
		}
		wantEqual(t, "encoded list", list.Marshal(), data)
	})
}
