package mls

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// passiveClient is a scenario in which a client joins a group and follows it.
type passiveClient struct {
	CipherSuite  uint16 `json:"cipher_suite"`
	ExternalPSKs []struct {
		ID  testvectors.Hex `json:"psk_id"`
		PSK testvectors.Hex `json:"psk"`
	} `json:"external_psks"`
	KeyPackage           testvectors.Hex `json:"key_package"`
	SignaturePriv        testvectors.Hex `json:"signature_priv"`
	EncryptionPriv       testvectors.Hex `json:"encryption_priv"`
	InitPriv             testvectors.Hex `json:"init_priv"`
	Welcome              testvectors.Hex `json:"welcome"`
	RatchetTree          testvectors.Hex `json:"ratchet_tree"`
	InitialAuthenticator testvectors.Hex `json:"initial_epoch_authenticator"`
	Epochs               []struct {
		Proposals     []testvectors.Hex `json:"proposals"`
		Commit        testvectors.Hex   `json:"commit"`
		Authenticator testvectors.Hex   `json:"epoch_authenticator"`
	} `json:"epochs"`
}

// TestPassiveClientVectors joins and follows the groups of the official
// vectors.
func TestPassiveClientVectors(t *testing.T) {
	for _, file := range []struct {
		name          string
		now           time.Time // within the lifetimes of the key packages
		run           int
		epochsInTotal int
	}{
		{"passive-client-welcome", time.Date(2024, time.January, 15, 0, 0, 0, 0, time.UTC), 56, 0},
		{"passive-client-handling-commit", time.Date(2024, time.July, 1, 0, 0, 0, 0, time.UTC), 91, 182},
		{"passive-client-random", time.Date(2024, time.July, 1, 0, 0, 0, 0, time.UTC), 1, 200},
	} {
		t.Run(file.name, func(t *testing.T) {
			var cases []passiveClient
			testvectors.Load(t, file.name, &cases)
			run, epochs := 0, 0
			for i, c := range cases {
				s, err := ciphersuite.Default().Lookup(ciphersuite.ID(c.CipherSuite))
				if err != nil {
					t.Fatal(err)
				}
				run++
				epochs += len(c.Epochs)
				if err := c.follow(s, file.now); err != nil {
					t.Errorf("case %d, suite %v: %v", i, s, err)
				}
			}
			if run != file.run || epochs != file.epochsInTotal {
				t.Errorf("ran %d cases with %d epochs, want %d and %d", run, epochs, file.run, file.epochsInTotal)
			}
		})
	}
}

func (c *passiveClient) follow(s *ciphersuite.Suite, now time.Time) error {
	cfg := &Config{
		AuthenticationService: acceptAll{},
		Now:                   func() time.Time { return now },
		MaxLifetime:           -1,
		ResumptionPSKs:        8,
		PSK: func(id PreSharedKeyID) ([]byte, error) {
			for _, p := range c.ExternalPSKs {
				if id.Type == PSKExternal && bytes.Equal(p.ID, id.ID) {
					return p.PSK, nil
				}
			}
			return nil, ErrUnknownPSK
		},
	}
	b, err := c.bundle(s)
	if err != nil {
		return err
	}
	g, err := Join(cfg, c.Welcome, b, JoinOptions{RatchetTree: c.RatchetTree})
	if err != nil {
		return fmt.Errorf("joining: %w", err)
	}
	if !bytes.Equal(g.EpochAuthenticator(), c.InitialAuthenticator) {
		return errors.New("initial epoch authenticator differs")
	}
	for i, e := range c.Epochs {
		for _, p := range e.Proposals {
			if _, err := g.Process(p); err != nil {
				return fmt.Errorf("epoch %d: proposal: %w", i, err)
			}
		}
		received, err := g.Process(e.Commit)
		if err != nil {
			return fmt.Errorf("epoch %d: commit: %w", i, err)
		}
		next := received.(*ReceivedCommit).Group()
		g.Erase()
		g = next
		if !bytes.Equal(g.EpochAuthenticator(), e.Authenticator) {
			return fmt.Errorf("epoch %d: epoch authenticator differs", i)
		}
	}
	return nil
}

// bundle returns the client's key package with its private keys, which have to
// belong to the public ones.
func (c *passiveClient) bundle(s *ciphersuite.Suite) (*KeyPackageBundle, error) {
	unverified, err := ParseKeyPackage(c.KeyPackage)
	if err != nil {
		return nil, err
	}
	signer, err := s.ParseSigner(c.SignaturePriv)
	if err != nil {
		return nil, err
	}
	signatureKey, err := s.SignaturePublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	initKey, err := s.ParseHPKEPrivateKey(c.InitPriv)
	if err != nil {
		return nil, err
	}
	encryptionKey, err := s.ParseHPKEPrivateKey(c.EncryptionPriv)
	if err != nil {
		return nil, err
	}
	k := unverified.keyPackage
	if !bytes.Equal(signatureKey, k.LeafNode.SignatureKey) ||
		!bytes.Equal(initKey.PublicKey(), k.InitKey) ||
		!bytes.Equal(encryptionKey.PublicKey(), k.LeafNode.EncryptionKey) {
		return nil, errors.New("private and public keys do not belong together")
	}
	return &KeyPackageBundle{keyPackage: k, initKey: initKey, encryptionKey: encryptionKey, identity: Identity{Signer: signer}}, nil
}

// acceptAll is an AuthenticationService that believes everybody.
type acceptAll struct{}

func (acceptAll) ValidateLeaf(leaf, previous *LeafNode) error { return nil }

func (acceptAll) ValidateExternalSender(*ExternalSender) error { return nil }
