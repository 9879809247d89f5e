package mls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	// ErrCertificateChain means that the certificates of a credential are not a
	// chain: one does not parse or does not certify the one before it, or there
	// are none, or more than is accepted.
	ErrCertificateChain = errors.New("mls: not a certificate chain")
	// ErrCertificateKey means that the end-entity certificate is for another
	// key than the one that comes with the credential.
	ErrCertificateKey = errors.New("mls: certificate is for another key")
	// ErrCertificateUse means that a certificate is no end-entity certificate
	// for signing.
	ErrCertificateUse = errors.New("mls: certificate is for another use")
)

// Bounds on what an X.509 credential may make us parse and verify.
const (
	maxCertificates     = 10
	maxCertificateChain = 1 << 16 // octets of DER
	maxRSAKey           = 8192    // bits; what crypto/tls accepts
)

// X509Credential returns a credential of type x509. The first certificate is
// the client's own, for its signature key. Each certifies the one before it.
// Those that all others have, as the root, may be left out. The DER of a
// [crypto/tls.Certificate] can be put into [Credential] as it is.
// RFC 9420, Section 5.3.
func X509Credential(chain ...*x509.Certificate) Credential {
	c := Credential{Type: CredentialX509}
	for _, certificate := range chain {
		c.Certificates = append(c.Certificates, certificate.Raw)
	}
	return c
}

// X509AuthenticationService is an [AuthenticationService] for X.509
// credentials. It accepts a credential if its certificates are a chain that
// leads to one of Roots at this time, if the end-entity certificate is for the
// signature key beside the credential, and if Verify agrees. A credential that
// takes the place of another has to name the same client.
//
// Errors match [ErrCredentialType], [ErrCertificateChain], [ErrCertificateKey],
// [ErrCertificateUse], [ErrOtherClient], [ErrUnsupported] for a kind of key that
// crypto/x509 does not have (Ed448, ML-DSA) or MLS does not (RSA), or what
// [x509.Certificate.Verify] returns, such as an [x509.UnknownAuthorityError] or
// an [x509.CertificateInvalidError]. RFC 9420, Sections 5.3 and 5.3.1.
//
// It can be used from several goroutines at once if its functions can.
type X509AuthenticationService struct {
	// Roots returns the certificates to trust. It is called for each
	// credential, so that they can be replaced while groups live. Required,
	// also its result: the system's roots are not fallen back to.
	Roots func() *x509.CertPool
	// Now returns the current time, as [Config.Now] does. Required.
	Now func() time.Time
	// Intermediates returns certificates that may be left out of credentials.
	// Default: none.
	Intermediates func() *x509.CertPool
	// KeyUsages are the extended key usages of which a chain has to allow one.
	// Default: client or server authentication. RFC 9420 demands none; use
	// [x509.ExtKeyUsageAny] to do so as well.
	KeyUsages []x509.ExtKeyUsage
	// Verify decides further, as on the names in the certificate. chains are
	// the verified ones, chains[i][0] the end-entity certificate. Default:
	// whoever the roots vouch for is accepted.
	Verify func(chains [][]*x509.Certificate) error
	// SameClient returns an error unless a member with the certificate before
	// may go on with the certificate after. Default: [SameSubject].
	SameClient func(before, after *x509.Certificate) error
}

// ValidateLeaf checks a leaf's credential, and that it names whom previous
// named. The certificate of previous may be expired.
func (s *X509AuthenticationService) ValidateLeaf(leaf, previous *LeafNode) error {
	certificate, err := s.verify(&leaf.Credential, leaf.SignatureKey)
	if err != nil || previous == nil {
		return err
	}
	if previous.Credential.Type != CredentialX509 {
		return fmt.Errorf("%w: X.509 certificate after %s", ErrOtherClient, describe(&previous.Credential))
	}
	if previous.Credential.Equal(leaf.Credential) {
		return nil
	}
	before, err := parseChain(&previous.Credential)
	if err != nil {
		return err
	}
	sameClient := s.SameClient
	if sameClient == nil {
		sameClient = SameSubject
	}
	return sameClient(before[0], certificate)
}

// ValidateExternalSender checks the credential of an external sender.
func (s *X509AuthenticationService) ValidateExternalSender(sender *ExternalSender) error {
	_, err := s.verify(&sender.Credential, sender.SignatureKey)
	return err
}

