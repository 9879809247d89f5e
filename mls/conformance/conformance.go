package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// ErrUnknownKind means that there is no kind of vectors with that name.
var ErrUnknownKind = errors.New("conformance: unknown kind of vectors")

// A Kind is one format of vectors.
type Kind struct {
	// Name is that of the format's specification.
	Name string
	// Aliases are the names of files where they differ.
	Aliases   []string
	newVector func() vector
}

// A vector is one case, decoded.
type vector interface {
	// suiteID returns the cipher suite, zero if the kind has none.
	suiteID() ciphersuite.ID
	// check compares the case with this implementation.
	check(c *checker)
}

// Kinds returns all kinds, those of the MLS working group first.
func Kinds() []Kind { return slices.Clone(kinds) }

var kinds = []Kind{
	{Name: "tree-math", newVector: newCase[treeMath]},
	{Name: "crypto-basics", newVector: newCase[cryptoBasics]},
	{Name: "secret-tree", newVector: newCase[secretTree]},
	{Name: "message-protection", newVector: newCase[messageProtection]},
	{Name: "key-schedule", newVector: newCase[keySchedule]},
	{Name: "pre-shared-keys", Aliases: []string{"psk_secret"}, newVector: newCase[preSharedKeys]},
	{Name: "transcript-hashes", newVector: newCase[transcriptHashes]},
	{Name: "welcome", newVector: newCase[welcome]},
	{Name: "tree-operations", newVector: newCase[treeOperation]},
	{Name: "tree-validation", newVector: newCase[treeValidation]},
	{Name: "treekem", newVector: newCase[treeKEM]},
	{Name: "messages", newVector: newCase[messages]},
	{
		Name: "passive-client",
		Aliases: []string{
			"passive-client-welcome", "passive-client-handling-commit", "passive-client-random",
			"passive-client-private", "passive-client-outside", "passive-client-successor", "passive-client-components",
			"passive-client-self-remove",
			"passive-client-app-data",
			"passive-client-fewer-signatures",
		},
		newVector: newCase[passiveClient],
	},
	{Name: "deserialization", newVector: newCase[deserialization]},

	// Our own.
	{Name: "safe-export", newVector: newCase[safeExport]},
	{Name: "component-data", newVector: newCase[componentData]},
	{Name: "external-init", newVector: newCase[externalInit]},

	{Name: "application-psks", newVector: newCase[applicationPSKs]},

	{Name: "apq", newVector: newCase[apqClient]},
	{Name: "safe-operations", newVector: newCase[safeOperations]},
	{Name: "web-token-credentials", newVector: newCase[webTokenCredentials]},
	{Name: "wire-formats", newVector: newCase[wireFormats]},
	// Targeted messages: the draft's format, and our own.
	{Name: "targeted-messages", newVector: newCase[targetedMessages]},
	{Name: "multi-targeted-messages", newVector: newCase[multiTargetedMessages]},
	{Name: "last-resort", newVector: newCase[lastResort]},
	{Name: "app-content", newVector: newCase[appContent]},
	{Name: "multi-credentials", newVector: newCase[multiCredential]},
}

// newCase returns an empty case of a kind.
func newCase[T any, P interface {
	*T
	vector
}]() vector {
	return P(new(T))
}

// LookupKind returns the kind with that name or alias, or an error that matches
// [ErrUnknownKind].
func LookupKind(name string) (Kind, error) {
	for _, k := range kinds {
		if k.Name == name || slices.Contains(k.Aliases, name) {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("%w: %q", ErrUnknownKind, name)
}

// A Result is the outcome of one case.
type Result struct {
	// Suite is the cipher suite, zero if the kind has none.
	Suite ciphersuite.ID
	// Comparisons is the number of values that were compared and operations
	// that had to succeed.
	Comparisons int
	// Err says all that is wrong, nil if the case passed.
	Err error
}

// Check runs all cases of a file, which is a JSON array, and returns their
// results in the order of the file. The error is about the kind or the file as
// a whole: that it cannot be read, is no JSON or no array, or is empty.
func Check(kind string, file io.Reader) ([]Result, error) {
	k, err := LookupKind(kind)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(file)
	var cases []json.RawMessage
	if err := d.Decode(&cases); err != nil {
		return nil, fmt.Errorf("conformance: reading vectors: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("conformance: reading vectors: the file goes on after the array")
	}
	if len(cases) == 0 {
		return nil, errors.New("conformance: there are no cases")
	}
	results := make([]Result, len(cases))
	for i, encoded := range cases {
		results[i] = k.check(encoded)
	}
	return results, nil
}

func (k *Kind) check(encoded []byte) Result {
	v := k.newVector()
	if err := decode(encoded, v); err != nil {
		return Result{Err: err}
	}
	c := new(checker)
	id := v.suiteID()
	if id != 0 {
		var err error
		if c.suite, err = ciphersuite.Default().Lookup(id); err != nil {
			return Result{Suite: id, Err: err}
		}
	}
	v.check(c)
	return Result{Suite: id, Comparisons: c.comparisons, Err: errors.Join(c.errs...)}
}
