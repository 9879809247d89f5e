package sshagent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// kinds maps the kinds of keys that are supported to the hash that the agent applies to a
// message before it signs. RFC 5656, Section 6.2.1; RFC 8709, Section 6.
var kinds = map[string]crypto.Hash{
	ssh.KeyAlgoED25519:  0, // none
	ssh.KeyAlgoECDSA256: crypto.SHA256,
	ssh.KeyAlgoECDSA384: crypto.SHA384,
	ssh.KeyAlgoECDSA521: crypto.SHA512,
}

// A signer is a key of an agent.
type signer struct {
	agent  *Agent
	key    ssh.PublicKey
	public crypto.PublicKey
	hash   crypto.Hash
}

var _ crypto.MessageSigner = (*signer)(nil)

// signer returns the signer of a key, nil if it is of no supported kind.
func (a *Agent) signer(key ssh.PublicKey) crypto.Signer {
	hash, ok := kinds[key.Type()]
	public, isCrypto := key.(ssh.CryptoPublicKey)
	if !ok || !isCrypto {
		return nil
	}
	return &signer{a, key, public.CryptoPublicKey(), hash}
}

// Public returns an ed25519.PublicKey or an *ecdsa.PublicKey.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign signs a message for an Ed25519 key. For ECDSA keys, where it would be given a digest,
// it returns ErrDigest.
func (s *signer) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.hash != 0 {
		return nil, fmt.Errorf("%w: use crypto.SignMessage", ErrDigest)
	}
	return s.SignMessage(rand, message, opts)
}

// SignMessage has the agent sign a message. The hash has to be that which goes with the
// key: none for Ed25519, that of the curve's size for ECDSA. The signature is in ASN.1 for ECDSA.
func (s *signer) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if hash := opts.HashFunc(); hash != s.hash {
		return nil, fmt.Errorf("%w: hash %v, want %v for a key of type %s", ErrDigest, hash, s.hash, s.key.Type())
	}
	var answer *ssh.Signature
	err := s.agent.ask(func(client agent.ExtendedAgent) (err error) {
		answer, err = client.Sign(s.key, message)
		return err
	})
	if err != nil {
		return nil, err
	}
	signature, err := convert(answer)
	if err != nil {
		return nil, err
	}
	if !s.verify(message, signature) {
		return nil, fmt.Errorf("%w: it does not verify", ErrSignature)
	}
	return signature, nil
}

// convert returns a signature as crypto.Signer has it: an ECDSA one in ASN.1.
func convert(answer *ssh.Signature) ([]byte, error) {
	if answer.Format == ssh.KeyAlgoED25519 {
		return answer.Blob, nil
	}
	var rs struct{ R, S *big.Int } // RFC 5656, Section 3.1.2
	if err := ssh.Unmarshal(answer.Blob, &rs); err != nil {
		return nil, fmt.Errorf("%w: of type %q: %w", ErrSignature, answer.Format, err)
	}
	return asn1.Marshal(rs)
}

func (s *signer) verify(message, signature []byte) bool {
	switch public := s.public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, message, signature)
	case *ecdsa.PublicKey:
		h := s.hash.New()
		h.Write(message)
		return ecdsa.VerifyASN1(public, h.Sum(nil), signature)
	}
	return false
}
