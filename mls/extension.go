package mls

import (
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// ExtensionType identifies an [Extension]. RFC 9420, Section 17.3.
type ExtensionType uint16

// Extension types of RFC 9420 and draft-ietf-mls-extensions.
const (
	ExtensionApplicationID        ExtensionType = 0x0001
	ExtensionRatchetTree          ExtensionType = 0x0002
	ExtensionRequiredCapabilities ExtensionType = 0x0003
	ExtensionExternalPub          ExtensionType = 0x0004
	ExtensionExternalSenders      ExtensionType = 0x0005
	ExtensionAppDataDictionary    ExtensionType = 0x0006
)

// isDefault reports whether every client supports t without saying so.
// RFC 9420, Section 7.2.
func (t ExtensionType) isDefault() bool {
	return t >= ExtensionApplicationID && t <= ExtensionExternalSenders
}

// An Extension carries data that this package may or may not understand.
type Extension struct {
	Type ExtensionType
	Data []byte
}

func (e *Extension) encode(w *wire.Writer) {
	w.Uint16(uint16(e.Type))
	w.Opaque(e.Data)
}

func (e *Extension) decode(r *wire.Reader) {
	e.Type = ExtensionType(r.Uint16())
	e.Data = r.Opaque()
}

// Extensions is a list of extensions, at most one of each type.
// RFC 9420, Section 13.4.
type Extensions []Extension

// Find returns the data of the extension of type t.
func (e Extensions) Find(t ExtensionType) (data []byte, ok bool) {
	for i := range e {
		if e[i].Type == t {
			return e[i].Data, true
		}
	}
	return nil, false
}

// with returns e with the extension x added, or put in the place of one of its type.
func (e Extensions) with(x Extension) Extensions {
	out := make(Extensions, 0, len(e)+1)
	replaced := false
	for _, old := range e {
		if old.Type == x.Type {
			old, replaced = x, true
		}
		out = append(out, old)
	}
	if !replaced {
		out = append(out, x)
	}
	return out
}

// clone returns a copy that shares no memory with e.
func (e Extensions) clone() Extensions {
	c := slices.Clone(e)
	for i := range c {
		c[i].Data = slices.Clone(c[i].Data)
	}
	return c
}

func (e Extensions) encode(w *wire.Writer) { writeVector(w, e) }

// readExtensions reads Extension extensions<V> and refuses a repeated type.
func readExtensions(r *wire.Reader) Extensions {
	list := Extensions(readVector[Extension](r))
	if err := list.verifyTypes(); err != nil {
		r.Fail(err)
		return nil
	}
	return list
}

// verifyTypes checks that each type occurs once. RFC 9420, Section 13.4.
func (e Extensions) verifyTypes() error {
	seen := make(map[ExtensionType]bool, len(e))
	for _, x := range e {
		if seen[x.Type] {
			return invalid(CheckExtensionTwice, "extension type %#04x occurs twice", uint16(x.Type))
		}
		seen[x.Type] = true
	}
	return nil
}

// isSame reports whether e and o are one list, not two that are alike.
func (e Extensions) isSame(o Extensions) bool {
	return len(e) == len(o) && (len(e) == 0 || &e[0] == &o[0])
}
