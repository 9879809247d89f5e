package conformance

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// hexBytes is binary data, a hexadecimal string in JSON. JSON null is nil.
type hexBytes []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(make([]byte, 0, len(text)/2), text)
	return err
}

// MarshalText implements [encoding.TextMarshaler].
func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// suited is embedded in the cases of kinds that have a cipher suite.
type suited struct {
	CipherSuite ciphersuite.ID `json:"cipher_suite"`
}

func (s *suited) suiteID() ciphersuite.ID { return s.CipherSuite }

// errNoSuite refuses a case that has to name a suite and has zero.
var errNoSuite = errors.New("conformance: cipher_suite is 0")

// decode decodes one case. All fields have to be there, so that none can go
// unchecked for being misspelt; further ones are ignored.
func decode(encoded []byte, v vector) error {
	if err := json.Unmarshal(encoded, v); err != nil {
		return fmt.Errorf("conformance: decoding: %w", err)
	}
	if err := requireFields(encoded, reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	if hasSuite(v) && v.suiteID() == 0 {
		return errNoSuite
	}
	return nil
}

// hasSuite tells whether cases like v have a cipher suite.
func hasSuite(v vector) bool {
	_, ok := reflect.TypeOf(v).Elem().FieldByName("CipherSuite")
	return ok
}

// requireFields checks that encoded, which decoded into a t, has all fields of t
// but those that are tagged with omitempty.
func requireFields(encoded json.RawMessage, t reflect.Type) error {
	switch t.Kind() {
	case reflect.Pointer:
		if string(encoded) == "null" {
			return nil
		}
		return requireFields(encoded, t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Struct && t.Elem().Kind() != reflect.Slice || t == reflect.TypeFor[hexBytes]() {
			return nil
		}
		var elements []json.RawMessage
		if err := json.Unmarshal(encoded, &elements); err != nil {
			return fmt.Errorf("conformance: decoding: %w", err)
		}
		for _, e := range elements {
			if err := requireFields(e, t.Elem()); err != nil {
				return err
			}
		}
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(encoded, &fields); err != nil {
			return fmt.Errorf("conformance: decoding: %w", err)
		}
		for _, f := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				continue // the struct whose fields are visible here
			}
			value, ok := fields[name]
			if !ok {
				if options == "omitempty" {
					continue
				}
				return fmt.Errorf("conformance: decoding: there is no %q", name)
			}
			if err := requireFields(value, f.Type); err != nil {
				return err
			}
		}
	}
	return nil
}
