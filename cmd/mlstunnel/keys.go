package main

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/identity"
)

func keygenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key: the private one in FILE, the public one in FILE.pub",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fingerprint, err := keygen(args[0])
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), fingerprint)
			}
			return err
		},
	}
	return c
}

// keygen makes an Ed25519 key in new files, of which only the owner can read the private one. It returns the
// key's fingerprint.
func keygen(path string) (fingerprint string, err error) {
	id, err := identity.Generate(rand.Reader, "")
	if err != nil {
		return "", err
	}
	private, err := identity.MarshalPrivateKey(id.Signer)
	if err != nil {
		return "", err
	}
	defer clear(private)
	public, err := identity.MarshalPublicKey(id.Signer.Public())
	if err != nil {
		return "", err
	}
	if fingerprint, err = credentials.Fingerprint(id.Signer.Public()); err != nil {
		return "", err
	}
	if err := writeNew(path, private, 0o600); err != nil {
		return "", err
	}
	if err := writeNew(path+".pub", public, 0o644); err != nil {
		// Else a key would be beside the public one of another.
		return "", errors.Join(err, os.Remove(path))
	}
	return fingerprint, nil
}

// writeNew writes a file that must not be there yet, and leaves none behind that is not whole.
func writeNew(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func fingerprintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fingerprint FILE...",
		Short: "Print the fingerprints of keys, private or public, or of certificates' keys",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, path := range args {
				key, err := publicKeyOf(path)
				if err != nil {
					return err
				}
				fingerprint, err := credentials.Fingerprint(key)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", fingerprint, path)
			}
			return nil
		},
	}
}

// publicKeyOf returns the public key of what is in a PEM file.
func publicKeyOf(path string) (crypto.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	block, _ := pem.Decode(text)
	switch {
	case block != nil && block.Type == "PUBLIC KEY":
		return credentials.PublicKey(path)
	case block != nil && block.Type == "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return certificate.PublicKey, nil
	}
	if block != nil {
		clear(block.Bytes)
	}
	signer, err := identity.LoadPrivateKey(path)
	if err != nil {
		return nil, err
	}
	return signer.Public(), nil
}
