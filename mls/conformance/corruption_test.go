package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"pgregory.net/rapid"
)

// A field is a value of a case that can be changed, with all before it in the
// case as the path to it.
type field struct {
	path string
	get  any
	set  func(any)
}

// fieldsOf returns the fields of a decoded JSON value. Elements of arrays all
// have the path "*".
func fieldsOf(v any, at string) []field {
	var fields []field
	add := func(name string, value any, set func(any)) {
		name = path.Join(at, name)
		switch value.(type) {
		case map[string]any, []any:
			fields = append(fields, fieldsOf(value, name)...)
		default:
			fields = append(fields, field{name, value, set})
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			add(name, value, func(x any) { v[name] = x })
		}
	case []any:
		for i, value := range v {
			add("*", value, func(x any) { v[i] = x })
		}
	}
	return fields
}

// parseCase decodes a case so that its fields can be changed.
func parseCase(t interface{ Fatal(...any) }, encoded []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// corrupted returns versions of a value that differ in one place.
func corrupted(value any) []any {
	switch v := value.(type) {
	case json.Number:
		n, _ := v.Int64()
		return []any{n + 1}
	case bool:
		return []any{!v}
	case string:
		if v == "" {
			return []any{"00"}
		}
		var all []any
		for _, at := range []int{0, len(v) / 2, len(v) - 1} {
			other := byte('0')
			if v[at] == other {
				other = '1'
			}
			all = append(all, v[:at]+string(other)+v[at+1:])
		}
		return all
	}
	return []any{0} // of null
}

// A corruptibleCase is a case of which each field counts, but for those in
// unchecked.
type corruptibleCase struct {
	file      string
	own       bool // the file is one of ours
	index     int
	fields    int               // how many there are
	unchecked map[string]string // why not, by path
}

// load returns the kind of the case, and the case.
func (c *corruptibleCase) load(t testing.TB) (Kind, json.RawMessage) {
	t.Helper()
	k, err := LookupKind(c.file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []json.RawMessage
	if !c.own {
		testvectors.Load(t, c.file, &cases)
	} else if err := json.Unmarshal((&ownFile{name: c.file}).read(t), &cases); err != nil {
		t.Fatal(err)
	}
	return k, cases[c.index]
}

func (c *corruptibleCase) name() string {
	if c.own {
		return "own " + c.file
	}
	return c.file
}

// sameKeys is why another suite can go unnoticed.
const sameKeys = "other suites have the same hash and key size"

var corruptible = []corruptibleCase{
	{file: "tree-math", index: 2, fields: 31},
	{file: "deserialization", index: 9, fields: 2},
	{file: "crypto-basics", index: 1, fields: 29},
	{file: "secret-tree", index: 1, fields: 86, unchecked: map[string]string{
		"cipher_suite":           sameKeys,
		"sender_data/ciphertext": "only its beginning is a sample",
	}},
	{file: "message-protection", index: 1, fields: 18},
	{file: "key-schedule", index: 0, fields: 108},
	{file: "psk_secret", index: 3, fields: 11, unchecked: map[string]string{"cipher_suite": sameKeys}},
	{file: "transcript-hashes", index: 0, fields: 6, unchecked: map[string]string{"cipher_suite": sameKeys}},
	{file: "welcome", index: 1, fields: 5},
	{file: "tree-operations", index: 3, fields: 7, unchecked: map[string]string{
		"cipher_suite":    sameKeys,
		"proposal_sender": "it is a Remove",
	}},
	{file: "tree-validation", index: 16, fields: 33},
	{file: "treekem", index: 13, fields: 65},
	{file: "passive-client-handling-commit", index: 13, fields: 14},

	{file: "crypto-basics", own: true, index: 8, fields: 29},
	{file: "passive-client-private", own: true, index: 0, fields: 23},
	{file: "passive-client-outside", own: true, index: 1, fields: 23},
	{file: "passive-client-successor", own: true, index: 0, fields: 22},
	{file: "passive-client-successor", own: true, index: 1, fields: 24},
	{file: "passive-client-components", own: true, index: 0, fields: 26},
	{file: "external-init", own: true, index: 7, fields: 5},
	{file: "safe-export", own: true, index: 0, fields: 15, unchecked: map[string]string{"cipher_suite": sameKeys}},
	{file: "component-data", own: true, index: 5, fields: 28},

	{file: "application-psks", own: true, index: 2, fields: 17, unchecked: map[string]string{"cipher_suite": sameKeys}},
	{file: "safe-operations", own: true, index: 1, fields: 14},
	{file: "web-token-credentials", own: true, index: 3, fields: 12},
	{file: "wire-formats", own: true, index: 4, fields: 41},
	{file: "passive-client-self-remove", own: true, index: 0, fields: 18},
	{file: "passive-client-fewer-signatures", own: true, index: 0, fields: 18},
	{file: "passive-client-fewer-signatures", own: true, index: 1, fields: 18},

	{file: "targeted-messages", own: true, index: 7, fields: 12},
	{file: "multi-targeted-messages", own: true, index: 7, fields: 14},
	{file: "last-resort", own: true, index: 0, fields: 4},
	{file: "passive-client-app-data", own: true, index: 0, fields: 64},
	{file: "app-content", own: true, index: 5, fields: 40},
	{file: "multi-credentials", own: true, index: 0, fields: 16},
	{file: "apq", own: true, index: 1, fields: 45, unchecked: map[string]string{
		"time":               "key packages are valid for longer",
		"pq/encryption_priv": "half of a seed of ML-KEM is for ciphertexts that are wrong",
		"pq/init_priv":       "half of a seed of ML-KEM is for ciphertexts that are wrong",
	}},
}

// optional are fields that a case need not have.
var optional = map[string]bool{"successor": true, "components": true}

// Whatever is changed in a case, in whatever field: it is noticed.
func TestEachFieldIsChecked(t *testing.T) {
	for _, c := range corruptible {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			k, encoded := c.load(t)
			v := parseCase(t, encoded)
			fields := fieldsOf(v, "")
			for _, f := range fields {
				for _, bad := range corrupted(f.get) {
					f.set(bad)
					encoded, err := json.Marshal(v)
					if err != nil {
						t.Fatal(err)
					}
					if k.check(encoded).Err == nil && c.unchecked[f.path] == "" {
						t.Errorf("%s: changed from %s to %s without being noticed", f.path, short(f.get), short(bad))
					}
				}
				f.set(f.get)
			}
			if len(fields) != c.fields {
				t.Errorf("changed %d fields, want %d", len(fields), c.fields)
			}
		})
	}
}

