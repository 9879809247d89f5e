package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// ErrSPIFFEID means that something is not a SPIFFE ID, or that a certificate does not have
// exactly one.
var ErrSPIFFEID = errors.New("identity: not a SPIFFE ID")

// Bounds of the SPIFFE ID specification, Section 2.3, in octets.
const (
	maxSPIFFEID    = 2048
	maxTrustDomain = 255
)

const spiffeScheme = "spiffe://"

// A SPIFFEID names a workload: spiffe://TrustDomain/a/path.
type SPIFFEID struct {
	TrustDomain string
	Path        string // with its leading slash; empty for the trust domain itself
}

func (id SPIFFEID) String() string { return spiffeScheme + id.TrustDomain + id.Path }

// ParseSPIFFEID reads a SPIFFE ID. Errors match [ErrSPIFFEID]. SPIFFE ID specification,
// Section 2.
func ParseSPIFFEID(text string) (SPIFFEID, error) {
	id, err := splitSPIFFEID(text)
	if err != nil {
		return SPIFFEID{}, err
	}
	for _, segment := range id.segments() {
		if err := verifySegment(segment); err != nil {
			return SPIFFEID{}, fmt.Errorf("%w: %q: %w", ErrSPIFFEID, text, err)
		}
	}
	return id, nil
}

// splitSPIFFEID parses all but the segments of the path.
func splitSPIFFEID(text string) (SPIFFEID, error) {
	failed := func(format string, args ...any) (SPIFFEID, error) {
		return SPIFFEID{}, fmt.Errorf("%w: %q: %s", ErrSPIFFEID, text, fmt.Sprintf(format, args...))
	}
	if len(text) > maxSPIFFEID {
		return SPIFFEID{}, fmt.Errorf("%w: %d octets, want %d at the most", ErrSPIFFEID, len(text), maxSPIFFEID)
	}
	rest, ok := strings.CutPrefix(text, spiffeScheme)
	if !ok {
		return failed("it does not begin with %q", spiffeScheme)
	}
	id := SPIFFEID{TrustDomain: rest}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		id.TrustDomain, id.Path = rest[:i], rest[i:]
	}
	if err := verifyTrustDomain(id.TrustDomain); err != nil {
		return failed("%v", err)
	}
	return id, nil
}

// segments returns the parts of the path.
func (id SPIFFEID) segments() []string {
	if id.Path == "" {
		return nil
	}
	return strings.Split(id.Path[1:], "/")
}

func verifyTrustDomain(name string) error {
	if name == "" || len(name) > maxTrustDomain {
		return fmt.Errorf("trust domain of %d octets, want 1 to %d", len(name), maxTrustDomain)
	}
	for i := range len(name) {
		if c := name[i]; !isLower(c) && !isDigit(c) && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("character %q in the trust domain", c)
		}
	}
	return nil
}

func verifySegment(segment string) error {
	switch segment {
	case "":
		return errors.New("empty segment in the path")
	case ".", "..":
		return fmt.Errorf("segment %q in the path", segment)
	}
	for i := range len(segment) {
		if c := segment[i]; !isLower(c|0x20) && !isDigit(c) && c != '.' && c != '-' && c != '_' {
			return fmt.Errorf("character %q in the path", c)
		}
	}
	return nil
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// SPIFFEIDOf returns the ID in an X.509-SVID: the certificate has to have one URI among its
// names and no other, and to be for signing alone. Errors match [ErrSPIFFEID] or
// [ErrCertificate]. X.509-SVID specification, Sections 2 and 4.
func SPIFFEIDOf(leaf *x509.Certificate) (SPIFFEID, error) {
	if len(leaf.URIs) != 1 {
		return SPIFFEID{}, fmt.Errorf("%w: %d URIs in the certificate of %q, want 1", ErrSPIFFEID, len(leaf.URIs), leaf.Subject)
	}
	const certifies = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || leaf.KeyUsage&certifies != 0 {
		return SPIFFEID{}, fmt.Errorf("%w: key usage %#x, authority: %t; want a workload's, for digitalSignature", ErrCertificate, leaf.KeyUsage, leaf.IsCA)
	}
	return ParseSPIFFEID(leaf.URIs[0].String())
}

// hasSPIFFEID reports whether a certificate claims a SPIFFE ID, well-formed or not.
func hasSPIFFEID(leaf *x509.Certificate) bool {
	for _, uri := range leaf.URIs {
		if strings.EqualFold(uri.Scheme, "spiffe") {
			return true
		}
	}
	return false
}

// A spiffePattern is a SPIFFE ID with wildcards among its segments.
type spiffePattern struct {
	trustDomain string
	segments    []string
}

// Wildcards in patterns.
const (
	oneSegment  = "*"
	anySegments = "**" // at the end: one or more
)

func parseSPIFFEPattern(text string) (spiffePattern, error) {
	id, err := splitSPIFFEID(text)
	if err != nil {
		return spiffePattern{}, err
	}
	p := spiffePattern{id.TrustDomain, id.segments()}
	for i, segment := range p.segments {
		if segment == oneSegment || segment == anySegments && i == len(p.segments)-1 {
			continue
		}
		if err := verifySegment(segment); err != nil {
			return spiffePattern{}, fmt.Errorf("%w: pattern %q: %w", ErrSPIFFEID, text, err)
		}
	}
	return p, nil
}

func (p spiffePattern) matches(id SPIFFEID) bool {
	if p.trustDomain != id.TrustDomain {
		return false
	}
	segments := id.segments()
	for i, want := range p.segments {
		switch {
		case i >= len(segments):
			return false
		case want == anySegments:
			return true
		case want != oneSegment && want != segments[i]:
			return false
		}
	}
	return len(segments) == len(p.segments)
}
