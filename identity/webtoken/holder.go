package webtoken

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fxamacker/cbor/v2"
	jose "github.com/go-jose/go-jose/v4"
	"github.com/veraison/go-cose"

	"github.com/mendlink/mendlink/mls"
)

// A Disclosure is something that a holder can disclose: a member of a map, which has a name, or an element of an
// array, whose Name is nil.
type Disclosure struct {
	Name  any // a string, or in an SD-CWT an int64
	Value any // with what is hidden within as digests
}

// PresentOptions say how a holder shows a token.
type PresentOptions struct {
	// Signer is the key that the token is for, and that signs in MLS. Required.
	Signer crypto.Signer
	// Audience is whom the key binding is for: see [Options.Audiences]. Required.
	Audience string
	// Disclose says what is disclosed. What is hidden in something else can be disclosed only together with
	// it. Default: nothing is.
	Disclose func(Disclosure) bool
	// Nonce is that of the key binding. Default: 16 octets of randomness, of an SD-JWT in base64url.
	Nonce string
	// Expiry is when the key binding expires. Default: with the token.
	Expiry time.Time
	// Serialized leaves an SD-JWT as it is, rather than to compact it.
	Serialized bool
	// Now returns the current time. Default: time.Now.
	Now func() time.Time
	// Rand is the source of all randomness. Default: crypto/rand.Reader.
	Rand io.Reader
}

// DiscloseAll is a [PresentOptions].Disclose.
func DiscloseAll(Disclosure) bool { return true }

// DiscloseNames returns a [PresentOptions].Disclose for members with these names, wherever they are.
func DiscloseNames(names ...any) func(Disclosure) bool {
	chosen := make(map[any]bool)
	for _, name := range names {
		chosen[cborKey(name)] = true
	}
	return func(d Disclosure) bool { return d.Name != nil && chosen[d.Name] }
}

