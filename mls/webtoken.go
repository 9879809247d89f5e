package mls

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// The credential types of draft-mahy-mls-sd-cwt-credential-02: web tokens of which the holder
// discloses what it chooses, and which are bound to its key. Package mls carries them; the module
// identity/webtoken makes and verifies them. A group takes them once its members list them among the
// Credentials of their [Capabilities].
const (
	CredentialSDCWT CredentialType = 0x0005
	CredentialSDJWT CredentialType = 0x0006
)

// ErrSDJWT means that something is not an SD-JWT with key binding.
var ErrSDJWT = errors.New("mls: not an SD-JWT with key binding")

// SDCWTCredential returns a credential of type sd_cwt. sdKBT is the key binding token, tag included,
// with the SD-CWT in its protected header.
func SDCWTCredential(sdKBT []byte) Credential {
	return Credential{Type: CredentialSDCWT, Data: sdKBT}
}

// SDJWTCredential returns a credential of type sd_jwt.
func SDJWTCredential(token SDJWT) Credential {
	return Credential{Type: CredentialSDJWT, SDJWT: &token}
}

// An SDJWT is an SD-JWT with key binding (SD-JWT+KB), in one of two forms. Which fields are set
// depends on Compacted. draft-mahy-mls-sd-cwt-credential, Section 3.2; RFC 9901, Section 4.
type SDJWT struct {
	// Serialized is the token that is not compacted:
	//
	//	<issuer-signed JWT>~<disclosure 1>~...~<disclosure N>~<key binding JWT>
	Serialized []byte

	// Compacted tells of the form without base64url, which is a quarter shorter.
	Compacted bool
	// Protected, Payload and Signature are the parts of the issuer-signed JWT, decoded.
	Protected, Payload, Signature []byte
	// Disclosures are the disclosures, decoded.
	Disclosures [][]byte
	// KeyBinding is the key binding JWT with its two dots as it stands in the other form. The draft
	// has one field for its three parts, which could not be told apart if they were decoded.
	KeyBinding []byte
}

// ParseSDJWT returns the token whose serialization is text, not compacted. An error matches
// [ErrSDJWT]. That the parts are of base64url is checked, what they say is not. It keeps text.
func ParseSDJWT(text []byte) (SDJWT, error) {
	t := SDJWT{Serialized: text}
	_, err := t.Compact()
	return t, err
}

// Compact returns the token in its compacted form, itself if it is in that. An error matches
// [ErrSDJWT]: only what [SDJWT.Serialize] gives back to the octet can be compacted.
func (t *SDJWT) Compact() (SDJWT, error) {
	if t.Compacted {
		return *t, t.verify()
	}
	parts := bytes.Split(t.Serialized, tilde)
	if len(parts) < 2 {
		return SDJWT{}, fmt.Errorf("%w: no tilde between the issuer-signed JWT and the key binding", ErrSDJWT)
	}
	jwt, disclosures, keyBinding := parts[0], parts[1:len(parts)-1], parts[len(parts)-1]
	decoded, err := decodeJWT(jwt)
	if err != nil {
		return SDJWT{}, fmt.Errorf("%w: the issuer-signed JWT: %w", ErrSDJWT, err)
	}
	c := SDJWT{Compacted: true, Protected: decoded[0], Payload: decoded[1], Signature: decoded[2], KeyBinding: keyBinding}
	for i, encoded := range disclosures {
		disclosure, err := decodeBase64URL(encoded)
		if err != nil {
			return SDJWT{}, fmt.Errorf("%w: disclosure %d: %w", ErrSDJWT, i, err)
		}
		c.Disclosures = append(c.Disclosures, disclosure)
	}
	return c, c.verify()
}

// Serialize returns the token in the form that is not compacted, itself if it is in that. An
// error matches [ErrSDJWT].
func (t *SDJWT) Serialize() (SDJWT, error) {
	if err := t.verify(); err != nil {
		return SDJWT{}, err
	}
	if !t.Compacted {
		return *t, nil
	}
	text := appendBase64URL(nil, t.Protected)
	text = appendBase64URL(append(text, dot...), t.Payload)
	text = appendBase64URL(append(text, dot...), t.Signature)
	for _, disclosure := range t.Disclosures {
		text = appendBase64URL(append(text, tilde...), disclosure)
	}
	text = append(append(text, tilde...), t.KeyBinding...)
	return SDJWT{Serialized: text}, nil
}