func short(v any) string {
	s := fmt.Sprint(v)
	return s[:min(len(s), 80)]
}

// Messages are checked for their syntax alone, which an octet less breaks.
func TestTruncatedMessagesAreNoticed(t *testing.T) {
	var cases []json.RawMessage
	testvectors.Load(t, "messages", &cases)
	k, err := LookupKind("messages")
	if err != nil {
		t.Fatal(err)
	}
	v := parseCase(t, cases[0])
	fields := fieldsOf(v, "")
	for _, f := range fields {
		s := f.get.(string)
		for _, bad := range []string{"", s[:len(s)-2], s + "00", s[2:]} {
			f.set(bad)
			encoded, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if k.check(encoded).Err == nil {
				t.Errorf("%s: %s passes", f.path, short(bad))
			}
		}
		f.set(f.get)
	}
	if len(fields) != 17 {
		t.Errorf("changed %d structures, want 17", len(fields))
	}
}

// One bad case does not keep the others from being checked.
func TestOneCorruptionIsOneFailure(t *testing.T) {
	var cases []map[string]any
	testvectors.Load(t, "transcript-hashes", &cases)
	cases[3]["interim_transcript_hash_after"] = "00"
	encoded, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	results, err := Check("transcript-hashes", bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if (r.Err != nil) != (i == 3) {
			t.Errorf("case %d: %v", i, r.Err)
		}
	}
}

