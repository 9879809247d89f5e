package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
)

// LoadPrivateKey reads a private key from a PEM file: Ed25519, or ECDSA on P-256, P-384 or
// P-521, as PKCS #8 ("PRIVATE KEY") or SEC 1 ("EC PRIVATE KEY"). There has to be exactly one; other
// blocks, such as certificates, are passed over. On Unix a file that anybody but its owner can
// read or change is refused with [ErrPermissions].
//
// Errors are of type [*FileError] and name the line: [ErrPEM], [ErrKey], [ErrPermissions],
// [ErrFileSize], or those of the file system. What was read is erased but for the key itself.
func LoadPrivateKey(path string) (crypto.Signer, error) {
	text, err := readFile(path, ownerOnly)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return parseKeyFile(path, text)
}

// parseKeyFile returns the one private key in a file.
func parseKeyFile(path string, text []byte) (crypto.Signer, error) {
	blocks, err := pemBlocks(path, text)
	if err != nil {
		return nil, err
	}
	defer eraseBlocks(blocks)
	var signer crypto.Signer
	for _, b := range blocks {
		if !isPrivateKey(b.kind) || b.kind == "EC PARAMETERS" {
			continue
		}
		failed := func(err error) error {
			return &FileError{Path: path, Line: b.line, Field: "private key", Err: err}
		}
		if signer != nil {
			return nil, failed(fmt.Errorf("%w: a second one in the file", ErrKey))
		}
		if signer, err = parsePrivateKey(b.kind, b.der); err != nil {
			return nil, failed(err)
		}
	}
	if signer == nil {
		return nil, &FileError{Path: path, Field: "private key", Err: fmt.Errorf("%w: there is none", ErrKey)}
	}
	return signer, nil
}

// parsePrivateKey parses the content of a PEM block.
func parsePrivateKey(kind string, der []byte) (crypto.Signer, error) {
	var key any
	var err error
	switch kind {
	case privateKeyBlock:
		key, err = x509.ParsePKCS8PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "ENCRYPTED PRIVATE KEY":
		err = errors.New("it is encrypted; keep it in an agent or a token, or decrypt it")
	default:
		err = fmt.Errorf("PEM block %q, want %q or %q", kind, privateKeyBlock, "EC PRIVATE KEY")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		if key.Curve != elliptic.P224() {
			return key, nil
		}
		return nil, fmt.Errorf("%w: ECDSA on P-224", ErrKey)
	}
	return nil, fmt.Errorf("%w: %T", ErrKey, key)
}
