package bolt

import (
	"bytes"
	"errors"
	"testing"
)

// Whatever stands in the place of a session is a row that is written as it was read, or corrupt.
func FuzzParseRow(f *testing.F) {
	f.Add(row{version: 7, created: 3, sealed: []byte("sealed")}.marshal())
	f.Add(make([]byte, 16+tagSize))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := parseRow(value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("error %v does not match ErrCorrupt", err)
			}
			return
		}
		if r.version == 0 || !bytes.Equal(r.marshal(), value) {
			t.Errorf("%x became %+v", value, r)
		}
	})
}
