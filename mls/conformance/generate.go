package conformance

import (
	"crypto"
	"crypto/sha3"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// GenerateOptions say which vectors are made.
type GenerateOptions struct {
	// Suites are the cipher suites, of kinds that have one.
	Suites []ciphersuite.ID
	// Count is the number of cases, for each suite. Cases differ in what they
	// show: the first ones show most.
	Count int
	// Seed decides all that is random: the same seed gives the same file.
	Seed []byte
}

// generators make cases, by the name of the file: some kinds have several.
var generators = map[string]func(*generator) (vector, error){
	"crypto-basics":      generateCryptoBasics,
	"secret-tree":        generateSecretTree,
	"message-protection": generateMessageProtection,
	"key-schedule":       generateKeySchedule,
	"psk_secret":         generatePreSharedKeys,
	"transcript-hashes":  generateTranscriptHashes,
	"welcome":            generateWelcome,
	"tree-operations":    generateTreeOperation,
	"tree-validation":    generateTreeValidation,
	"treekem":            generateTreeKEM,

	"passive-client-welcome":         generatePassiveWelcome,
	"passive-client-handling-commit": generatePassiveCommits,
	"passive-client-random":          generatePassiveRandom,
	"passive-client-private":         generatePassivePrivate,
	"passive-client-outside":         generatePassiveOutside,
	"passive-client-successor":       generatePassiveSuccessor,
	"passive-client-components":      generatePassiveComponents,
	"passive-client-app-data":        generatePassiveAppData,

	"passive-client-self-remove": generatePassiveSelfRemove,

	"safe-export":    generateSafeExport,
	"component-data": generateComponentData,
	"app-content":    generateAppContent,
	"external-init":  generateExternalInit,

	"application-psks":                generateApplicationPSKs,
	"safe-operations":                 generateSafeOperations,
	"web-token-credentials":           generateWebTokenCredentials,
	"wire-formats":                    generateWireFormats,
	"passive-client-fewer-signatures": generatePassiveFewerSignatures,

	"targeted-messages":       generateTargetedMessages,
	"multi-targeted-messages": generateMultiTargetedMessages,
	"last-resort":             generateLastResort,

	"multi-credentials": generateMultiCredentials,
	"apq":               generateAPQ,
}

// Generators returns the names that [Generate] takes.
func Generators() []string { return slices.Sorted(maps.Keys(generators)) }

// Generate writes a file of vectors, each of which passes [Check]. name is one of
// [Generators], a kind or an alias of one. If there is none of that name, the
// error matches [ErrUnknownKind].
func Generate(w io.Writer, name string, o GenerateOptions) error {
	generate, ok := generators[name]
	if !ok {
		return fmt.Errorf("%w to generate: %q", ErrUnknownKind, name)
	}
	k, err := LookupKind(name)
	if err != nil {
		return err
	}
	if !hasSuite(k.newVector()) {
		o.Suites = []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519} // on which the cases do not depend
	}
	if len(o.Suites) == 0 || o.Count <= 0 {
		return errors.New("conformance: generating: there is no suite, or no case to make")
	}
	var cases []json.RawMessage
	for _, id := range o.Suites {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			return fmt.Errorf("conformance: generating: %w", err)
		}
		for i := range o.Count {
			encoded, err := k.generateCase(generate, newGenerator(s, name, i, o.Seed))
			if err != nil {
				return fmt.Errorf("conformance: generating case %d of %s for %v: %w", i, name, s, err)
			}
			cases = append(cases, encoded)
		}
	}
	return writeCases(w, cases)
}

// generateCase makes a case and checks it.
func (k *Kind) generateCase(generate func(*generator) (vector, error), g *generator) ([]byte, error) {
	v, err := generate(g)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return encoded, k.check(encoded).Err
}

// writeCases writes an array with a case in each line.
func writeCases(w io.Writer, cases []json.RawMessage) error {
	for i, encoded := range cases {
		lead := ",\n"
		if i == 0 {
			lead = "[\n"
		}
		if _, err := fmt.Fprintf(w, "%s%s", lead, encoded); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

// A generator makes one case.
type generator struct {
	suite *ciphersuite.Suite
	index int       // of the case among those of the suite
	rand  io.Reader // never fails
}

// newGenerator makes all that is random of a case from what names it. So a case
// stays the same whatever else is in its file.
func newGenerator(s *ciphersuite.Suite, name string, index int, seed []byte) *generator {
	shake := sha3.NewSHAKE256()
	var lengths [12]byte
	binary.BigEndian.PutUint16(lengths[:], uint16(s.ID()))
	binary.BigEndian.PutUint16(lengths[2:], uint16(len(name)))
	binary.BigEndian.PutUint64(lengths[4:], uint64(index))
	shake.Write(lengths[:])
	shake.Write([]byte(name))
	shake.Write(seed)
	return &generator{suite: s, index: index, rand: shake}
}

// octets returns n random octets.
func (g *generator) octets(n int) hexBytes {
	b := make([]byte, n)
	g.rand.Read(b)
	return b
}

// secret returns a random secret of the size of the suite's hash.
func (g *generator) secret() hexBytes { return g.octets(g.suite.HashSize()) }

// turn returns which of n variants the case shows. Suites with successive
// numbers begin with successive ones, so that few cases of many suites show all.
func (g *generator) turn(n int) int { return (int(g.suite.ID()) + g.index) % n }

// uint32 returns a random number.
func (g *generator) uint32() uint32 { return binary.BigEndian.Uint32(g.octets(4)) }

// number returns a random number below n.
func (g *generator) number(n int) int {
	return int(binary.BigEndian.Uint64(g.octets(8)) % uint64(n))
}

// signer returns a new signature key.
func (g *generator) signer() (*signatureKey, error) {
	signer, err := g.suite.GenerateSigner(g.rand)
	if err != nil {
		return nil, err
	}
	k := &signatureKey{Signer: signer}
	if k.private, err = g.suite.MarshalSigner(signer); err != nil {
		return nil, err
	}
	k.public, err = g.suite.SignaturePublicKey(signer.Public())
	return k, err
}

// A signatureKey signs deterministically.
type signatureKey struct {
	crypto.Signer
	private, public []byte
}

// Sign implements [crypto.Signer]. ECDSA without randomness is that of RFC 6979;
// the other schemes are deterministic in any case.
func (k *signatureKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Signer.Sign(nil, digest, opts)
}
