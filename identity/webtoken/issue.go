package webtoken

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/veraison/go-cose"

	"github.com/mendlink/mendlink/mls"
)

// An Issuer makes tokens. It is small, for tests, demonstrations and closed networks: it keeps no record of what it
// has issued, and does not ask whether who asks for a token has its key. It is safe for concurrent use if Signer and
// Rand are.
type Issuer struct {
	Name   string        // iss; empty for a JWT-SVID
	KeyID  string        // kid; empty: none is named
	Signer crypto.Signer // Ed25519, or ECDSA on P-256, P-384 or P-521. Required.
	Rand   io.Reader     // of salts and signatures. Default: crypto/rand.Reader
}

// A Template says what is in a token.
type Template struct {
	Subject string
	Holder  crypto.PublicKey // whose token it is: for cnf. Required.
	// Audience is the token's own. Default: none.
	Audience []string
	// IssuedAt, NotBefore and Expiry are left out where they are zero. Whole seconds are what remains.
	IssuedAt, NotBefore, Expiry time.Time
	// Claims are further claims, by name: strings in an SD-JWT, strings and integers in an SD-CWT. A value, or an
	// element of an array, that is a [Hidden] is for the holder to disclose or not. Maps in which something
	// is hidden are map[string]any or map[any]any, arrays []any.
	Claims map[any]any
	// Decoys are digests of nothing that are put beside those of hidden claims at the top.
	Decoys int
	// Typ is the type in the header. Default: "sd+jwt" or 293 (SD-CWT); where nothing is hidden "JWT" for a JWT.
	Typ string
}

// Hidden marks a claim that its holder may disclose. There may be others hidden within.
type Hidden struct{ Value any }

// An Issued token is what an issuer gives to a holder: with all disclosures, and without a key binding.
type Issued struct {
	Type mls.CredentialType
	// Encoded is <JWT>~<disclosure 1>~...~<disclosure N>~ for an SD-JWT, which may be a JWT alone; else the SD-CWT, tag
	// included.
	Encoded []byte
}

// SDJWT issues an SD-JWT. RFC 9901, Section 4.
func (i *Issuer) SDJWT(t Template) (Issued, error) {
	form := &jsonHiding{hiding: i.hiding()}
	claims, err := form.claims(&t)
	if err != nil {
		return Issued{}, err
	}
	if i.Name != "" {
		claims["iss"] = i.Name
	}
	key, err := publicJWK(t.Holder)
	if err != nil {
		return Issued{}, err
	}
	claims["cnf"] = map[string]any{"jwk": key}
	typ := "JWT"
	if form.hidden {
		typ, claims[hashAlgorithm] = "sd+jwt", hashNames[crypto.SHA256]
	}
	headers := map[jose.HeaderKey]any{"typ": cmp.Or(t.Typ, typ)}
	if i.KeyID != "" {
		headers["kid"] = i.KeyID
	}
	jwt, err := signJWT(i.Signer, i.Rand, headers, claims)
	if err != nil {
		return Issued{}, err
	}
	encoded := append([]byte(jwt), tilde...)
	for _, d := range form.disclosures {
		encoded = append(append(encoded, d...), tilde...)
	}
	return Issued{mls.CredentialSDJWT, encoded}, nil
}

// SDCWT issues an SD-CWT. draft-ietf-spice-sd-cwt, "SD-CWT Issuance".
func (i *Issuer) SDCWT(t Template) (Issued, error) {
	form := &cborHiding{hiding: i.hiding()}
	claims, err := form.claims(&t)
	if err != nil {
		return Issued{}, err
	}
	if i.Name != "" {
		claims[claimIssuer] = i.Name
	}
	if _, err := holderAlgorithms(t.Holder); err != nil {
		return Issued{}, err
	}
	key, err := cose.NewKeyFromPublic(t.Holder)
	if err != nil {
		return Issued{}, fmt.Errorf("%w: %w", ErrKeyKind, err)
	}
	claims[claimConfirmation] = map[any]any{confirmationKey: key}
	headers := cose.Headers{Protected: cose.ProtectedHeader{headerType: typeSDCWT}, Unprotected: cose.UnprotectedHeader{}}
	if t.Typ != "" {
		headers.Protected[headerType] = t.Typ
	}
	if i.KeyID != "" {
		headers.Protected[headerKeyID] = []byte(i.KeyID)
	}
	if len(form.disclosures) > 0 {
		headers.Unprotected[headerDisclosures] = form.disclosures
	}
	encoded, err := signCWT(i.Signer, i.Rand, headers, claims)
	return Issued{mls.CredentialSDCWT, encoded}, err
}

// hiding makes disclosures.
type hiding struct {
	rand        io.Reader
	hidden      bool // something is
	disclosures [][]byte
}

func (i *Issuer) hiding() hiding { return hiding{rand: i.random()} }

func (i *Issuer) random() io.Reader {
	if i.Rand != nil {
		return i.Rand
	}
	return rand.Reader
}

func (h *hiding) salt() ([]byte, error) {
	h.hidden = true
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(h.rand, salt); err != nil {
		return nil, fmt.Errorf("webtoken: reading randomness: %w", err)
	}
	return salt, nil
}

