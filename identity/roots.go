package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
)

// ErrNoRoots means that there are no certificates to trust for a peer.
var ErrNoRoots = errors.New("identity: no roots to trust")

// A TrustBundle says which authorities to trust. It never changes and is safe for
// concurrent use; a [Feed] goes from one to another.
type TrustBundle struct {
	roots   *x509.CertPool            // nil: none
	domains map[string]*x509.CertPool // by SPIFFE trust domain; nil: roots go for all
}

// NewTrustBundle returns the bundle of the authorities roots, whatever they certify, and of those
// of SPIFFE trust domains, for the IDs of their domain alone. If there are any of trust domains, a
// certificate with a SPIFFE ID of another domain is refused, and roots go for certificates without one. Either may
// be nil.
func NewTrustBundle(roots *x509.CertPool, trustDomains map[string]*x509.CertPool) *TrustBundle {
	return &TrustBundle{roots: roots, domains: maps.Clone(trustDomains)}
}

// RootsFor returns the authorities to trust for an end-entity certificate: those of its
// SPIFFE trust domain if there are any of trust domains, else those that go for all. There being
// none is [ErrNoRoots]. A nil TrustBundle has none.
func (b *TrustBundle) RootsFor(leaf *x509.Certificate) (*x509.CertPool, error) {
	if b == nil {
		return nil, ErrNoRoots
	}
	if len(b.domains) > 0 && hasSPIFFEID(leaf) {
		id, err := SPIFFEIDOf(leaf)
		if err != nil {
			return nil, err
		}
		roots, ok := b.domains[id.TrustDomain]
		if !ok {
			return nil, fmt.Errorf("%w: for the trust domain %q", ErrNoRoots, id.TrustDomain)
		}
		return roots, nil
	}
	if b.roots == nil {
		return nil, fmt.Errorf("%w: for %q", ErrNoRoots, leaf.Subject)
	}
	return b.roots, nil
}

// LoadRoots reads authorities from PEM files. Each file has to have one, and nothing else.
// Errors are of type [*FileError] and name the line.
func LoadRoots(paths ...string) (*x509.CertPool, error) {
	p := filesOf(paths)
	texts, err := p.read()
	if err != nil {
		return nil, err
	}
	return parseRoots(paths, texts)
}

func parseRoots(paths []string, texts [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for i, text := range texts {
		certificates, lines, err := parseCertificates(paths[i], text, false)
		if err != nil {
			return nil, err
		}
		for j, certificate := range certificates {
			if !certificate.IsCA {
				return nil, &FileError{Path: paths[i], Line: lines[j], Field: "certificate",
					Err: fmt.Errorf("%w: that of %q is no authority's", ErrCertificate, certificate.Subject)}
			}
			pool.AddCert(certificate)
		}
	}
	return pool, nil
}

func filesOf(paths []string) part {
	var p part
	for _, path := range paths {
		p.files = append(p.files, file{path: path})
	}
	return p
}
