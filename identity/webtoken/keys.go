package webtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/veraison/go-cose"

	"github.com/mendlink/mendlink/identity"
)

// Sizes of the RSA keys that issuers may have, in bits.
const (
	minRSAKey = 2048
	maxRSAKey = 8192
)

// The fully specified names of algorithms of COSE (RFC 9864), which go-cose does not have.
const (
	coseESP256  cose.Algorithm = -9
	coseEd25519 cose.Algorithm = -19
	coseESP384  cose.Algorithm = -51
	coseESP512  cose.Algorithm = -52
)

// algorithms are those that go with a key: of JOSE, and of COSE by the name under which go-cose has
// each.
type algorithms struct {
	jose []jose.SignatureAlgorithm
	cose map[cose.Algorithm]cose.Algorithm
}

var (
	ofEd25519 = algorithms{[]jose.SignatureAlgorithm{jose.EdDSA}, map[cose.Algorithm]cose.Algorithm{cose.AlgorithmEdDSA: cose.AlgorithmEdDSA, coseEd25519: cose.AlgorithmEdDSA}}
	ofP256    = algorithms{[]jose.SignatureAlgorithm{jose.ES256}, map[cose.Algorithm]cose.Algorithm{cose.AlgorithmES256: cose.AlgorithmES256, coseESP256: cose.AlgorithmES256}}
	ofP384    = algorithms{[]jose.SignatureAlgorithm{jose.ES384}, map[cose.Algorithm]cose.Algorithm{cose.AlgorithmES384: cose.AlgorithmES384, coseESP384: cose.AlgorithmES384}}
	ofP521    = algorithms{[]jose.SignatureAlgorithm{jose.ES512}, map[cose.Algorithm]cose.Algorithm{cose.AlgorithmES512: cose.AlgorithmES512, coseESP512: cose.AlgorithmES512}}
	ofRSA     = algorithms{
		[]jose.SignatureAlgorithm{jose.PS256, jose.PS384, jose.PS512, jose.RS256, jose.RS384, jose.RS512},
		map[cose.Algorithm]cose.Algorithm{cose.AlgorithmPS256: cose.AlgorithmPS256, cose.AlgorithmPS384: cose.AlgorithmPS384, cose.AlgorithmPS512: cose.AlgorithmPS512},
	}
)

// holderAlgorithms returns the algorithms that go with the key of a holder: one of those that MLS's
// cipher suites have. The key decides, never what a token says.
func holderAlgorithms(key crypto.PublicKey) (algorithms, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ofEd25519, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return ofP256, nil
		case elliptic.P384():
			return ofP384, nil
		case elliptic.P521():
			return ofP521, nil
		}
	}
	return algorithms{}, fmt.Errorf("%w: %T, want Ed25519, P-256, P-384 or P-521", ErrKeyKind, key)
}

// issuerAlgorithms is holderAlgorithms for the key of an issuer, which may be an RSA key as well.
func issuerAlgorithms(key crypto.PublicKey) (algorithms, error) {
	if key, ok := key.(*rsa.PublicKey); ok {
		if bits := key.N.BitLen(); bits < minRSAKey || bits > maxRSAKey {
			return algorithms{}, fmt.Errorf("%w: RSA key of %d bits, want %d to %d", ErrKeyKind, bits, minRSAKey, maxRSAKey)
		}
		return ofRSA, nil
	}
	return holderAlgorithms(key)
}

// encodeKey returns the key of a holder as it stands in a leaf.
func encodeKey(key crypto.PublicKey) ([]byte, error) {
	if _, err := holderAlgorithms(key); err != nil {
		return nil, err
	}
	encoded, err := identity.EncodePublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyKind, err)
	}
	return encoded, nil
}

// all is what may stand in a header, before it is known which key it is for. There is no "none", and
// nothing with a shared secret.
var all = func() (all []jose.SignatureAlgorithm) {
	for _, a := range []algorithms{ofEd25519, ofP256, ofP384, ofP521, ofRSA} {
		all = append(all, a.jose...)
	}
	return all
}()

// A named verifier verifies under another name of its algorithm.
type named struct {
	cose.Verifier
	name cose.Algorithm
}

func (n named) Algorithm() cose.Algorithm { return n.name }