// jsonHiding hides claims in JSON.
type jsonHiding struct{ hiding }

func (h *jsonHiding) claims(t *Template) (map[string]any, error) {
	claims := make(map[string]any)
	for name, value := range t.Claims {
		text, ok := name.(string)
		if !ok {
			return nil, fmt.Errorf("webtoken: claim %v of an SD-JWT: the name is a %T, want a string", name, name)
		}
		claims[text] = value
	}
	if _, given := claims["sub"]; !given {
		claims["sub"] = t.Subject
	}
	if len(t.Audience) > 0 {
		claims["aud"] = t.Audience
	}
	for name, at := range map[string]time.Time{"iat": t.IssuedAt, "nbf": t.NotBefore, "exp": t.Expiry} {
		if !at.IsZero() {
			claims[name] = at.Unix()
		}
	}
	hidden, err := h.object(claims, t.Decoys)
	return hidden, err
}

// disclose makes a disclosure of a value, and its digest.
func (h *jsonHiding) disclose(named bool, name string, value any) (digestText string, err error) {
	salt, err := h.salt()
	if err != nil {
		return "", err
	}
	if value, err = h.value(value); err != nil {
		return "", err
	}
	content := []any{base64.RawURLEncoding.EncodeToString(salt), value}
	if named {
		content = []any{content[0], name, value}
	}
	text, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("webtoken: encoding a claim: %w", err)
	}
	encoded := base64.RawURLEncoding.AppendEncode(nil, text)
	h.disclosures = append(h.disclosures, encoded)
	return base64.RawURLEncoding.EncodeToString(digest(crypto.SHA256, encoded)), nil
}

func (h *jsonHiding) value(value any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		return h.object(v, 0)
	case []any:
		elements := make([]any, 0, len(v))
		for _, element := range v {
			hidden, is := element.(Hidden)
			var err error
			if !is {
				element, err = h.value(element)
			} else {
				var digest string
				digest, err = h.disclose(false, "", hidden.Value)
				element = map[string]any{hiddenElement: digest}
			}
			if err != nil {
				return nil, err
			}
			elements = append(elements, element)
		}
		return elements, nil
	case Hidden:
		return nil, errors.New("webtoken: a Hidden is neither in a map nor in an array")
	}
	return value, nil
}

// object hides members of a map, in the order of their names, and sorts the digests, so that they do not
// tell of an order.
func (h *jsonHiding) object(members map[string]any, decoys int) (map[string]any, error) {
	object := make(map[string]any)
	var digests []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		hidden, is := members[name].(Hidden)
		var err error
		if !is {
			object[name], err = h.value(members[name])
		} else {
			var digest string
			digest, err = h.disclose(true, name, hidden.Value)
			digests = append(digests, digest)
		}
		if err != nil {
			return nil, err
		}
	}
	for range decoys {
		salt, err := h.salt()
		if err != nil {
			return nil, err
		}
		digests = append(digests, base64.RawURLEncoding.EncodeToString(digest(crypto.SHA256, salt)))
	}
	if slices.Sort(digests); len(digests) > 0 {
		object[hiddenMembers] = digests
	}
	return object, nil
}

// cborHiding hides claims in CBOR.
type cborHiding struct{ hiding }

func (h *cborHiding) claims(t *Template) (map[any]any, error) {
	claims := make(map[any]any)
	for name, value := range t.Claims {
		claims[cborKey(name)] = value
	}
	if _, given := claims[claimSubject]; !given {
		claims[claimSubject] = t.Subject
	}
	switch len(t.Audience) {
	case 0:
	case 1:
		claims[claimAudience] = t.Audience[0]
	default:
		claims[claimAudience] = t.Audience
	}
	for name, at := range map[int64]time.Time{claimIssuedAt: t.IssuedAt, claimNotBefore: t.NotBefore, claimExpiry: t.Expiry} {
		if !at.IsZero() {
			claims[name] = at.Unix()
		}
	}
	return h.object(claims, t.Decoys)
}

// cborKey makes one of the integers that stand for one number.
func cborKey(name any) any {
	if n, ok := name.(int); ok {
		return int64(n)
	}
	return name
}

// disclose makes a disclosure of what content returns behind the salt, and its digest.
func (h *cborHiding) disclose(content ...any) (hash []byte, err error) {
	salt, err := h.salt()
	if err != nil {
		return nil, err
	}
	if len(content) > 0 {
		if content[0], err = h.value(content[0]); err != nil {
			return nil, err
		}
	}
	encoded, err := encodeCBOR(append([]any{salt}, content...))
	if err != nil {
		return nil, err
	}
	h.disclosures = append(h.disclosures, encoded)
	return digestCWT(crypto.SHA256, encoded), nil
}

