package mls

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// The Safe Application Interface of draft-ietf-mls-extensions, as far as the
// core has to know of it: components keep data of their own in an
// AppDataDictionary and speak in authenticated_data through a SafeAAD.

// ComponentID names a component of an application. Values from 0x8000 are for
// private use. draft-ietf-mls-extensions, Section 4.1.
type ComponentID uint16

// Components that draft-ietf-mls-extensions defines.
const (
	// ComponentAppComponents holds the [ComponentsList] of the components that
	// a leaf supports, or a GroupContext requires.
	ComponentAppComponents ComponentID = 0x0001
	// ComponentSafeAAD holds the [ComponentsList] of the components that may
	// appear in a SafeAAD. In a GroupContext it switches SafeAAD framing on.
	ComponentSafeAAD ComponentID = 0x0002
)

// ComponentData is one component's entry in an [AppDataDictionary].
type ComponentData struct {
	ID   ComponentID
	Data []byte
}

func (c *ComponentData) encode(w *wire.Writer) {
	w.Uint16(uint16(c.ID))
	w.Opaque(c.Data)
}

func (c *ComponentData) decode(r *wire.Reader) {
	c.ID = ComponentID(r.Uint16())
	c.Data = r.Opaque()
}

// An AppDataDictionary holds the components' entries, in increasing order of
// ID and each ID once. It is the data of the extension app_data_dictionary in
// a KeyPackage, LeafNode, GroupContext or GroupInfo.
type AppDataDictionary []ComponentData

// Find returns the entry of a component.
func (d AppDataDictionary) Find(id ComponentID) (data []byte, ok bool) {
	at, ok := d.search(id)
	if !ok {
		return nil, false
	}
	return d[at].Data, true
}

// Extension returns d as an extension. It returns an error if d is not in
// order.
func (d AppDataDictionary) Extension() (Extension, error) {
	data := wire.Encode(func(w *wire.Writer) { writeVector(w, d) })
	_, err := ParseAppDataDictionary(data)
	return Extension{Type: ExtensionAppDataDictionary, Data: data}, err
}

// ParseAppDataDictionary decodes the data of an app_data_dictionary extension.
func ParseAppDataDictionary(data []byte) (AppDataDictionary, error) {
	return parseDictionaryAliased(slices.Clone(data))
}

// parseDictionaryAliased is ParseAppDataDictionary for data that stays as it is
// while the result is in use.
func parseDictionaryAliased(data []byte) (AppDataDictionary, error) {
	d, err := parseComponentVector[ComponentData](data)
	if err == nil {
		err = checkComponentOrder(d, func(c ComponentData) ComponentID { return c.ID })
	}
	if err != nil {
		return nil, invalid(CheckAppDataDictionary, "%w", err)
	}
	return d, nil
}

// AppDataDictionary returns the dictionary among e, nil if there is none.
func (e Extensions) AppDataDictionary() (AppDataDictionary, error) {
	data, ok := e.Find(ExtensionAppDataDictionary)
	if !ok {
		return nil, nil
	}
	return ParseAppDataDictionary(data)
}

// A ComponentsList is the data of the components [ComponentAppComponents] and
// [ComponentSafeAAD].
type ComponentsList []ComponentID

// Contains reports whether id is in the list.
func (l ComponentsList) Contains(id ComponentID) bool { return slices.Contains(l, id) }

// Marshal returns the encoded list.
func (l ComponentsList) Marshal() []byte {
	return wire.Encode(func(w *wire.Writer) { writeUint16s(w, l) })
}

// ParseComponentsList decodes a ComponentsList.
func ParseComponentsList(data []byte) (ComponentsList, error) {
	r := wire.NewReader(data)
	list := readUint16s[ComponentID](r)
	if err := r.Finish(); err != nil {
		return nil, invalid(CheckComponentsList, "%w", err)
	}
	return list, nil
}

// SafeAADItem is what one component says in a [SafeAAD].
type SafeAADItem struct {
	ID   ComponentID
	Data []byte
}

func (i *SafeAADItem) encode(w *wire.Writer) {
	w.Uint16(uint16(i.ID))
	w.Opaque(i.Data)
}

func (i *SafeAADItem) decode(r *wire.Reader) {
	i.ID = ComponentID(r.Uint16())
	i.Data = r.Opaque()
}

// A SafeAAD is the authenticated_data of all messages of a group whose
// GroupContext has a [ComponentSafeAAD] entry: the items of the components, in
// increasing order of ID and each ID once.
// draft-ietf-mls-extensions, Section 4.9.
type SafeAAD []SafeAADItem

// Find returns the item of a component.
func (a SafeAAD) Find(id ComponentID) (data []byte, ok bool) {
	at, ok := slices.BinarySearchFunc(a, id, func(i SafeAADItem, id ComponentID) int { return cmp.Compare(i.ID, id) })
	if !ok {
		return nil, false
	}
	return a[at].Data, true
}

// Marshal returns the encoded SafeAAD. It returns an error if a is not in order.
func (a SafeAAD) Marshal() ([]byte, error) {
	data := wire.Encode(func(w *wire.Writer) { writeVector(w, a) })
	if _, err := ParseSafeAAD(data); err != nil {
		return nil, err
	}
	return data, nil
}

// ParseSafeAAD decodes a message's authenticated_data.
func ParseSafeAAD(data []byte) (SafeAAD, error) {
	return parseSafeAADAliased(slices.Clone(data))
}

// parseSafeAADAliased is ParseSafeAAD for data that stays as it is while the
// result is in use.
func parseSafeAADAliased(data []byte) (SafeAAD, error) {
	a, err := parseComponentVector[SafeAADItem](data)
	if err == nil {
		err = checkComponentOrder(a, func(i SafeAADItem) ComponentID { return i.ID })
	}
	if err != nil {
		return nil, invalid(CheckSafeAAD, "%w", err)
	}
	return a, nil
}

// verifyAuthenticatedData checks that authenticated_data is a SafeAAD where the
// GroupContext says that it has to be.
func verifyAuthenticatedData(data []byte, context Extensions) error {
	encoded, ok := context.Find(ExtensionAppDataDictionary)
	if !ok {
		return nil
	}
	dictionary, err := parseDictionaryAliased(encoded)
	if err != nil {
		return err
	}
	if _, framed := dictionary.Find(ComponentSafeAAD); !framed {
		return nil
	}
	_, err = parseSafeAADAliased(data)
	return err
}

func parseComponentVector[T any, P interface {
	*T
	decoder
}](data []byte) ([]T, error) {
	r := wire.NewReader(data)
	v := readVector[T, P](r)
	return v, r.Finish()
}

func checkComponentOrder[T any](entries []T, id func(T) ComponentID) error {
	for i := 1; i < len(entries); i++ {
		if id(entries[i-1]) >= id(entries[i]) {
			return fmt.Errorf("component %#04x follows %#04x", uint16(id(entries[i])), uint16(id(entries[i-1])))
		}
	}
	return nil
}
