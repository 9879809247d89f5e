package webtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

const (
	issuerName = "https://issuer.example"
	audience   = "mesh"
)

// testTime is when all tokens of the tests are shown.
var testTime = time.Unix(1_800_000_000, 0)

func atTestTime() time.Time { return testTime }

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// signers are one of each kind of key that MLS and tokens have in common.
func signers(t testing.TB) map[string]crypto.Signer {
	return map[string]crypto.Signer{
		"Ed25519": newEd25519(t), "P-256": newECDSA(t, elliptic.P256()), "P-384": newECDSA(t, elliptic.P384()), "P-521": newECDSA(t, elliptic.P521()),
	}
}

// trusting returns issuers with one, and its key.
func trusting(t testing.TB, key crypto.PublicKey) *Issuers {
	t.Helper()
	issuers := new(Issuers)
	if err := issuers.Set(issuerName, IssuerKey{"k1", key}); err != nil {
		t.Fatal(err)
	}
	return issuers
}

// jwks returns a JWK Set with one key.
func jwks(t testing.TB, key jose.JSONWebKey) string {
	t.Helper()
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	if err != nil {
		t.Fatal(err)
	}
	return string(set)
}

// encoded returns a key as it stands in a leaf.
func encoded(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	b, err := identity.EncodePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustValidator(t testing.TB, o Options) *Validator {
	t.Helper()
	v, err := NewValidator(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func leafOf(t testing.TB, id mls.Identity) *mls.LeafNode {
	t.Helper()
	return &mls.LeafNode{Credential: id.Credential, SignatureKey: encoded(t, id.Signer.Public())}
}

// template is a token of an hour for a holder.
func template(holder crypto.PublicKey) Template {
	return Template{Subject: "db-7", Holder: holder, IssuedAt: testTime.Add(-time.Minute), Expiry: testTime.Add(time.Hour)}
}

// issue has a token issued, of either type.
func issue(t testing.TB, i *Issuer, kind mls.CredentialType, template Template) Issued {
	t.Helper()
	issue := i.SDJWT
	if kind == mls.CredentialSDCWT {
		issue = i.SDCWT
	}
	issued, err := issue(template)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func present(t testing.TB, issued Issued, o PresentOptions) mls.Identity {
	t.Helper()
	if o.Audience == "" {
		o.Audience = audience
	}
	if o.Now == nil {
		o.Now = atTestTime
	}
	id, err := Present(issued, o)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A forger makes tokens by hand, whatever is wrong with them. What it signs is Ed25519.
type forger struct {
	t              testing.TB
	issuer, holder ed25519.PrivateKey
}

func newForger(t testing.TB) *forger { return &forger{t, newEd25519(t), newEd25519(t)} }

func base64URL(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// A forgedJWT is an SD-JWT with key binding before it is signed.
type forgedJWT struct {
	header, claims   map[string]any
	disclosures      []string       // decoded
	header2, claims2 map[string]any // of the key binding; without an sd_hash it gets the right one
	issuer, holder   ed25519.PrivateKey
	rawClaims        string // instead of claims
	change           func(text string) string
	change2          func(keyBinding string) string
	hash             crypto.Hash
	leaf             []byte
}

// jwt returns a token that is in order.
func (f *forger) jwt() *forgedJWT {
	key, err := publicJWK(f.holder.Public())
	if err != nil {
		f.t.Fatal(err)
	}
	return &forgedJWT{
		header:  map[string]any{"alg": "EdDSA", "typ": "sd+jwt", "kid": "k1"},
		claims:  map[string]any{"iss": issuerName, "sub": "db-7", "iat": testTime.Unix() - 60, "exp": testTime.Unix() + 3600, "cnf": map[string]any{"jwk": key}},
		header2: map[string]any{"alg": "EdDSA", "typ": "kb+jwt"},
		claims2: map[string]any{"aud": audience, "nonce": "n", "iat": testTime.Unix()},
		issuer:  f.issuer, holder: f.holder, hash: crypto.SHA256, leaf: encoded(f.t, f.holder.Public()),
	}
}

// hide adds a disclosure and returns its digest.
func (j *forgedJWT) hide(content string) string {
	j.disclosures = append(j.disclosures, content)
	return base64URL(digest(j.hash, []byte(base64URL([]byte(content)))))
}

func (f *forger) marshal(v any) string {
	f.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

func signText(key ed25519.PrivateKey, header, claims string) string {
	signed := base64URL([]byte(header)) + "." + base64URL([]byte(claims))
	return signed + "." + base64URL(ed25519.Sign(key, []byte(signed)))
}

// text returns the serialized token.
func (f *forger) text(j *forgedJWT) string {
	f.t.Helper()
	claims := j.rawClaims
	if claims == "" {
		claims = f.marshal(j.claims)
	}
	token := signText(j.issuer, f.marshal(j.header), claims) + "~"
	for _, d := range j.disclosures {
		token += base64URL([]byte(d)) + "~"
	}
	if _, given := j.claims2["sd_hash"]; !given {
		j.claims2["sd_hash"] = base64URL(digest(j.hash, []byte(token)))
	}
	keyBinding := signText(j.holder, f.marshal(j.header2), f.marshal(j.claims2))
	if j.change2 != nil {
		keyBinding = j.change2(keyBinding)
	}
	if j.change != nil {
		return j.change(token + keyBinding)
	}
	return token + keyBinding
}

func (f *forger) leafOfJWT(j *forgedJWT) *mls.LeafNode {
	return &mls.LeafNode{Credential: mls.SDJWTCredential(mls.SDJWT{Serialized: []byte(f.text(j))}), SignatureKey: j.leaf}
}

// A forgedCWT is an SD-CWT with key binding before it is signed.
type forgedCWT struct {
	header, unprotected, claims map[any]any
	disclosures                 [][]byte
	header2, claims2            map[any]any // of the key binding
	rawClaims                   []byte      // instead of claims
	issuer, holder              ed25519.PrivateKey
	change                      func(sdKBT []byte) []byte
	leaf                        []byte
}

func (f *forger) cwt() *forgedCWT {
	public := f.holder.Public().(ed25519.PublicKey)
	return &forgedCWT{
		header:      map[any]any{1: -8, 4: []byte("k1"), 16: 293},
		unprotected: map[any]any{},
		claims: map[any]any{1: issuerName, 2: "db-7", 6: testTime.Unix() - 60, 4: testTime.Unix() + 3600,
			8: map[any]any{1: map[any]any{1: 1, -1: 6, -2: []byte(public)}}},
		header2: map[any]any{1: -8, 16: 294},
		claims2: map[any]any{3: audience, 6: testTime.Unix()},
		issuer:  f.issuer, holder: f.holder, leaf: encoded(f.t, public),
	}
}

func (f *forger) cbor(v any) []byte {
	f.t.Helper()
	data, err := cbor.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

// hide adds a disclosure and returns its digest.
func (f *forger) hide(c *forgedCWT, content ...any) []byte {
	encoded := f.cbor(content)
	c.disclosures = append(c.disclosures, encoded)
	return digestCWT(crypto.SHA256, encoded)
}

// salt is that of all forged disclosures: who forges does not hide.
var salt = []byte(strings.Repeat("s", saltSize))

func (f *forger) sign1(key ed25519.PrivateKey, header, unprotected any, payload []byte) []byte {
	f.t.Helper()
	protected := f.cbor(header)
	signature := ed25519.Sign(key, f.cbor([]any{"Signature1", protected, []byte{}, payload}))
	return f.cbor(cbor.Tag{Number: 18, Content: []any{protected, unprotected, payload, signature}})
}

func (f *forger) octets(c *forgedCWT) []byte {
	f.t.Helper()
	if len(c.disclosures) > 0 {
		c.unprotected[17] = c.disclosures
	}
	payload := c.rawClaims
	if payload == nil {
		payload = f.cbor(c.claims)
	}
	if _, given := c.header2[13]; !given {
		c.header2[13] = cbor.RawMessage(f.sign1(c.issuer, c.header, c.unprotected, payload))
	}
	sdKBT := f.sign1(c.holder, c.header2, map[any]any{}, f.cbor(c.claims2))
	if c.change != nil {
		return c.change(sdKBT)
	}
	return sdKBT
}

func (f *forger) leafOfCWT(c *forgedCWT) *mls.LeafNode {
	return &mls.LeafNode{Credential: mls.SDCWTCredential(f.octets(c)), SignatureKey: c.leaf}
}