func (h *cborHiding) value(value any) (any, error) {
	switch v := value.(type) {
	case map[any]any:
		return h.object(v, 0)
	case map[string]any:
		members := make(map[any]any)
		for name, member := range v {
			members[name] = member
		}
		return h.object(members, 0)
	case []any:
		elements := make([]any, 0, len(v))
		for _, element := range v {
			hidden, is := element.(Hidden)
			var err error
			if !is {
				element, err = h.value(element)
			} else {
				var hash []byte
				hash, err = h.disclose(hidden.Value)
				element = cbor.Tag{Number: tagHiddenElement, Content: hash}
			}
			if err != nil {
				return nil, err
			}
			elements = append(elements, element)
		}
		return elements, nil
	case Hidden:
		return nil, errors.New("webtoken: a Hidden is neither in a map nor in an array")
	}
	return value, nil
}

// object is that of jsonHiding. Decoys have disclosures as well, so that the holder sees that they are some.
func (h *cborHiding) object(members map[any]any, decoys int) (map[any]any, error) {
	object := make(map[any]any)
	var digests []string
	names := slices.SortedFunc(maps.Keys(members), func(a, b any) int { return cmp.Compare(fmt.Sprintf("%T%v", a, a), fmt.Sprintf("%T%v", b, b)) })
	for _, name := range names {
		hidden, is := members[name].(Hidden)
		key := cborKey(name)
		if err := verifyMapKey(key); err != nil {
			return nil, err
		}
		var err error
		if !is {
			object[key], err = h.value(members[name])
		} else {
			var hash []byte
			hash, err = h.disclose(hidden.Value, key)
			digests = append(digests, string(hash))
		}
		if err != nil {
			return nil, err
		}
	}
	for range decoys {
		hash, err := h.disclose()
		if err != nil {
			return nil, err
		}
		digests = append(digests, string(hash))
	}
	slices.Sort(digests)
	var list [][]byte
	for _, digest := range digests {
		list = append(list, []byte(digest))
	}
	if len(list) > 0 {
		object[hiddenKeys] = list
	}
	return object, nil
}

// publicJWK returns the JWK of a holder's key.
func publicJWK(key crypto.PublicKey) (*jose.JSONWebKey, error) {
	if _, err := holderAlgorithms(key); err != nil {
		return nil, err
	}
	return &jose.JSONWebKey{Key: key}, nil
}

// A randomized signer takes randomness from where it is told, and is told the hash.
type randomized struct {
	crypto.Signer
	rand io.Reader // nil: as it is asked to
}

func (r randomized) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if r.rand != nil {
		random = r.rand
	}
	if o == nil { // go-cose has hashed for ECDSA and does not say how, which tokens and agents want to know
		o = map[int]crypto.Hash{crypto.SHA256.Size(): crypto.SHA256, crypto.SHA384.Size(): crypto.SHA384, crypto.SHA512.Size(): crypto.SHA512}[len(digest)]
	}
	return r.Signer.Sign(random, digest, o)
}

// signJWT signs claims. random may be nil.
func signJWT(signer crypto.Signer, random io.Reader, headers map[jose.HeaderKey]any, claims any) (string, error) {
	if signer == nil {
		return "", fmt.Errorf("%w: there is no Signer", ErrKeyKind)
	}
	algorithms, err := issuerAlgorithms(signer.Public())
	if err != nil {
		return "", err
	}
	key := jose.SigningKey{Algorithm: algorithms.jose[0], Key: cryptosigner.Opaque(randomized{signer, random})}
	s, err := jose.NewSigner(key, &jose.SignerOptions{ExtraHeaders: headers})
	if err != nil {
		return "", fmt.Errorf("webtoken: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("webtoken: encoding claims: %w", err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("webtoken: signing: %w", err)
	}
	return signed.CompactSerialize()
}

// signCWT signs claims. random may be nil.
func signCWT(signer crypto.Signer, random io.Reader, headers cose.Headers, claims any) ([]byte, error) {
	if signer == nil {
		return nil, fmt.Errorf("%w: there is no Signer", ErrKeyKind)
	}
	algorithm, err := coseAlgorithm(signer.Public())
	if err != nil {
		return nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	s, err := cose.NewSigner(algorithm, randomized{signer, random})
	if err != nil {
		return nil, fmt.Errorf("webtoken: %w", err)
	}
	payload, err := encodeCBOR(claims)
	if err != nil {
		return nil, err
	}
	headers.Protected.SetAlgorithm(algorithm)
	signed, err := cose.Sign1(random, s, headers, payload, nil)
	if err != nil {
		return nil, fmt.Errorf("webtoken: signing: %w", err)
	}
	return signed, nil
}

// coseAlgorithm returns the algorithm to sign with: by the name that all implementations have.
func coseAlgorithm(key crypto.PublicKey) (cose.Algorithm, error) {
	algorithms, err := issuerAlgorithms(key)
	if err != nil {
		return 0, err
	}
	var known []cose.Algorithm
	for _, a := range algorithms.cose {
		known = append(known, a)
	}
	return slices.Max(known), nil // PS256 before PS512
}

// cborEncoding sorts the names in maps.
var cborEncoding = func() cbor.EncMode {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

func encodeCBOR(v any) ([]byte, error) {
	encoded, err := cborEncoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("webtoken: encoding claims: %w", err)
	}
	return encoded, nil
}
