package webtoken

import (
	"crypto"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// Bounds on what a token may make us parse and verify.
const (
	maxToken       = 1 << 16 // octets, key binding and disclosures included
	maxDisclosures = 256
	maxDepth       = 16 // levels of claims
	maxTries       = 8  // keys of an issuer for one token
)

// A Token is what a web token says, with what the holder has disclosed in its place and what is not
// disclosed left out.
type Token struct {
	Type    mls.CredentialType // CredentialSDJWT or CredentialSDCWT
	Issuer  string             // iss, or the trust domain of a SPIFFE ID: see [Issuers]
	Subject string             // sub
	Key     crypto.PublicKey   // of the holder, from cnf
	// Audience is the token's own, empty if it has none. That of the key binding is not here.
	Audience []string
	// Expiry, NotBefore and IssuedAt are exp, nbf and iat; zero if they are not there.
	Expiry, NotBefore, IssuedAt time.Time

	claims any
}

// Claim returns the value of a claim, nested ones by their path: names, which are strings, and integers
// in an SD-CWT, and the positions of array elements. Values are as the token's encoding has them:
// of JSON strings, bool, json.Number of go-jose, nil, []any and map[string]any; of CBOR those that fxamacker/cbor makes, with
// int64 for integers, and map[any]any. They must not be changed.
func (t *Token) Claim(path ...any) (value any, ok bool) {
	value = t.claims
	for _, step := range path {
		if n, isInt := step.(int); isInt {
			step = int64(n)
		}
		switch at := value.(type) {
		case map[string]any:
			name, isName := step.(string)
			if value, ok = at[name]; !ok || !isName {
				return nil, false
			}
		case map[any]any:
			switch step.(type) {
			case string, int64:
			default:
				return nil, false
			}
			if value, ok = at[step]; !ok {
				return nil, false
			}
		case []any:
			i, isIndex := step.(int64)
			if !isIndex || i < 0 || i >= int64(len(at)) {
				return nil, false
			}
			value = at[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// A binding is what a holder has signed beside a token.
type binding struct {
	audience                    string
	nonce                       string
	issuedAt, notBefore, expiry time.Time // zero: not there
}

// A parsed token is one of which no signature was verified. Its disclosures are in their places, and
// its key binding is for it.
type parsed struct {
	Token
	binding binding
	kid     string
	hasKID  bool
	// ordered says that the dates have to be in the order that SD-CWT demands.
	ordered bool

	// verify and verifyBinding check a signature with a key, whose algorithms are given. Errors match
	// ErrAlgorithm or ErrSignature.
	verify, verifyBinding func(crypto.PublicKey, algorithms) error
}

// parse reads the token of a credential.
func parse(c *mls.Credential) (*parsed, error) {
	switch c.Type {
	case mls.CredentialSDJWT:
		return parseSDJWT(c.SDJWT)
	case mls.CredentialSDCWT:
		return parseSDCWT(c.Data)
	}
	return nil, fmt.Errorf("%w: %#04x, want %#04x (sd_cwt) or %#04x (sd_jwt)", mls.ErrCredentialType,
		uint16(c.Type), uint16(mls.CredentialSDCWT), uint16(mls.CredentialSDJWT))
}

// Read returns what the token of a credential says. It verifies no signature and no date: it is for the
// credentials of peers that were accepted, such as those of a ConnectionState, and for one's own.
func Read(c *mls.Credential) (*Token, error) {
	p, err := parse(c)
	if err != nil {
		return nil, err
	}
	return &p.Token, nil
}

// expiry returns when the token or its key binding expires, whichever is first; zero: never.
func (p *parsed) expiry() time.Time {
	if b := p.binding.expiry; !b.IsZero() && (p.Expiry.IsZero() || b.Before(p.Expiry)) {
		return b
	}
	return p.Expiry
}

// nameIssuer finds out who has issued a token without iss: a JWT-SVID has the trust domain in its
// subject. JWT-SVID specification, Section 3.
func (t *Token) nameIssuer() error {
	if t.Subject == "" {
		return fmt.Errorf("%w: there is no sub, or it is not disclosed", ErrToken)
	}
	if t.Issuer != "" {
		return nil
	}
	id, err := identity.ParseSPIFFEID(t.Subject)
	if err != nil {
		return fmt.Errorf("%w: there is no iss", ErrToken)
	}
	t.Issuer = "spiffe://" + id.TrustDomain
	return nil
}

// verifyIssuer checks a token's signature with the keys of its issuer.
func (p *parsed) verifyIssuer(issuers *Issuers) error {
	keys, err := issuers.candidates(p.Issuer, p.kid, p.hasKID)
	if err != nil {
		return err
	}
	for _, k := range keys[:min(len(keys), maxTries)] {
		var algorithms algorithms
		if algorithms, err = issuerAlgorithms(k.Key); err == nil {
			err = p.verify(k.Key, algorithms)
		}
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("webtoken: signature of %q: %w", p.Issuer, err)
}

// verifyHolder checks that a token is for a signature key, encoded as in a leaf, and the key binding
// by that key.
func (p *parsed) verifyHolder(signatureKey []byte) error {
	algorithms, err := holderAlgorithms(p.Key)
	if err != nil {
		return err
	}
	key, err := encodeKey(p.Key)
	if err != nil {
		return err
	}
	if string(key) != string(signatureKey) {
		return fmt.Errorf("%w: cnf has %x, the leaf %x", ErrHolderKey, key, signatureKey)
	}
	if err := p.verifyBinding(p.Key, algorithms); err != nil {
		return fmt.Errorf("webtoken: key binding: %w", err)
	}
	return nil
}

// dateOf returns a NumericDate. RFC 7519, Section 2.
func dateOf(what string, value any) (time.Time, error) {
	var seconds float64
	switch v := value.(type) {
	case nil:
		return time.Time{}, nil
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return time.Time{}, fmt.Errorf("%w: %s: %w", ErrToken, what, err)
		}
		seconds = f
	case int64:
		seconds = float64(v)
	case float64:
		seconds = v
	default:
		return time.Time{}, fmt.Errorf("%w: %s is a %T, want a number", ErrToken, what, value)
	}
	if math.IsNaN(seconds) || math.Abs(seconds) > 1<<53 {
		return time.Time{}, fmt.Errorf("%w: %s is %v", ErrToken, what, seconds)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), nil
}

// audienceOf returns an aud: a string or several.
func audienceOf(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		audience := make([]string, 0, len(v))
		for _, a := range v {
			s, ok := a.(string)
			if !ok {
				return nil, fmt.Errorf("%w: aud has a %T, want a string", ErrToken, a)
			}
			audience = append(audience, s)
		}
		if len(audience) == 0 {
			audience = append(audience, "") // for nobody, which is not the same as for all
		}
		return audience, nil
	}
	return nil, fmt.Errorf("%w: aud is a %T, want a string or several", ErrToken, value)
}

// textOf returns a claim that is a string, empty if it is not there.
func textOf(what string, value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("%w: %s is a %T, want a string", ErrToken, what, value)
}

// mediaType returns a typ without the "application/" that may be left out. RFC 7515, Section 4.1.9.
func mediaType(typ string) string { return strings.TrimPrefix(strings.ToLower(typ), "application/") }