// Present makes the identity that shows a token: the credential with the chosen disclosures and the key
// binding, and the signer. It checks all that a holder can, but not the issuer's signature. Errors match those of this
// package; that of a choice which leaves out what something is hidden in matches [ErrDisclosure].
func Present(issued Issued, o PresentOptions) (mls.Identity, error) {
	if o.Signer == nil || o.Audience == "" {
		return mls.Identity{}, errors.New("webtoken: PresentOptions needs a Signer and an Audience")
	}
	if o.Disclose == nil {
		o.Disclose = func(Disclosure) bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Nonce == "" {
		nonce := make([]byte, 16)
		if _, err := io.ReadFull(o.Rand, nonce); err != nil {
			return mls.Identity{}, fmt.Errorf("webtoken: reading randomness: %w", err)
		}
		if o.Nonce = string(nonce); issued.Type == mls.CredentialSDJWT {
			o.Nonce = base64.RawURLEncoding.EncodeToString(nonce)
		}
	}
	var credential mls.Credential
	var err error
	switch issued.Type {
	case mls.CredentialSDJWT:
		credential, err = presentSDJWT(issued.Encoded, &o)
	case mls.CredentialSDCWT:
		credential, err = presentSDCWT(issued.Encoded, &o)
	default:
		err = fmt.Errorf("%w: %#04x", mls.ErrCredentialType, uint16(issued.Type))
	}
	if err != nil {
		return mls.Identity{}, err
	}
	p, err := parse(&credential)
	if err != nil {
		return mls.Identity{}, err
	}
	key, err := encodeKey(o.Signer.Public())
	if err != nil {
		return mls.Identity{}, err
	}
	return mls.Identity{Credential: credential, Signer: o.Signer}, p.verifyHolder(key)
}

// presentSDJWT takes an SD-JWT without key binding, or a JWT alone. RFC 9901, Section 7.2.
func presentSDJWT(encoded []byte, o *PresentOptions) (mls.Credential, error) {
	if len(encoded) > maxToken {
		return mls.Credential{}, fmt.Errorf("%w: SD-JWT of %d octets, want %d at the most", ErrLimit, len(encoded), maxToken)
	}
	parts := bytes.Split(bytes.TrimSpace(encoded), tilde)
	jwt, all := parts[0], parts[1:]
	if len(all) > 0 {
		if last := all[len(all)-1]; len(last) > 0 {
			return mls.Credential{}, fmt.Errorf("%w: it has a key binding, or does not end with a tilde", ErrToken)
		}
		all = all[:len(all)-1]
	}
	_, _, claims, err := parseJWS(jwt)
	if err != nil {
		return mls.Credential{}, err
	}
	hash, err := hashOfJWT(claims)
	if err != nil {
		return mls.Credential{}, err
	}
	presented := append(bytes.Clone(jwt), tilde...)
	for _, d := range all {
		decoded, err := base64.RawURLEncoding.DecodeString(string(d))
		if err != nil {
			return mls.Credential{}, fmt.Errorf("%w: %w", ErrDisclosure, err)
		}
		var content any
		if err := decodeJSON(decoded, &content); err != nil {
			return mls.Credential{}, fmt.Errorf("%w: %w", ErrDisclosure, err)
		}
		read, err := jsonClaims{}.read(content)
		if err != nil {
			return mls.Credential{}, err
		}
		if o.Disclose(Disclosure{read.name, read.value}) {
			presented = append(append(presented, d...), tilde...)
		}
	}
	binding := map[string]any{
		"aud": o.Audience, "nonce": o.Nonce, "iat": o.Now().Unix(),
		"sd_hash": base64.RawURLEncoding.EncodeToString(digest(hash, presented)),
	}
	if !o.Expiry.IsZero() {
		binding["exp"] = o.Expiry.Unix()
	}
	keyBinding, err := signJWT(o.Signer, o.Rand, map[jose.HeaderKey]any{"typ": typKeyBinding}, binding)
	if err != nil {
		return mls.Credential{}, err
	}
	token, err := mls.ParseSDJWT(append(presented, keyBinding...))
	if err == nil && !o.Serialized {
		token, err = token.Compact()
	}
	if err != nil {
		return mls.Credential{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return mls.SDJWTCredential(token), nil
}

// presentSDCWT takes an SD-CWT. draft-ietf-spice-sd-cwt, "SD-CWT Presentation".
func presentSDCWT(encoded []byte, o *PresentOptions) (mls.Credential, error) {
	if len(encoded) > maxToken {
		return mls.Credential{}, fmt.Errorf("%w: SD-CWT of %d octets, want %d at the most", ErrLimit, len(encoded), maxToken)
	}
	cwt, err := parseSign1(encoded)
	if err != nil {
		return mls.Credential{}, err
	}
	all, err := disclosuresOf(cwt.unprotected)
	if err != nil {
		return mls.Credential{}, err
	}
	var chosen [][]byte
	for _, d := range all {
		var content any
		if err := decodeCBOR(d, &content); err != nil {
			return mls.Credential{}, fmt.Errorf("%w: %w", ErrDisclosure, err)
		}
		read, err := cborClaims{}.read(content)
		if err != nil {
			return mls.Credential{}, err
		}
		if !read.decoy && o.Disclose(Disclosure{read.name, read.value}) {
			chosen = append(chosen, d)
		}
	}
	token := cwt.message
	token.Headers.RawUnprotected = nil // what is in Unprotected counts
	if delete(token.Headers.Unprotected, headerDisclosures); len(chosen) > 0 {
		token.Headers.Unprotected[headerDisclosures] = chosen
	}
	presented, err := token.MarshalCBOR()
	if err != nil {
		return mls.Credential{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	binding := map[any]any{claimAudience: o.Audience, claimIssuedAt: o.Now().Unix(), claimNonce: []byte(o.Nonce)}
	if !o.Expiry.IsZero() {
		binding[claimExpiry] = o.Expiry.Unix()
	}
	headers := cose.Headers{
		Protected:   cose.ProtectedHeader{headerType: typeKBT, headerToken: cbor.RawMessage(presented)},
		Unprotected: cose.UnprotectedHeader{},
	}
	sdKBT, err := signCWT(o.Signer, o.Rand, headers, binding)
	if err != nil {
		return mls.Credential{}, err
	}
	return mls.SDCWTCredential(sdKBT), nil
}
