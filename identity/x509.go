package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// X509Options say which certificates an [X509] accepts.
type X509Options struct {
	// RootsFor returns the authorities to trust for an end-entity certificate: that of a
	// [Live] or of a [TrustBundle]. It is called each time. Required.
	RootsFor func(leaf *x509.Certificate) (*x509.CertPool, error)
	// Names says whose certificates are accepted: [ServerName], [SPIFFE], [AnyOf] or
	// [AnyName]. Required.
	Names NameRule
	// KeyUsages are the extended key usages of which a chain has to allow one. Default: client
	// or server authentication.
	KeyUsages []x509.ExtKeyUsage
	// Revoked returns an error for a chain of which a certificate is not to be trusted any more:
	// that of a [Live], or [Revoked.Check]. Default: nothing is revoked.
	Revoked func(chain []*x509.Certificate) error
	// Successor returns an error unless a peer with the certificate before may go on with the
	// certificate after. Default: both have the same SPIFFE ID or, if the first has none, the same
	// alternative names or, if neither has any, the same subject.
	Successor func(before, after *x509.Certificate) error
	// Now returns the current time. Default: time.Now.
	Now func() time.Time
}

// X509 permits the peers that show a certificate chain which leads to a trusted root today,
// is for an accepted name, and of which nothing is revoked. A certificate that takes the place of
// another within a session has to be the same peer's.
//
// Errors match those of [mls.X509AuthenticationService], [ErrName], [ErrRevoked] or
// [ErrNoRoots]. An X509 keeps nothing of what it has seen, so that it decides by what
// RootsFor and Revoked say at the moment, and is safe for concurrent use.
type X509 struct{ options X509Options }

var _ mls.AuthenticationService = (*X509)(nil)

// NewX509Validator returns a validator. An error says what is missing from the options.
func NewX509Validator(o X509Options) (*X509, error) {
	if o.RootsFor == nil || o.Names == nil {
		return nil, errors.New("identity: X509Options needs RootsFor and Names")
	}
	if o.Revoked == nil {
		o.Revoked = (*Revoked)(nil).Check
	}
	if o.Successor == nil {
		o.Successor = samePeer
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &X509{o}, nil
}

// ValidateLeaf permits or refuses a leaf. The certificate of previous may be expired.
// RFC 9420, Section 5.3.1.
func (v *X509) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	certificate, err := endEntity(&leaf.Credential)
	if err != nil {
		return err
	}
	roots, err := v.options.RootsFor(certificate)
	if err != nil {
		return err
	}
	service := mls.X509AuthenticationService{
		Roots:      func() *x509.CertPool { return roots },
		Now:        v.options.Now,
		KeyUsages:  v.options.KeyUsages,
		Verify:     v.verify,
		SameClient: v.options.Successor,
	}
	return service.ValidateLeaf(leaf, previous)
}

// verify decides about chains that lead to a root: one of which nothing is revoked is
// enough.
func (v *X509) verify(chains [][]*x509.Certificate) error {
	if err := v.options.Names(chains[0][0]); err != nil {
		return err
	}
	var revoked error
	for _, chain := range chains {
		err := v.options.Revoked(chain)
		if err == nil {
			return nil
		}
		revoked = errors.Join(revoked, err)
	}
	return revoked
}

// maxCertificate bounds the certificate that is looked at first, in octets. All of a chain
// are bounded by package mls.
const maxCertificate = 1 << 16

// endEntity returns the first certificate of a credential, which nobody has verified.
func endEntity(c *mls.Credential) (*x509.Certificate, error) {
	if c.Type != mls.CredentialX509 {
		return nil, fmt.Errorf("%w: %#04x, want %#04x (x509)", mls.ErrCredentialType, uint16(c.Type), uint16(mls.CredentialX509))
	}
	if len(c.Certificates) == 0 || len(c.Certificates[0]) > maxCertificate {
		return nil, fmt.Errorf("%w: %d certificates, want at least one, of %d octets at the most", mls.ErrCertificateChain, len(c.Certificates), maxCertificate)
	}
	certificate, err := x509.ParseCertificate(c.Certificates[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mls.ErrCertificateChain, err)
	}
	return certificate, nil
}

// samePeer returns an error that matches [mls.ErrOtherClient] unless two certificates are
// one peer's.
func samePeer(before, after *x509.Certificate) error {
	if !hasSPIFFEID(before) {
		return mls.SameSubject(before, after)
	}
	old, err := SPIFFEIDOf(before)
	if err != nil {
		return err
	}
	id, err := SPIFFEIDOf(after)
	if err != nil {
		return fmt.Errorf("%w: %w, want %v", mls.ErrOtherClient, err, old)
	}
	if id != old {
		return fmt.Errorf("%w: %v, want %v", mls.ErrOtherClient, id, old)
	}
	return nil
}
