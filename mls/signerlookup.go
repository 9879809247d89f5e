package mls

import (
	"bytes"
	"crypto"
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A SignerLookup returns the private key to one of the client's public signature
// keys, which is encoded as in a leaf. What is stored has public keys only.
type SignerLookup func(suite *ciphersuite.Suite, publicKey []byte) (crypto.Signer, error)

// OnlySigner returns a [SignerLookup] for a client with a single signature key.
func OnlySigner(signer crypto.Signer) SignerLookup {
	return func(s *ciphersuite.Suite, publicKey []byte) (crypto.Signer, error) {
		key, err := encodedSignatureKey(s, signer)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(key, publicKey) {
			return nil, fmt.Errorf("mls: there is no signer for the public key %x", publicKey)
		}
		return signer, nil
	}
}
