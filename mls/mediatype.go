package mls

import (
	"cmp"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/mendlink/mendlink/internal/wire"
)

// ComponentContentMediaTypes holds the [MediaTypeList] of what a leaf can
// receive, or what all members of a group can. In a GroupContext it says that
// application data is an [ApplicationFraming]. draft-ietf-mls-extensions, Section 6.2.
const ComponentContentMediaTypes ComponentID = 0x0003

// A MediaType is a type of content, as "text/plain; charset=UTF-8".
type MediaType struct {
	// Type is the top-level type, a slash and the subtype.
	Type       string
	Parameters []MediaTypeParameter
}

// A MediaTypeParameter is a parameter of a [MediaType].
type MediaTypeParameter struct {
	Name string
	// Value is what a text has between the quotes, without backslashes before
	// quoted characters.
	Value string
}

// ParseMediaType reads a media type from text, as in a header Content-Type. Its
// parameters are put in the order of their names.
func ParseMediaType(text string) (MediaType, error) {
	kind, parameters, err := mime.ParseMediaType(text)
	if err != nil {
		return MediaType{}, fmt.Errorf("mls: media type %q: %w", text, err)
	}
	t := MediaType{Type: kind}
	for name, value := range parameters {
		t.Parameters = append(t.Parameters, MediaTypeParameter{name, value})
	}
	slices.SortFunc(t.Parameters, func(a, b MediaTypeParameter) int { return cmp.Compare(a.Name, b.Name) })
	return t, t.verify()
}

// String returns t as text.
func (t MediaType) String() string {
	parameters := make(map[string]string)
	for _, p := range t.Parameters {
		parameters[p.Name] = p.Value
	}
	if text := mime.FormatMediaType(t.Type, parameters); text != "" {
		return text
	}
	return fmt.Sprintf("%q", t.Type) // not one that a text can hold
}

// Equal reports whether t and o are the same type with the same parameters, in
// any order. Case does not matter in names, but in values.
func (t MediaType) Equal(o MediaType) bool { return t.key() == o.key() }

// key returns what is the same for equal types only.
func (t *MediaType) key() string {
	same := MediaType{Type: lowerASCII(t.Type)}
	for _, p := range t.Parameters {
		same.Parameters = append(same.Parameters, MediaTypeParameter{lowerASCII(p.Name), p.Value})
	}
	slices.SortFunc(same.Parameters, func(a, b MediaTypeParameter) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	return string(marshal(&same))
}

// lowerASCII is strings.ToLower for ASCII letters, and for octets that are no text.
func lowerASCII(s string) string {
	lower := []byte(s)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return string(lower)
}

// verify checks that t has a type and a subtype, and that its parameters have names.
func (t *MediaType) verify() error {
	top, sub, ok := strings.Cut(t.Type, "/")
	if !ok || top == "" || sub == "" || strings.Contains(sub, "/") {
		return invalid(CheckMediaType, "%q is not a type and a subtype", t.Type)
	}
	for _, p := range t.Parameters {
		if p.Name == "" {
			return invalid(CheckMediaType, "%s has a parameter without a name", t.Type)
		}
	}
	return nil
}

func (t *MediaType) encode(w *wire.Writer) {
	w.String(t.Type)
	writeVector(w, t.Parameters)
}

func (t *MediaType) decode(r *wire.Reader) {
	t.Type = string(r.Opaque())
	t.Parameters = readVector[MediaTypeParameter](r)
}

func (p *MediaTypeParameter) encode(w *wire.Writer) {
	w.String(p.Name)
	w.String(p.Value)
}

func (p *MediaTypeParameter) decode(r *wire.Reader) {
	p.Name = string(r.Opaque())
	p.Value = string(r.Opaque())
}

// A MediaTypeList is the data of [ComponentContentMediaTypes]. It is not empty.
type MediaTypeList []MediaType

// Contains reports whether t is in the list.
func (l MediaTypeList) Contains(t MediaType) bool { return slices.ContainsFunc(l, t.Equal) }

// Marshal returns the encoded list. It returns an error if the list is empty or
// has something else than media types.
func (l MediaTypeList) Marshal() ([]byte, error) {
	if err := l.verify(); err != nil {
		return nil, err
	}
	return wire.Encode(func(w *wire.Writer) { writeVector(w, l) }), nil
}

// ParseMediaTypeList decodes a MediaTypeList.
func ParseMediaTypeList(data []byte) (MediaTypeList, error) {
	r := wire.NewReader(data)
	l := MediaTypeList(readVector[MediaType](r))
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("mls: decoding media types: %w", err)
	}
	return l, l.verify()
}

func (l MediaTypeList) verify() error {
	if len(l) == 0 {
		return invalid(CheckMediaTypeList, "the list is empty")
	}
	for i := range l {
		if err := l[i].verify(); err != nil {
			return err
		}
	}
	return nil
}

// MediaTypes returns the media types in the dictionary among e: those that a
// leaf can receive, or that a GroupContext requires. It returns nil if there are
// none.
func (e Extensions) MediaTypes() (MediaTypeList, error) {
	d, err := dictionaryIn(e)
	if err != nil {
		return nil, err
	}
	return d.mediaTypes()
}

func (d AppDataDictionary) mediaTypes() (MediaTypeList, error) {
	data, ok := d.Find(ComponentContentMediaTypes)
	if !ok {
		return nil, nil
	}
	return ParseMediaTypeList(data)
}

// ContentMediaTypes returns the component, for [Config.Components], of a client
// that can receive the given types.
func ContentMediaTypes(receivable ...MediaType) (Component, error) {
	own, err := MediaTypeList(receivable).Marshal()
	if err != nil {
		return Component{}, err
	}
	return Component{
		ID: ComponentContentMediaTypes, Name: "content_media_types", Leaf: own,
		Validate: func(place ExtensionPlace, data []byte) error {
			if place != InLeafNode && place != InGroupContext {
				return nil
			}
			_, err := ParseMediaTypeList(data)
			return err
		},
	}, nil
}
