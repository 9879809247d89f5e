// Package testvectors holds the official test vectors that several packages
// check themselves against, compressed:
//
//   - the MLS working group's vectors for RFC 9420
//     (mlswg/mls-implementations, test-vectors/*.json);
//   - the HPKE working group's vectors for draft-ietf-hpke-pq
//     (hpkewg/hpke-pq, test-vectors.json), as "hpke-pq";
//   - those of the vectors of RFC 9180 that are in PSK mode and of algorithms of
//     MLS, with the first encryption of each (cfrg/draft-irtf-cfrg-hpke,
//     test-vectors.json), as "hpke-psk".
//
// Only tests import it. docs/vectors.md says where the files are from.
package testvectors

import (
	"compress/gzip"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io"
	"testing"
)

//go:embed testdata/*.json.gz
var files embed.FS

// Load decodes the vector file name (without ".json.gz") into cases, which is
// usually a pointer to a slice. It fails the test on any error.
func Load(t testing.TB, name string, cases any) {
	t.Helper()
	if err := json.NewDecoder(Open(t, name)).Decode(cases); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Open opens the vector file name (without ".json.gz"). It fails the test if
// there is none.
func Open(t testing.TB, name string) io.Reader {
	t.Helper()
	f, err := files.Open("testdata/" + name + ".json.gz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// Hex is binary data that the vectors write as a hexadecimal string. JSON null
// decodes to nil.
type Hex []byte

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hex) UnmarshalText(text []byte) error {
	b := make([]byte, hex.DecodedLen(len(text)))
	n, err := hex.Decode(b, text)
	*h = b[:n]
	return err
}

// MarshalText implements [encoding.TextMarshaler].
func (h Hex) MarshalText() ([]byte, error) {
	return []byte(hex.EncodeToString(h)), nil
}