// verify checks a credential against the signature key that comes with it and
// returns its end-entity certificate.
func (s *X509AuthenticationService) verify(c *Credential, signatureKey []byte) (*x509.Certificate, error) {
	if s.Roots == nil || s.Now == nil {
		return nil, errors.New("mls: X509AuthenticationService needs Roots and Now")
	}
	chain, err := parseChain(c)
	if err != nil {
		return nil, err
	}
	certificate := chain[0]
	if err := verifyCertificateKey(certificate, signatureKey); err != nil {
		return nil, err
	}
	if certificate.IsCA {
		return nil, fmt.Errorf("%w: the end-entity certificate of %q is a certificate authority's", ErrCertificateUse, certificate.Subject)
	}
	if usage := certificate.KeyUsage; usage != 0 && usage&x509.KeyUsageDigitalSignature == 0 {
		return nil, fmt.Errorf("%w: key usage of %q is %#x, want digitalSignature", ErrCertificateUse, certificate.Subject, usage)
	}
	if err := verifyChainOrder(chain); err != nil {
		return nil, err
	}
	options := x509.VerifyOptions{
		Roots:         s.Roots(),
		Intermediates: x509.NewCertPool(),
		CurrentTime:   s.Now(),
		KeyUsages:     s.KeyUsages,
	}
	if options.Roots == nil || options.CurrentTime.IsZero() {
		return nil, errors.New("mls: X509AuthenticationService has no root certificates, or no time")
	}
	if s.Intermediates != nil {
		if pool := s.Intermediates(); pool != nil {
			options.Intermediates = pool.Clone()
		}
	}
	for _, intermediate := range chain[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	if options.KeyUsages == nil {
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	chains, err := certificate.Verify(options)
	if err != nil {
		return nil, fmt.Errorf("mls: verifying the certificate of %q: %w", certificate.Subject, err)
	}
	if s.Verify != nil {
		if err := s.Verify(chains); err != nil {
			return nil, err
		}
	}
	return certificate, nil
}

// parseChain parses the certificates of a credential, of which there is one at
// least.
func parseChain(c *Credential) ([]*x509.Certificate, error) {
	if c.Type != CredentialX509 {
		return nil, fmt.Errorf("%w: %#04x, want %#04x (x509)", ErrCredentialType, uint16(c.Type), uint16(CredentialX509))
	}
	if n := len(c.Certificates); n == 0 || n > maxCertificates {
		return nil, fmt.Errorf("%w: %d certificates, want 1 to %d", ErrCertificateChain, n, maxCertificates)
	}
	size := 0
	for _, der := range c.Certificates {
		size += len(der)
	}
	if size > maxCertificateChain {
		return nil, fmt.Errorf("%w: certificates of %d octets, want %d at the most", ErrCertificateChain, size, maxCertificateChain)
	}
	var chain []*x509.Certificate
	for i, der := range c.Certificates {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %d: %w", ErrCertificateChain, i, err)
		}
		if key, ok := certificate.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSAKey {
			return nil, fmt.Errorf("%w: certificate %d: RSA key of %d bits, want %d at the most", ErrCertificateChain, i, key.N.BitLen(), maxRSAKey)
		}
		chain = append(chain, certificate)
	}
	return chain, nil
}

// verifyChainOrder checks that each certificate certifies the one before it.
func verifyChainOrder(chain []*x509.Certificate) error {
	for i, certificate := range chain[1:] {
		if !bytes.Equal(chain[i].RawIssuer, certificate.RawSubject) {
			return fmt.Errorf("%w: certificate %d is by %q and the next one for %q", ErrCertificateChain, i, chain[i].Issuer, certificate.Subject)
		}
		if err := chain[i].CheckSignatureFrom(certificate); err != nil {
			return fmt.Errorf("%w: certificate %d is not signed by the next one: %w", ErrCertificateChain, i, err)
		}
	}
	return nil
}

// verifyCertificateKey checks that a certificate is for a signature key, which
// is encoded as in a leaf. RFC 9420, Sections 5.1.1 and 5.3.
func verifyCertificateKey(certificate *x509.Certificate, signatureKey []byte) error {
	var key []byte
	switch public := certificate.PublicKey.(type) {
	case ed25519.PublicKey:
		key = public
	case *ecdsa.PublicKey:
		var err error
		if key, err = public.Bytes(); err != nil {
			return fmt.Errorf("%w: %w", ErrCertificateKey, err)
		}
	default:
		return fmt.Errorf("mls: certificate of %q has a key of kind %s, want Ed25519 or ECDSA: %w", certificate.Subject, keyKind(certificate), ErrUnsupported)
	}
	if !bytes.Equal(key, signatureKey) {
		return fmt.Errorf("%w: certificate of %q has %x, the leaf %x", ErrCertificateKey, certificate.Subject, key, signatureKey)
	}
	return nil
}

// keyKind names the algorithm of a certificate's key, also where crypto/x509
// does not know it.
func keyKind(certificate *x509.Certificate) string {
	if certificate.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		return certificate.PublicKeyAlgorithm.String()
	}
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Key asn1.BitString
	}
	if _, err := asn1.Unmarshal(certificate.RawSubjectPublicKeyInfo, &info); err != nil {
		return "unknown"
	}
	return info.Algorithm.ID.String()
}

// SameSubject returns an error that matches [ErrOtherClient] unless two
// certificates name the same client: they have the same set of subject
// alternative names, of all kinds, octet by octet, or, if neither has any, the
// same subject, which is not empty.
func SameSubject(before, after *x509.Certificate) error {
	old, err := alternativeNames(before)
	if err != nil {
		return err
	}
	names, err := alternativeNames(after)
	if err != nil {
		return err
	}
	if !slices.Equal(old, names) {
		return fmt.Errorf("%w: alternative names %q, want %q", ErrOtherClient, names, old)
	}
	if len(names) > 0 {
		return nil
	}
	if len(after.Subject.ToRDNSequence()) == 0 || !bytes.Equal(before.RawSubject, after.RawSubject) {
		return fmt.Errorf("%w: subject %q, want %q", ErrOtherClient, after.Subject, before.Subject)
	}
	return nil
}

var subjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// alternativeNames returns a certificate's subject alternative names in DER,
// sorted, each once. RFC 5280, Section 4.2.1.6.
func alternativeNames(certificate *x509.Certificate) ([]string, error) {
	var names []string
	for _, extension := range certificate.Extensions {
		if !extension.Id.Equal(subjectAltName) {
			continue
		}
		var raw []asn1.RawValue
		if rest, err := asn1.Unmarshal(extension.Value, &raw); err != nil || len(rest) > 0 {
			return nil, fmt.Errorf("%w: the alternative names of %q do not parse", ErrCertificateChain, certificate.Subject)
		}
		for _, name := range raw {
			names = append(names, string(name.FullBytes))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
