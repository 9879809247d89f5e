package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// ApplicationFraming is the application data of groups whose GroupContext has
// [ComponentContentMediaTypes]. draft-ietf-mls-extensions, Section 6.2.4.
type ApplicationFraming struct {
	// MediaType is that of Content. The zero value stands for the first of the
	// group's list.
	MediaType MediaType
	Content   []byte
}

// Marshal returns the encoded framing, for [Group.Protect]. It returns an error
// if the type is neither zero nor one.
func (f *ApplicationFraming) Marshal() ([]byte, error) {
	if err := f.verify(); err != nil {
		return nil, err
	}
	return wire.Encode(func(w *wire.Writer) {
		f.MediaType.encode(w)
		w.Opaque(f.Content)
	}), nil
}

// ParseApplicationFraming decodes application data. A type of zero is left as it
// is: what it stands for depends on the group (see [ReceivedApplication]).
func ParseApplicationFraming(data []byte) (*ApplicationFraming, error) {
	return parseFramingAliased(bytes.Clone(data))
}

// parseFramingAliased is ParseApplicationFraming for data that stays as it is
// while the result is in use.
func parseFramingAliased(data []byte) (*ApplicationFraming, error) {
	r := wire.NewReader(data)
	f := new(ApplicationFraming)
	f.MediaType.decode(r)
	f.Content = r.Opaque()
	err := r.Finish()
	if err == nil {
		err = f.verify()
	}
	if err != nil {
		return nil, invalid(CheckApplicationFraming, "%w", err)
	}
	return f, nil
}

func (f *ApplicationFraming) verify() error {
	if f.MediaType.Type != "" {
		return f.MediaType.verify()
	}
	if n := len(f.MediaType.Parameters); n > 0 {
		return fmt.Errorf("%d parameters of no type", n)
	}
	return nil
}

// applicationFraming returns what application data holds in a group with the
// given GroupContext extensions, its type filled in; nil if that group frames none.
func applicationFraming(data []byte, context Extensions) (*ApplicationFraming, error) {
	required, err := context.MediaTypes()
	if err != nil || required == nil {
		return nil, err
	}
	f, err := parseFramingAliased(data)
	if err != nil {
		return nil, err
	}
	if f.MediaType.Type == "" {
		f.MediaType = required[0]
	}
	return f, nil
}
