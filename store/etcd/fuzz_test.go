package etcd

import (
	"errors"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

// Whatever stands in etcd is an error or a session.
func FuzzParse(f *testing.F) {
	f.Add(id(1).String(), []byte("a tag of 16 octe and the rest"))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if id, err := parseID(key); err == nil && id.String() != strings.ToLower(key) {
			t.Errorf("%q became %v", key, id)
		}
		tag, sealed, err := parse(value)
		if err != nil {
			if !errors.Is(err, channel.ErrNoSession) {
				t.Errorf("error %v does not match ErrNoSession", err)
			}
		} else if string(tag[:])+string(sealed) != string(value) {
			t.Errorf("%x became %x and %x", value, tag, sealed)
		}
	})
}
