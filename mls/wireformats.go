package mls

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// The extensions by which a group makes sure that all members can read messages
// of further wire formats, as required_capabilities does for proposals, extensions
// and credentials. draft-ietf-mls-extensions, Section 5.
const (
	ExtensionSupportedWireFormats ExtensionType = 0x0007 // of a leaf
	ExtensionRequiredWireFormats  ExtensionType = 0x0008 // of a GroupContext
)

// WireFormats is a list of wire formats. Those of RFC 9420 are supported by
// everybody, whether or not they are listed.
type WireFormats []WireFormat

// Required returns the GroupContext extension that asks all members to support f.
func (f WireFormats) Required() Extension {
	return Extension{Type: ExtensionRequiredWireFormats, Data: f.Marshal()}
}

// Supported returns the leaf extension that says that its client supports f. A
// client that has [Config.WireFormats] adds it by itself.
func (f WireFormats) Supported() Extension {
	return Extension{Type: ExtensionSupportedWireFormats, Data: f.Marshal()}
}

// Marshal returns the encoded list, the data of both extensions.
func (f WireFormats) Marshal() []byte {
	return wire.Encode(func(w *wire.Writer) { writeUint16s(w, f) })
}

// ParseWireFormats decodes a list of wire formats.
func ParseWireFormats(data []byte) (WireFormats, error) {
	r := wire.NewReader(data)
	list := readUint16s[WireFormat](r)
	if err := r.Finish(); err != nil {
		return nil, invalid(CheckWireFormats, "%w", err)
	}
	return list, nil
}

// SupportedWireFormats returns the wire formats that the leaf lists.
func (l *LeafNode) SupportedWireFormats() (WireFormats, error) {
	return l.Extensions.wireFormats(ExtensionSupportedWireFormats)
}

// RequiredWireFormats returns the wire formats that a GroupContext's extensions
// require.
func (e Extensions) RequiredWireFormats() (WireFormats, error) {
	return e.wireFormats(ExtensionRequiredWireFormats)
}

func (e Extensions) wireFormats(t ExtensionType) (WireFormats, error) {
	data, ok := e.Find(t)
	if !ok {
		return nil, nil
	}
	return ParseWireFormats(data)
}

// isDefault reports whether every client supports f without saying so.
func (f WireFormat) isDefault() bool {
	return f >= WireFormatPublicMessage && f <= WireFormatKeyPackage
}

// withWireFormats returns the table with the two extensions added.
func (k extensionKinds) withWireFormats() extensionKinds {
	check := func(in ExtensionPlace) func(ExtensionPlace, []byte) error {
		return func(place ExtensionPlace, data []byte) error {
			if place != in {
				return nil // where it has no meaning
			}
			_, err := ParseWireFormats(data)
			return err
		}
	}
	all := maps.Clone(k)
	all[ExtensionSupportedWireFormats] = check(InLeafNode)
	all[ExtensionRequiredWireFormats] = check(InGroupContext)
	return all
}

// listWireFormats has a leaf of the client's own say which wire formats it
// supports, unless it does already.
func (c *Config) listWireFormats(leaf *LeafNode) {
	if c.WireFormats == nil {
		return
	}
	if _, ok := leaf.Extensions.Find(ExtensionSupportedWireFormats); !ok {
		leaf.Extensions = leaf.Extensions.with(c.WireFormats.Supported())
	}
	for _, t := range []ExtensionType{ExtensionSupportedWireFormats, ExtensionRequiredWireFormats} {
		if !slices.Contains(leaf.Capabilities.Extensions, t) {
			leaf.Capabilities.Extensions = append(slices.Clip(leaf.Capabilities.Extensions), t)
		}
	}
}

// verifyWireFormats checks that all members support what required_wire_formats
// lists; if there is an earlier tree with the same GroupContext extensions, in
// which they did, all that are new. A client that has no Config.WireFormats does
// not know the extension, and is in no group that has it.
func (c *Config) verifyWireFormats(t *ratchetTree, context Extensions, before *ratchetTree) error {
	if c.WireFormats == nil {
		return nil
	}
	required, err := context.RequiredWireFormats()
	if err != nil || len(required) == 0 {
		return err
	}
	for i, leaf := range t.leaves {
		if !t.isNew(leafPosition(i), before) {
			continue
		}
		if err := leaf.supportsWireFormats(required); err != nil {
			return fmt.Errorf("mls: leaf %d: %w", i, err)
		}
	}
	return nil
}

func (l *LeafNode) supportsWireFormats(required WireFormats) error {
	supported, err := l.SupportedWireFormats()
	if err != nil {
		return err
	}
	for _, f := range required {
		if !f.isDefault() && !slices.Contains(supported, f) {
			return invalid(CheckLeafWireFormats, "wire format %v is required", f)
		}
	}
	return nil
}
