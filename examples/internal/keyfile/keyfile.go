// Package keyfile keeps in files who the two ends of an example are, for those that run
// as two programs.
package keyfile

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// publicSuffix is added to the name of a private key's file for that of the public key.
const publicSuffix = ".pub"

// Generate makes a key. It writes the private one to a file of this name, which must not exist and
// which only its owner can read, and the public one beside it. It returns the public
// one's file and its fingerprint.
func Generate(name string) (public, fingerprint string, err error) {
	id, err := identity.Generate(rand.Reader, nameOf(name))
	if err != nil {
		return "", "", err
	}
	private, err := identity.MarshalPrivateKey(id.Signer)
	if err != nil {
		return "", "", err
	}
	defer clear(private)
	text, err := identity.MarshalPublicKey(id.Signer.Public())
	if err != nil {
		return "", "", err
	}
	if fingerprint, err = fingerprintOf(id.Signer.Public()); err != nil {
		return "", "", err
	}
	if err := writeNew(name, private, 0o600); err != nil {
		return "", "", err
	}
	public = name + publicSuffix
	if err := writeNew(public, text, 0o644); err != nil {
		// Else a key would be beside the public one of another.
		return "", "", errors.Join(err, os.Remove(name))
	}
	return public, fingerprint, nil
}

// Load reads this end's private key and the peer's public one. It returns the identity of this end,
// whose name is that of the file, and who is accepted as the peer.
func Load(private, public string) (mls.Identity, *identity.Pinned, error) {
	text, err := os.ReadFile(private)
	if err != nil {
		return mls.Identity{}, nil, err
	}
	defer clear(text)
	signer, err := identity.ParsePrivateKey(text)
	if err != nil {
		return mls.Identity{}, nil, fmt.Errorf("%s: %w", private, err)
	}
	if text, err = os.ReadFile(public); err != nil {
		return mls.Identity{}, nil, err
	}
	key, err := identity.ParsePublicKey(text)
	if err != nil {
		return mls.Identity{}, nil, fmt.Errorf("%s: %w", public, err)
	}
	peer, err := identity.NewPinned(key)
	return identity.New(signer, nameOf(private)), peer, err
}

// nameOf returns the name of a file without where it is and what kind it is of.
func nameOf(file string) string {
	return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
}

func fingerprintOf(key crypto.PublicKey) (string, error) {
	encoded, err := identity.EncodePublicKey(key)
	if err != nil {
		return "", err
	}
	return identity.Fingerprint(encoded), nil
}

func writeNew(name string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
