// Package ours has the operations of package mls that are measured, and the
// groups that they take place in.
package ours

import (
	"crypto/rand"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// config believes everybody: who is who costs nothing here.
func config() *mls.Config {
	return &mls.Config{
		AuthenticationService: &mls.BasicAuthenticationService{
			Accept: func(identity, signatureKey []byte) error { return nil },
		},
		Now: time.Now,
	}
}

// A client can become a member.
type client struct {
	cfg   *mls.Config
	suite ciphersuite.ID
	id    mls.Identity
}

// newClient returns a client with a signature key of its own. Keys are there
// before anything is measured.
func newClient(s *ciphersuite.Suite, name string) (*client, error) {
	signer, err := s.GenerateSigner(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &client{config(), s.ID(), mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: signer}}, nil
}

func (c *client) newGroup() (*mls.Group, error) {
	return mls.NewGroup(c.cfg, mls.GroupOptions{Suite: c.suite, Identity: c.id})
}

func (c *client) newKeyPackage() (*mls.KeyPackageBundle, error) {
	return mls.NewKeyPackage(c.cfg, mls.KeyPackageOptions{Suite: c.suite, Identity: c.id})
}

func (c *client) join(welcome []byte, b *mls.KeyPackageBundle) (*mls.Group, error) {
	return mls.Join(c.cfg, welcome, b, mls.JoinOptions{})
}

// add commits the Add of key packages, as they came over the wire.
func (c *client) add(g *mls.Group, withPath bool, keyPackages ...[]byte) (*mls.PendingCommit, error) {
	o := mls.CommitOptions{WireFormat: mls.WireFormatPublicMessage, OmitPath: !withPath}
	for _, message := range keyPackages {
		unverified, err := mls.ParseKeyPackage(message)
		if err != nil {
			return nil, err
		}
		k, err := unverified.Verify(c.cfg)
		if err != nil {
			return nil, err
		}
		o.Proposals = append(o.Proposals, &mls.Add{KeyPackage: k})
	}
	return g.Commit(o)
}

// update makes an empty commit, which renews the keys above the committer.
func update(g *mls.Group) (*mls.PendingCommit, error) {
	return g.Commit(mls.CommitOptions{WireFormat: mls.WireFormatPublicMessage})
}

// process returns the epoch that a commit leads to.
func process(g *mls.Group, commit []byte) (*mls.Group, error) {
	received, err := g.Process(commit)
	if err != nil {
		return nil, err
	}
	return received.(*mls.ReceivedCommit).Group(), nil
}
