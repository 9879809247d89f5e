package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// CredentialType says how a [Credential] names its holder. RFC 9420, Section 17.5.
type CredentialType uint16

// The credential types of RFC 9420.
const (
	CredentialBasic CredentialType = 1
	CredentialX509  CredentialType = 2
)

// A Credential binds a member's identity to its signature key.
// Which of the fields is set depends on Type. RFC 9420, Section 5.3.
type Credential struct {
	Type CredentialType
	// Identity is the bare identity of a basic credential.
	Identity []byte
	// Certificates is the chain of an X.509 credential in DER, the end-entity
	// certificate first.
	Certificates [][]byte
	// SDJWT is the token of an sd_jwt credential.
	SDJWT *SDJWT
	// Data is the content of a credential of any other type, which is taken
	// to be one opaque<V>, as those of all registered types are.
	Data []byte
}

// BasicCredential returns a credential that is a bare, unattested identity.
func BasicCredential(identity []byte) Credential {
	return Credential{Type: CredentialBasic, Identity: identity}
}

// Equal reports whether two credentials are the same to the byte.
func (c Credential) Equal(o Credential) bool {
	return c.Type == o.Type && bytes.Equal(c.Identity, o.Identity) && bytes.Equal(c.Data, o.Data) &&
		slices.EqualFunc(c.Certificates, o.Certificates, bytes.Equal) && c.SDJWT.Equal(o.SDJWT)
}

// Marshal returns the encoding of a credential, as it stands in a leaf. RFC 9420, Section 5.3.
func (c *Credential) Marshal() []byte { return marshal(c) }

// ParseCredential reads what [Credential.Marshal] wrote.
func ParseCredential(encoded []byte) (c Credential, err error) {
	if err := unmarshal(encoded, &c); err != nil {
		return Credential{}, fmt.Errorf("mls: parsing a credential: %w", err)
	}
	return c, nil
}

func (c *Credential) encode(w *wire.Writer) {
	w.Uint16(uint16(c.Type))
	switch c.Type {
	case CredentialBasic:
		w.Opaque(c.Identity)
	case CredentialX509:
		w.Vector(func() {
			for _, der := range c.Certificates {
				w.Opaque(der)
			}
		})
	case CredentialSDJWT:
		c.SDJWT.encode(w)
	default:
		w.Opaque(c.Data)
	}
}

func (c *Credential) decode(r *wire.Reader) {
	c.Type = CredentialType(r.Uint16())
	switch c.Type {
	case CredentialBasic:
		c.Identity = r.Opaque()
	case CredentialX509:
		r.Vector(func(r *wire.Reader) { c.Certificates = append(c.Certificates, r.Opaque()) })
	case CredentialSDJWT:
		c.SDJWT = new(SDJWT)
		c.SDJWT.decode(r)
	default:
		c.Data = r.Opaque()
	}
}