func TestEachFieldIsRequired(t *testing.T) {
	for _, c := range corruptible {
		k, encoded := c.load(t)
		v := parseCase(t, encoded)
		for name, value := range v {
			if optional[name] {
				continue
			}
			delete(v, name)
			encoded, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.check(encoded).Err; err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s without %s: %v", c.name(), name, err)
			}
			v[name] = value
		}
	}
}

func TestFilesThatAreNoVectors(t *testing.T) {
	for _, file := range []string{
		"", " ", "null", "{}", "[]", "[", "[1,", `[{"length": 1}`, `"x"`, "[] []", "[{}] x", "\x1f\x8b", "[nul]", "\xff",
	} {
		if results, err := Check("deserialization", strings.NewReader(file)); err == nil {
			t.Errorf("%q is read as %v", file, results)
		}
	}
	for _, k := range Kinds() {
		for _, one := range []string{
			"null", "1", `""`, "[]", "{}", `{"cipher_suite": 1}`, `{"cipher_suite": 0}`, `{"cipher_suite": 65535}`, `{"cipher_suite": 65536}`,
			`{"vlbytes_header": "0", "length": 1}`, `{"vlbytes_header": "zz", "length": 1}`, `{"vlbytes_header": 1, "length": 1}`,
			`{"n_leaves":4294967295,"n_nodes":4294967295,"root":0,"left":[],"right":[],"parent":[],"sibling":[]}`,
			`{"n_leaves":0,"n_nodes":0,"root":4294967295,"left":[],"right":[],"parent":[],"sibling":[]}`,
			strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
		} {
			results, err := Check(k.Name, strings.NewReader("["+one+"]"))
			if err != nil || len(results) != 1 || results[0].Err == nil {
				t.Errorf("%s: %s: %v, %v", k.Name, one, results, err)
			}
		}
	}
	if _, err := Check("no-such-kind", strings.NewReader("[]")); err == nil {
		t.Error("an unknown kind passes")
	}
}

// Whatever stands in the fields of a case, it can be checked.
func TestNoValuePanics(t *testing.T) {
	for _, c := range corruptible {
		t.Run(c.name(), func(t *testing.T) {
			k, original := c.load(t)
			rapid.Check(t, func(t *rapid.T) {
				v := parseCase(t, original)
				fields := fieldsOf(v, "")
				for range rapid.IntRange(1, 3).Draw(t, "changes") {
					f := fields[rapid.IntRange(0, len(fields)-1).Draw(t, "field")]
					f.set(drawValue(t, f.get))
				}
				encoded, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				k.check(encoded)
			})
		})
	}
}

// drawValue returns a value of the same type as old.
func drawValue(t *rapid.T, old any) any {
	s, ok := old.(string)
	if !ok {
		return rapid.OneOf(rapid.Uint32().AsAny(), rapid.Uint32Range(0, 40).AsAny(), rapid.Just[any](nil)).Draw(t, "value")
	}
	switch rapid.IntRange(0, 4).Draw(t, "way") {
	case 0: // cut
		return s[:rapid.IntRange(0, len(s)/2).Draw(t, "length")*2]
	case 1:
		return fmt.Sprintf("%x", rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "octets"))
	default: // other octets, of which lengths and counts are some
		b := []byte(s)
		for range rapid.IntRange(1, 4).Draw(t, "octets") {
			if len(b) > 0 {
				b[rapid.IntRange(0, min(len(b)-1, 400)).Draw(t, "at")] = "0123456789abcdef"[rapid.IntRange(0, 15).Draw(t, "digit")]
			}
		}
		return string(b)
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range corruptible {
		k, encoded := c.load(f)
		i := slices.IndexFunc(kinds, func(other Kind) bool { return other.Name == k.Name })
		if len(encoded) < 1<<14 {
			f.Add(uint8(i), []byte("["+string(encoded)+"]"))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, file []byte) {
		_, _ = Check(kinds[int(kind)%len(kinds)].Name, bytes.NewReader(file))
	})
}
