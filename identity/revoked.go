package identity

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

var (
	// ErrRevoked means that a certificate, or its key, is not to be trusted any more.
	ErrRevoked = errors.New("identity: revoked")
	// ErrRevokedFile means that a line of a list of what is revoked cannot be understood.
	ErrRevokedFile = errors.New("identity: malformed list of what is revoked")
)

// Revoked says what is not to be trusted any more, whoever vouches for it. It is read
// from files of two kinds. One is a certificate revocation list in PEM ("X509 CRL"), which counts for
// the certificates of whoever has signed it, also when it is out of date. The other is a list of lines:
//
//	# comment
//	certificate SHA256:pPzkTlJ...             # SHA-256 of its DER, in base64 or in hex
//	key SHA256:XOeKKyIgN8M...                 # as by Fingerprint, for Ed25519 and ECDSA
//	serial 7f3a0c                             # in hex, of any authority's certificate
//	serial 7f3a0c 5b:9e:41:...                # only of the authority with this key identifier
//
// A file is of one kind or the other. It goes for all certificates of a chain. A Revoked never changes and is safe for concurrent use.
type Revoked struct {
	certificates map[digest]struct{}
	keys         map[string]struct{}            // by fingerprint
	serials      map[string]map[string]struct{} // by number, then by the authority's key identifier; "" for all
	crls         map[string][]*crl              // by the name of their issuer
}

type crl struct {
	list    *x509.RevocationList
	serials map[string]struct{}
}

// LoadRevoked reads files of both kinds. Errors are of type [*FileError] and name the line:
// [ErrRevokedFile], [ErrPEM], or those of the file system.
func LoadRevoked(paths ...string) (*Revoked, error) {
	p := filesOf(paths)
	texts, err := p.read()
	if err != nil {
		return nil, err
	}
	return parseRevoked(paths, texts)
}

func parseRevoked(paths []string, texts [][]byte) (*Revoked, error) {
	r := &Revoked{
		certificates: make(map[digest]struct{}),
		keys:         make(map[string]struct{}),
		serials:      make(map[string]map[string]struct{}),
		crls:         make(map[string][]*crl),
	}
	for i, text := range texts {
		read := r.readLines
		if nextBegin(text) >= 0 {
			read = r.readCRLs
		}
		if err := read(paths[i], text); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Revoked) readCRLs(path string, text []byte) error {
	blocks, err := pemBlocks(path, text)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.kind != "X509 CRL" {
			return wrongBlock(path, b, "X509 CRL")
		}
		list, err := x509.ParseRevocationList(b.der)
		if err != nil {
			return &FileError{Path: path, Line: b.line, Field: "revocation list", Err: fmt.Errorf("%w: %w", ErrRevokedFile, err)}
		}
		c := &crl{list: list, serials: make(map[string]struct{}, len(list.RevokedCertificateEntries))}
		for _, entry := range list.RevokedCertificateEntries {
			c.serials[entry.SerialNumber.Text(16)] = struct{}{}
		}
		issuer := string(list.RawIssuer)
		r.crls[issuer] = append(r.crls[issuer], c)
	}
	return verifyNoLines(path, text)
}

// verifyNoLines refuses lines of the other kind of file outside the blocks, where all else is for people: what somebody
// has written there to revoke something would be passed over.
func verifyNoLines(path string, text []byte) error {
	inBlock := false
	for i, line := range bytes.Split(text, []byte("\n")) {
		switch fields := bytes.Fields(line); {
		case bytes.HasPrefix(line, pemBegin):
			inBlock = true
		case bytes.HasPrefix(line, pemEnd):
			inBlock = false
		case !inBlock && len(fields) > 0 && slices.Contains(revokedKinds, string(fields[0])):
			return &FileError{Path: path, Line: i + 1, Field: "line", Err: fmt.Errorf("%w: %q stands beside a revocation list, want it in a file of its own", ErrRevokedFile, fields[0])}
		}
	}
	return nil
}

// revokedKinds are what a line can begin with.
var revokedKinds = []string{"certificate", "key", "serial"}

func (r *Revoked) readLines(path string, text []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		content, _, _ := strings.Cut(lines.Text(), "#")
		if field, err := r.readLine(strings.Fields(content)); err != nil {
			return &FileError{Path: path, Line: n, Field: field, Err: fmt.Errorf("%w: %w", ErrRevokedFile, err)}
		}
	}
	if err := lines.Err(); err != nil {
		return &FileError{Path: path, Err: fmt.Errorf("%w: %w", ErrRevokedFile, err)}
	}
	return nil
}

