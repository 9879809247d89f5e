package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// ErrKey means that something is not a key of a kind that is supported.
var ErrKey = errors.New("identity: not a supported key")

const (
	privateKeyBlock = "PRIVATE KEY"
	publicKeyBlock  = "PUBLIC KEY"
)

// Generate makes a new identity: an Ed25519 key from 32 octets of rand, and a
// basic credential that bears name. Ed25519 fits the suites that are used by default.
func Generate(rand io.Reader, name string) (mls.Identity, error) {
	seed := make([]byte, ed25519.SeedSize)
	defer clear(seed)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return mls.Identity{}, fmt.Errorf("identity: reading randomness: %w", err)
	}
	return New(ed25519.NewKeyFromSeed(seed), name), nil
}

// New returns the identity of an existing key, under a basic credential that
// bears name.
func New(signer crypto.Signer, name string) mls.Identity {
	return mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: signer}
}

// EncodePublicKey returns a public key as MLS writes it into a leaf: the key
// itself for Ed25519, an uncompressed point for ECDSA. A []byte is taken to be
// that already. Everything else is [ErrKey]. RFC 9420, Section 5.1.1.
func EncodePublicKey(key crypto.PublicKey) ([]byte, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: Ed25519 key of %d octets, want %d", ErrKey, len(key), ed25519.PublicKeySize)
		}
		return bytes.Clone(key), nil
	case *ecdsa.PublicKey:
		b, err := key.Bytes()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		return b, nil
	case []byte:
		if len(key) == 0 {
			return nil, fmt.Errorf("%w: empty", ErrKey)
		}
		return bytes.Clone(key), nil
	}
	return nil, fmt.Errorf("%w: %T", ErrKey, key)
}

// Fingerprint names an encoded public key: the SHA-256 hash of its octets in
// base64, after "SHA256:".
func Fingerprint(key []byte) string { return channel.Fingerprint(key) }

// MarshalPrivateKey returns a software key (Ed25519, ECDSA) as PKCS #8 in PEM. It
// is not encrypted: keep it in a file that nobody else can read.
func MarshalPrivateKey(signer crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: privateKeyBlock, Bytes: der}), nil
}

// ParsePrivateKey reads what [MarshalPrivateKey] wrote. The first block must be the key.
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	der, err := firstBlock(text, privateKeyBlock)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		return key, nil
	case *ecdsa.PrivateKey:
		return key, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrKey, key)
}

// MarshalPublicKey returns an Ed25519 or ECDSA key as SubjectPublicKeyInfo in PEM.
func MarshalPublicKey(key crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicKeyBlock, Bytes: der}), nil
}

// ParsePublicKey reads what [MarshalPublicKey] wrote, into something that [NewPinned] takes.
func ParsePublicKey(text []byte) (crypto.PublicKey, error) {
	der, err := firstBlock(text, publicKeyBlock)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if _, err := EncodePublicKey(key); err != nil {
		return nil, err
	}
	return key, nil
}

func firstBlock(text []byte, want string) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: no PEM block, want %q", ErrKey, want)
	}
	if block.Type != want {
		return nil, fmt.Errorf("%w: PEM block %q, want %q", ErrKey, block.Type, want)
	}
	return block.Bytes, nil
}
