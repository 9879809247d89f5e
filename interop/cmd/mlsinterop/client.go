package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// resumptionPSKs is the number of past epochs whose PSK a group keeps. The
// runner's scripts go back by two.
const resumptionPSKs = 8

// maxPSKs bounds the external PSKs of a client.
const maxPSKs = 1024

// A client is what stays of a participant from epoch to epoch, and from a group to
// those that continue it.
type client struct {
	cfg      *mls.Config
	identity []byte
	psks     map[string][]byte // external ones
}

func (s *server) newClient(identity []byte) *client {
	c := &client{identity: identity, psks: make(map[string][]byte)}
	c.cfg = &mls.Config{
		AuthenticationService: anybody{},
		Now:                   time.Now,
		Suites:                s.suites,
		Rand:                  rand.Reader,
		PSK:                   c.psk,
		ResumptionPSKs:        resumptionPSKs,
		GREASE:                s.grease,
		MaxLifetime:           -1, // test clients' key packages may be for ever
	}
	if n := int(s.padding); n > 0 {
		c.cfg.Padding = func(length int) int { return (n - length%n) % n }
	}
	return c
}

// anybody is an AuthenticationService that believes everybody: the protocol has
// bare identities and nothing that vouches for them.
type anybody struct{}

func (anybody) ValidateLeaf(leaf, previous *mls.LeafNode) error { return nil }

func (anybody) ValidateExternalSender(*mls.ExternalSender) error { return nil }

func (c *client) psk(id mls.PreSharedKeyID) ([]byte, error) {
	if secret, ok := c.psks[string(id.ID)]; ok && id.Type == mls.PSKExternal {
		return secret, nil
	}
	return nil, mls.ErrUnknownPSK
}

func (c *client) storePSK(id, secret []byte) error {
	if _, ok := c.psks[string(id)]; !ok && len(c.psks) >= maxPSKs {
		return status.Errorf(codes.ResourceExhausted, "the client has %d PSKs", len(c.psks))
	}
	c.psks[string(id)] = bytes.Clone(secret)
	return nil
}

// newIdentity returns the client's credential with a new signature key.
func (c *client) newIdentity(suite *ciphersuite.Suite) (mls.Identity, error) {
	signer, err := suite.GenerateSigner(c.cfg.Rand)
	return mls.Identity{Credential: mls.BasicCredential(c.identity), Signer: signer}, err
}

func (c *client) newKeyPackage(suite *ciphersuite.Suite) (*mls.KeyPackageBundle, error) {
	identity, err := c.newIdentity(suite)
	if err != nil {
		return nil, err
	}
	return mls.NewKeyPackage(c.cfg, mls.KeyPackageOptions{Suite: suite.ID(), Identity: identity})
}

// parseKeyPackage verifies a key package of somebody else.
func (c *client) parseKeyPackage(message []byte) (*mls.KeyPackage, error) {
	unverified, err := mls.ParseKeyPackage(message)
	if err != nil {
		return nil, err
	}
	return unverified.Verify(c.cfg)
}

// privateKeys are those of a key package, serialised.
type privateKeys struct{ init, encryption, signature []byte }

// newOpenKeyPackage makes a key package of which the private keys are told: the
// protocol asks for them, so that passive test vectors can be made of a session.
func (c *client) newOpenKeyPackage(suite *ciphersuite.Suite) (*mls.KeyPackageBundle, *privateKeys, error) {
	identity, err := c.newIdentity(suite)
	if err != nil {
		return nil, nil, err
	}
	recording := &recorder{source: c.cfg.Rand}
	cfg := *c.cfg
	cfg.Rand = recording
	bundle, err := mls.NewKeyPackage(&cfg, mls.KeyPackageOptions{Suite: suite.ID(), Identity: identity})
	if err != nil {
		return nil, nil, err
	}
	public, private := bundle.KeyPackage(), new(privateKeys)
	if private.init, err = recording.privateKey(suite, public.InitKey); err != nil {
		return nil, nil, err
	}
	if private.encryption, err = recording.privateKey(suite, public.LeafNode.EncryptionKey); err != nil {
		return nil, nil, err
	}
	if private.signature, err = suite.MarshalSigner(identity.Signer); err != nil {
		return nil, nil, err
	}
	return bundle, private, nil
}

// A recorder is a source of randomness that remembers what it gave. An HPKE key
// depends on that alone, so it can be made again: a KeyPackageBundle does not give
// its private keys away.
type recorder struct {
	source io.Reader
	drawn  [][]byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.drawn = append(r.drawn, bytes.Clone(p[:n]))
	return n, err
}

// privateKey returns the private key to an HPKE public key that was made of what r
// gave.
func (r *recorder) privateKey(suite *ciphersuite.Suite, public []byte) ([]byte, error) {
	for _, drawn := range r.drawn {
		key, err := suite.GenerateHPKEKeyPair(bytes.NewReader(drawn))
		if err == nil && bytes.Equal(key.PublicKey(), public) {
			return key.Bytes(), nil
		}
	}
	return nil, errors.New("the key was not made of what the random source gave")
}