// readLine takes a line over, or says which field of it is wrong.
func (r *Revoked) readLine(fields []string) (field string, err error) {
	if len(fields) == 0 {
		return "", nil
	}
	most := 2
	if fields[0] == "serial" {
		most = 3
	}
	if len(fields) < 2 || len(fields) > most {
		return "line", fmt.Errorf("%d fields, want 2 to %d", len(fields), most)
	}
	switch fields[0] {
	case "certificate", "key":
		sum, err := parseFingerprint(fields[1])
		if err != nil {
			return "fingerprint", err
		}
		if fields[0] == "certificate" {
			r.certificates[sum] = struct{}{}
		} else {
			r.keys[fingerprintPrefix+base64.RawStdEncoding.EncodeToString(sum[:])] = struct{}{}
		}
	case "serial":
		number, ok := new(big.Int).SetString(strings.ReplaceAll(fields[1], ":", ""), 16)
		if !ok || number.Sign() < 0 {
			return "serial number", fmt.Errorf("%q is no number in hex", fields[1])
		}
		authority := ""
		if len(fields) == 3 {
			id, err := parseHex(fields[2])
			if err != nil || len(id) == 0 {
				return "key identifier", fmt.Errorf("%q is not in hex", fields[2])
			}
			authority = string(id)
		}
		serial := number.Text(16)
		if r.serials[serial] == nil {
			r.serials[serial] = make(map[string]struct{})
		}
		r.serials[serial][authority] = struct{}{}
	default:
		return "kind", fmt.Errorf("%q, want \"certificate\", \"key\" or \"serial\"", fields[0])
	}
	return "", nil
}

const fingerprintPrefix = "SHA256:"

// parseFingerprint reads a SHA-256 in base64 behind "SHA256:", or in hex with colons or
// without.
func parseFingerprint(text string) (sum digest, err error) {
	var b []byte
	if encoded, ok := strings.CutPrefix(text, fingerprintPrefix); ok {
		b, err = base64.RawStdEncoding.Strict().DecodeString(strings.TrimRight(encoded, "="))
	} else {
		b, err = parseHex(text)
	}
	if err != nil {
		return sum, err
	}
	if len(b) != len(sum) {
		return sum, fmt.Errorf("%d octets, want the %d of SHA-256", len(b), len(sum))
	}
	return digest(b), nil
}

func parseHex(text string) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(text, ":", ""))
}

// Check returns an error that matches [ErrRevoked] if a certificate of a chain, the end
// entity's first, is not to be trusted any more. A nil Revoked knows of none.
func (r *Revoked) Check(chain []*x509.Certificate) error {
	if r == nil {
		return nil
	}
	for i, certificate := range chain {
		if why := r.reason(chain, i); why != "" {
			return fmt.Errorf("%w: certificate %s of %q by %s", ErrRevoked, certificate.SerialNumber.Text(16), certificate.Subject, why)
		}
	}
	return nil
}

// reason returns by what a certificate is revoked, empty if by nothing.
func (r *Revoked) reason(chain []*x509.Certificate, i int) string {
	certificate := chain[i]
	if _, ok := r.certificates[sha256.Sum256(certificate.Raw)]; ok {
		return "its fingerprint"
	}
	if key, err := EncodePublicKey(certificate.PublicKey); err == nil { // no other kind is listed
		if _, ok := r.keys[Fingerprint(key)]; ok {
			return "its key"
		}
	}
	serial := certificate.SerialNumber.Text(16)
	_, ofAny := r.serials[serial][""]
	_, ofThis := r.serials[serial][string(certificate.AuthorityKeyId)]
	if ofAny || ofThis {
		return "its serial number"
	}
	if i+1 == len(chain) {
		return ""
	}
	for _, c := range r.crls[string(certificate.RawIssuer)] {
		// A list by another authority of the same name says nothing here.
		if _, ok := c.serials[serial]; ok && c.list.CheckSignatureFrom(chain[i+1]) == nil {
			return fmt.Sprintf("the revocation list of %v", c.list.ThisUpdate)
		}
	}
	return ""
}
