package identity

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

var (
	// ErrCertificate means that certificates are not a chain for signing: one does not parse,
	// does not certify the one before it, or is for another use.
	ErrCertificate = errors.New("identity: not a usable certificate chain")
	// ErrKeyMismatch means that a certificate is for another key.
	ErrKeyMismatch = errors.New("identity: private key does not fit the certificate")
)

// A KeyPair names the files of one identity, in PEM.
type KeyPair struct {
	// Certificate is the file with the end-entity certificate first, and behind it those that
	// certify each the one before. The root may be left out.
	Certificate string
	// Key is the file with the private key; see [LoadPrivateKey]. It may be the same file.
	Key string
	// Signer, in place of Key, returns the private key to the certificate's public one from
	// elsewhere: an agent (see sshagent), a token, a key management service. It is called whenever
	// the certificate has changed. Default: none; the key is in a file.
	Signer func(public crypto.PublicKey) (crypto.Signer, error)
	// GroupReadable lets the group read the key file, as where Kubernetes gives a volume
	// to a group. Default: only the owner may.
	GroupReadable bool
}

// Load reads the files. It does not look at the dates in them: [Open] does. Errors are of type
// [*FileError]: those of [LoadPrivateKey], [ErrCertificate] and [ErrKeyMismatch].
func (p KeyPair) Load() (mls.Identity, error) {
	files := p.part()
	texts, err := files.read()
	if err != nil {
		return mls.Identity{}, err
	}
	defer eraseAll(texts)
	id, _, err := p.parse(texts)
	return id, err
}

// part returns the files to look at, the certificates first.
func (p KeyPair) part() part {
	verify := ownerOnly
	if p.GroupReadable {
		verify = ownerAndGroup
	}
	if p.Signer != nil {
		return part{files: []file{{path: p.Certificate}}}
	}
	return part{files: []file{{path: p.Certificate}, {path: p.Key, verify: verify}}}
}

// parse makes an identity of what the files hold, and returns its chain as well.
func (p KeyPair) parse(texts [][]byte) (mls.Identity, []*x509.Certificate, error) {
	chain, lines, err := parseCertificates(p.Certificate, texts[0], p.Certificate == p.Key)
	if err != nil {
		return mls.Identity{}, nil, err
	}
	signer, err := p.signer(chain[0], texts)
	if err != nil {
		return mls.Identity{}, nil, err
	}
	id, err := NewX509(signer, chain...)
	if at := (*chainError)(nil); errors.As(err, &at) {
		return mls.Identity{}, nil, &FileError{Path: p.Certificate, Line: lines[at.index], Field: "certificate", Err: at.err}
	}
	if err != nil {
		return mls.Identity{}, nil, &FileError{Path: p.Key, Field: "private key", Err: err}
	}
	return id, chain, nil
}

func (p KeyPair) signer(certificate *x509.Certificate, texts [][]byte) (crypto.Signer, error) {
	if p.Signer == nil {
		return parseKeyFile(p.Key, texts[1])
	}
	signer, err := p.Signer(certificate.PublicKey)
	if err != nil {
		return nil, &FileError{Path: p.Certificate, Field: "signer of the certificate's key", Err: err}
	}
	return signer, nil
}

// NewX509 returns the identity of a key that may live anywhere, such as in a token or an
// agent, under a chain of certificates: the first for the key, each certified by the next. Errors:
// [ErrCertificate], [ErrKeyMismatch], [ErrKey].
func NewX509(signer crypto.Signer, chain ...*x509.Certificate) (mls.Identity, error) {
	if signer == nil {
		return mls.Identity{}, fmt.Errorf("%w: there is no signer", ErrKey)
	}
	if len(chain) == 0 {
		return mls.Identity{}, fmt.Errorf("%w: it is empty", ErrCertificate)
	}
	own, err := EncodePublicKey(signer.Public())
	if err != nil {
		return mls.Identity{}, err
	}
	for i, certificate := range chain {
		if err := verifyLink(chain, i); err != nil {
			return mls.Identity{}, &chainError{i, fmt.Errorf("%w: certificate of %q: %w", ErrCertificate, certificate.Subject, err)}
		}
	}
	certified, err := EncodePublicKey(chain[0].PublicKey)
	if err != nil {
		return mls.Identity{}, &chainError{0, err}
	}
	if !bytes.Equal(own, certified) {
		return mls.Identity{}, fmt.Errorf("%w: %s, want %s", ErrKeyMismatch, Fingerprint(own), Fingerprint(certified))
	}
	return mls.Identity{Credential: mls.X509Credential(chain...), Signer: signer}, nil
}

// A chainError says which certificate of a chain is at fault.
type chainError struct {
	index int
	err   error
}

func (e *chainError) Error() string { return e.err.Error() }
func (e *chainError) Unwrap() error { return e.err }

// verifyLink checks the certificate at a place of a chain: what it is for, and that it
// certifies the one before.
func verifyLink(chain []*x509.Certificate, i int) error {
	certificate := chain[i]
	if i == 0 {
		if certificate.IsCA {
			return errors.New("it is an authority's and comes first, where the end entity's should be")
		}
		if usage := certificate.KeyUsage; usage != 0 && usage&x509.KeyUsageDigitalSignature == 0 {
			return fmt.Errorf("key usage %#x, want digitalSignature (%#x)", usage, x509.KeyUsageDigitalSignature)
		}
		return nil
	}
	before := chain[i-1]
	if !bytes.Equal(before.RawIssuer, certificate.RawSubject) {
		return fmt.Errorf("the one before is by %q", before.Issuer)
	}
	if err := before.CheckSignatureFrom(certificate); err != nil {
		return fmt.Errorf("the one before is not signed by it: %w", err)
	}
	return nil
}

// parseCertificates returns the certificates in a file and the lines on which they begin. Other
// blocks are refused, but for a private key if the file is to hold that as well.
func parseCertificates(path string, text []byte, keyToo bool) (chain []*x509.Certificate, lines []int, err error) {
	blocks, err := pemBlocks(path, text)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range blocks {
		if keyToo && isPrivateKey(b.kind) {
			clear(b.der)
			continue
		}
		if b.kind != "CERTIFICATE" {
			return nil, nil, wrongBlock(path, b, "CERTIFICATE")
		}
		certificate, err := x509.ParseCertificate(b.der)
		if err != nil {
			return nil, nil, &FileError{Path: path, Line: b.line, Field: "certificate", Err: fmt.Errorf("%w: %w", ErrCertificate, err)}
		}
		chain, lines = append(chain, certificate), append(lines, b.line)
	}
	if len(chain) == 0 {
		return nil, nil, &FileError{Path: path, Field: "certificate", Err: fmt.Errorf("%w: there is none", ErrCertificate)}
	}
	return chain, lines, nil
}
