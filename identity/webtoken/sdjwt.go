package webtoken

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/mendlink/mendlink/mls"
)

// typKeyBinding is the typ of key binding JWTs, which an issuer's JWT must not have.
const typKeyBinding = "kb+jwt"

// parseSDJWT reads an SD-JWT with key binding. RFC 9901, Section 7.
func parseSDJWT(t *mls.SDJWT) (*parsed, error) {
	if t == nil {
		return nil, ErrToken
	}
	size := len(t.Serialized) + len(t.Protected) + len(t.Payload) + len(t.Signature) + len(t.KeyBinding)
	for _, d := range t.Disclosures {
		size += len(d)
	}
	if size > maxToken || len(t.Disclosures) > maxDisclosures || bytes.Count(t.Serialized, tilde) > maxDisclosures+1 {
		return nil, fmt.Errorf("%w: SD-JWT of %d octets, want %d and %d disclosures at the most", ErrLimit, size, maxToken, maxDisclosures)
	}
	text, err := t.Serialize()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	parts := bytes.Split(text.Serialized, tilde)
	jwt, disclosures, keyBinding := parts[0], parts[1:len(parts)-1], parts[len(parts)-1]
	presented := text.Serialized[:len(text.Serialized)-len(keyBinding)]
	p, hash, err := parseIssued(jwt, disclosures)
	if err != nil {
		return nil, err
	}
	signed, header, claims, err := parseJWS(keyBinding)
	if err != nil {
		return nil, fmt.Errorf("key binding: %w", err)
	}
	if typ, err := textOf("typ", header["typ"]); err != nil || mediaType(typ) != typKeyBinding {
		return nil, fmt.Errorf("%w: typ is %v, want %q", ErrBinding, header["typ"], typKeyBinding)
	}
	p.verifyBinding = signed.verify
	return p, p.bind(claims, base64.RawURLEncoding.EncodeToString(digest(hash, presented)))
}

var tilde = []byte("~")

// parseIssued reads an issuer's JWT and puts disclosures in their places. RFC 9901, Section 7.1.
func parseIssued(jwt []byte, disclosures [][]byte) (*parsed, crypto.Hash, error) {
	signed, header, claims, err := parseJWS(jwt)
	if err != nil {
		return nil, 0, err
	}
	p := &parsed{verify: signed.verify, Token: Token{Type: mls.CredentialSDJWT}}
	typ, err := textOf("typ", header["typ"])
	if err != nil {
		return nil, 0, err
	}
	if mediaType(typ) == typKeyBinding {
		return nil, 0, fmt.Errorf("%w: the issuer's JWT is of type %q", ErrToken, typ)
	}
	if _, p.hasKID = header["kid"]; p.hasKID {
		if p.kid, err = textOf("kid", header["kid"]); err != nil {
			return nil, 0, err
		}
	}
	hash, err := hashOfJWT(claims)
	if err != nil {
		return nil, 0, err
	}
	d := newDiscloser(jsonClaims{})
	for _, encoded := range disclosures {
		decoded, err := base64.RawURLEncoding.DecodeString(string(encoded))
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrDisclosure, err)
		}
		var content any
		if err := decodeJSON(decoded, &content); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrDisclosure, err)
		}
		if err := d.add(base64.RawURLEncoding.EncodeToString(digest(hash, encoded)), content); err != nil {
			return nil, 0, err
		}
	}
	if err := d.disclose(claims); err != nil {
		return nil, 0, err
	}
	p.claims = claims
	return p, hash, p.readJWT(claims)
}

// readJWT reads the claims that this package knows.
func (p *parsed) readJWT(claims map[string]any) (err error) {
	var all [7]error
	p.Issuer, all[0] = textOf("iss", claims["iss"])
	p.Subject, all[1] = textOf("sub", claims["sub"])
	p.Audience, all[2] = audienceOf(claims["aud"])
	p.Expiry, all[3] = dateOf("exp", claims["exp"])
	p.NotBefore, all[4] = dateOf("nbf", claims["nbf"])
	p.IssuedAt, all[5] = dateOf("iat", claims["iat"])
	p.Key, all[6] = keyOfJWT(claims["cnf"])
	if err := errors.Join(all[:]...); err != nil {
		return err
	}
	return p.nameIssuer()
}

