package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrName means that a certificate is somebody else's.
var ErrName = errors.New("identity: certificate is not for an accepted name")

// A NameRule says whose certificate is accepted. It returns an error that matches
// [ErrName] for others. It is given certificates that lead to a trusted root, and has to be safe for
// concurrent use.
type NameRule func(leaf *x509.Certificate) error

// ServerName accepts certificates for a host name or an IP address, as TLS clients do. It
// is for the end that dials: each name needs a rule of its own.
func ServerName(name string) NameRule {
	return func(leaf *x509.Certificate) error {
		if err := leaf.VerifyHostname(name); err != nil {
			return fmt.Errorf("%w: %w", ErrName, err)
		}
		return nil
	}
}

// SPIFFE accepts certificates with a SPIFFE ID that fits one of the patterns:
//
//	spiffe://example.org/db              this ID alone
//	spiffe://example.org/region/*/db     * is any one segment
//	spiffe://example.org/ns/prod/**      ** at the end is one segment or more
//	spiffe://example.org/**              any workload of the trust domain
//
// Errors match [ErrSPIFFEID], also where there is no pattern.
func SPIFFE(patterns ...string) (NameRule, error) {
	if len(patterns) == 0 {
		return nil, fmt.Errorf("%w: there is no pattern", ErrSPIFFEID)
	}
	var parsed []spiffePattern
	for _, text := range patterns {
		p, err := parseSPIFFEPattern(text)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, p)
	}
	return func(leaf *x509.Certificate) error {
		id, err := SPIFFEIDOf(leaf)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrName, err)
		}
		for _, p := range parsed {
			if p.matches(id) {
				return nil
			}
		}
		return fmt.Errorf("%w: %v, want one of %q", ErrName, id, patterns)
	}, nil
}

// AnyOf accepts what one of the rules does.
func AnyOf(rules ...NameRule) NameRule {
	return func(leaf *x509.Certificate) error {
		all := []error{fmt.Errorf("%w: none of %d rules fits", ErrName, len(rules))}
		for _, rule := range rules {
			err := rule(leaf)
			if err == nil {
				return nil
			}
			all = append(all, err)
		}
		return errors.Join(all...)
	}
}

// AnyName accepts everybody whom the roots vouch for. It is right where the roots certify
// nobody but the peers.
func AnyName(*x509.Certificate) error { return nil }