// verify checks that there are a JWT of the issuer's, disclosures that are not empty, and a key binding JWT.
// The parts of the latter two are of base64url. draft-mahy-mls-sd-cwt-credential, Section 3.2.
func (t *SDJWT) verify() error {
	if !t.Compacted {
		_, err := t.Compact()
		return err
	}
	if len(t.Protected) == 0 || len(t.Payload) == 0 || len(t.Signature) == 0 {
		return fmt.Errorf("%w: the issuer-signed JWT has parts of %d, %d and %d octets, want none to be empty",
			ErrSDJWT, len(t.Protected), len(t.Payload), len(t.Signature))
	}
	if slices.ContainsFunc(t.Disclosures, func(d []byte) bool { return len(d) == 0 }) {
		return fmt.Errorf("%w: a disclosure is empty", ErrSDJWT)
	}
	if _, err := decodeJWT(t.KeyBinding); err != nil {
		return fmt.Errorf("%w: the key binding JWT: %w", ErrSDJWT, err)
	}
	return nil
}

// Equal reports whether two tokens are the same to the byte, form included. A nil token is an empty
// one.
func (t *SDJWT) Equal(o *SDJWT) bool {
	if t == nil || o == nil {
		return t == o || t.isEmpty() && o.isEmpty()
	}
	return t.Compacted == o.Compacted && bytes.Equal(t.Serialized, o.Serialized) && bytes.Equal(t.Protected, o.Protected) &&
		bytes.Equal(t.Payload, o.Payload) && bytes.Equal(t.Signature, o.Signature) &&
		slices.EqualFunc(t.Disclosures, o.Disclosures, bytes.Equal) && bytes.Equal(t.KeyBinding, o.KeyBinding)
}

func (t *SDJWT) isEmpty() bool { return t == nil || !t.Compacted && len(t.Serialized) == 0 }

// encode writes the form that t is in.
func (t *SDJWT) encode(w *wire.Writer) {
	if t == nil {
		t = &SDJWT{}
	}
	w.Optional(t.Compacted) // the draft's Bool has the same two octets
	if !t.Compacted {
		w.Opaque(t.Serialized)
		return
	}
	w.Opaque(t.Protected)
	w.Opaque(t.Payload)
	w.Opaque(t.Signature)
	w.Vector(func() {
		for _, disclosure := range t.Disclosures {
			w.Opaque(disclosure)
		}
	})
	w.Opaque(t.KeyBinding)
}

func (t *SDJWT) decode(r *wire.Reader) {
	if t.Compacted = r.Optional(); !t.Compacted {
		t.Serialized = r.Opaque()
		return
	}
	t.Protected = r.Opaque()
	t.Payload = r.Opaque()
	t.Signature = r.Opaque()
	r.Vector(func(r *wire.Reader) { t.Disclosures = append(t.Disclosures, r.Opaque()) })
	t.KeyBinding = r.Opaque()
}

// fields returns where the octets of t are, for detach.
func (t *SDJWT) fields() []*[]byte {
	if t == nil {
		return nil
	}
	fields := []*[]byte{&t.Serialized, &t.Protected, &t.Payload, &t.Signature, &t.KeyBinding}
	for i := range t.Disclosures {
		fields = append(fields, &t.Disclosures[i])
	}
	return fields
}

// verifyWebToken checks the form of a web token. What it says is for the Authentication Service.
func (c *Credential) verifyWebToken() error {
	if c.Type != CredentialSDJWT {
		return nil
	}
	t := c.SDJWT
	if t == nil {
		t = &SDJWT{}
	}
	if err := t.verify(); err != nil {
		return invalid(CheckCredentialSDJWT, "%w", err)
	}
	return nil
}

// What stands between the parts of a serialized token.
var (
	tilde = []byte("~")
	dot   = []byte(".")
)

// decodeJWT returns the three parts of a JWT, none of them empty.
func decodeJWT(jwt []byte) (parts [3][]byte, err error) {
	if dots := bytes.Count(jwt, dot); dots != len(parts)-1 {
		return parts, fmt.Errorf("%d dots, want %d", dots, len(parts)-1)
	}
	encoded := bytes.Split(jwt, dot)
	for i := range parts {
		if parts[i], err = decodeBase64URL(encoded[i]); err != nil {
			return parts, fmt.Errorf("part %d: %w", i, err)
		}
		if len(parts[i]) == 0 {
			return parts, fmt.Errorf("part %d is empty", i)
		}
	}
	return parts, nil
}

// decodeBase64URL decodes what appendBase64URL writes, and nothing else: no padding, no line
// breaks, no bits that do not count.
func decodeBase64URL(encoded []byte) ([]byte, error) {
	decoded, err := base64.RawURLEncoding.AppendDecode(nil, encoded)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(appendBase64URL(nil, decoded), encoded) {
		return nil, errors.New("not what base64url writes")
	}
	return decoded, nil
}

func appendBase64URL(b, data []byte) []byte { return base64.RawURLEncoding.AppendEncode(b, data) }