// keyOfJWT returns the key of a cnf. RFC 7800, Section 3.2.
func keyOfJWT(cnf any) (crypto.PublicKey, error) {
	confirmation, ok := cnf.(map[string]any)
	if !ok || confirmation["jwk"] == nil {
		return nil, fmt.Errorf("%w: there is no cnf with a jwk", ErrToken)
	}
	encoded, err := json.Marshal(confirmation["jwk"])
	if err != nil {
		return nil, fmt.Errorf("%w: cnf: %w", ErrToken, err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(encoded); err != nil {
		return nil, fmt.Errorf("%w: cnf: %w", ErrKeyKind, err)
	}
	if !key.Valid() || !key.IsPublic() {
		return nil, fmt.Errorf("%w: cnf has no public key", ErrKeyKind)
	}
	algorithms, err := holderAlgorithms(key.Key)
	if err != nil {
		return nil, fmt.Errorf("cnf: %w", err)
	}
	if key.Algorithm != "" && !slices.Contains(algorithms.jose, jose.SignatureAlgorithm(key.Algorithm)) {
		return nil, fmt.Errorf("%w: cnf is for %q", ErrAlgorithm, key.Algorithm)
	}
	return key.Key, nil
}

// bind reads the claims of a key binding JWT, which is for the token whose hash is given. RFC 9901,
// Section 4.3.
func (p *parsed) bind(claims map[string]any, hash string) (err error) {
	var all [5]error
	b := &p.binding
	b.audience, all[0] = textOf("aud", claims["aud"])
	b.nonce, all[1] = textOf("nonce", claims["nonce"])
	b.issuedAt, all[2] = dateOf("iat", claims["iat"])
	b.notBefore, all[3] = dateOf("nbf", claims["nbf"])
	b.expiry, all[4] = dateOf("exp", claims["exp"])
	if err := errors.Join(all[:]...); err != nil {
		return fmt.Errorf("%w: %w", ErrBinding, err)
	}
	if b.audience == "" || b.nonce == "" || b.issuedAt.IsZero() {
		return fmt.Errorf("%w: aud is %q, nonce %q and iat %v, want all three", ErrBinding, b.audience, b.nonce, claims["iat"])
	}
	if claims["sd_hash"] != hash {
		return fmt.Errorf("%w: sd_hash is %v, that of the token %s", ErrBinding, claims["sd_hash"], hash)
	}
	return nil
}

// A signedJWT has been read, and not verified.
type signedJWT struct{ signed *jose.JSONWebSignature }

// parseJWS reads a JWT: its header and its claims.
func parseJWS(jwt []byte) (s signedJWT, header, claims map[string]any, err error) {
	fail := func(err error) (signedJWT, map[string]any, map[string]any, error) { return s, nil, nil, err }
	protected, rest, _ := bytes.Cut(jwt, []byte("."))
	decoded, err := base64.RawURLEncoding.DecodeString(string(protected))
	if err != nil {
		return fail(fmt.Errorf("%w: header: %w", ErrToken, err))
	}
	if err := decodeJSON(decoded, &header); err != nil {
		return fail(fmt.Errorf("header: %w", err))
	}
	if _, critical := header["crit"]; critical {
		return fail(fmt.Errorf("%w: the header says crit, of which nothing is known here", ErrToken))
	}
	payload, _, _ := bytes.Cut(rest, []byte("."))
	if decoded, err = base64.RawURLEncoding.DecodeString(string(payload)); err != nil {
		return fail(fmt.Errorf("%w: claims: %w", ErrToken, err))
	}
	if err := decodeJSON(decoded, &claims); err != nil {
		return fail(fmt.Errorf("claims: %w", err))
	}
	s.signed, err = jose.ParseSignedCompact(string(jwt), all)
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return fail(fmt.Errorf("%w: %q", ErrAlgorithm, unexpected.Got))
	}
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrToken, err))
	}
	return s, header, claims, nil
}

// verify checks the signature. The algorithm has to be the key's.
func (s signedJWT) verify(key crypto.PublicKey, a algorithms) error {
	if algorithm := jose.SignatureAlgorithm(s.signed.Signatures[0].Protected.Algorithm); !slices.Contains(a.jose, algorithm) {
		return fmt.Errorf("%w: %q, want one of %q", ErrAlgorithm, algorithm, a.jose)
	}
	if _, err := s.signed.Verify(key); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// hashOfJWT returns the hash of disclosures, and takes it out of the claims. RFC 9901, Section 4.1.1.
func hashOfJWT(claims map[string]any) (crypto.Hash, error) {
	name, there := claims["_sd_alg"]
	delete(claims, "_sd_alg")
	if !there {
		return crypto.SHA256, nil
	}
	for hash, known := range hashNames {
		if name == known {
			return hash, nil
		}
	}
	return 0, fmt.Errorf("%w: _sd_alg is %v", ErrAlgorithm, name)
}

// hashNames are those of the Named Information registry.
var hashNames = map[crypto.Hash]string{crypto.SHA256: "sha-256", crypto.SHA384: "sha-384", crypto.SHA512: "sha-512"}

func digest(hash crypto.Hash, data []byte) []byte {
	h := hash.New()
	h.Write(data)
	return h.Sum(nil)
}

// decodeJSON decodes JSON in which no name is there twice, nor anything behind it.
func decodeJSON(data []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.SetNumberType(json.UnmarshalJSONNumber)
	if err := decoder.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something comes behind the JSON", ErrToken)
	}
	return nil
}
