package conformance

import (
	"fmt"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// apqClient is a client that joins a pair of groups and follows it through partial
// and full commits (draft-ietf-mls-combiner). The format is our own, after that of
// passive clients.
type apqClient struct {
	suited                 // of the traditional group
	PQSuite ciphersuite.ID `json:"pq_cipher_suite"`
	Time    int64          `json:"time"`
	T       apqKeys        `json:"t"`
	PQ      apqKeys        `json:"pq"`
	Welcome hexBytes       `json:"welcome"`
	Joined  apqState       `json:"joined"`
	Epochs  []apqEpoch     `json:"epochs"`
}

// apqKeys are a key package and its private keys.
type apqKeys struct {
	KeyPackage     hexBytes `json:"key_package"`
	SignaturePriv  hexBytes `json:"signature_priv"`
	EncryptionPriv hexBytes `json:"encryption_priv"`
	InitPriv       hexBytes `json:"init_priv"`
}

// apqState is what a pair has come to.
type apqState struct {
	Info            hexBytes `json:"apq_info"`
	TAuthenticator  hexBytes `json:"t_epoch_authenticator"`
	PQAuthenticator hexBytes `json:"pq_epoch_authenticator"`
}

type apqEpoch struct {
	Commit hexBytes `json:"commit"`
	Full   bool     `json:"full"`
	State  apqState `json:"state"`
}

// apqConfig is that of all clients of a case.
func apqConfig(now time.Time) *mls.Config {
	return &mls.Config{
		AuthenticationService: acceptAll{},
		Now:                   func() time.Time { return now },
		Components:            []mls.Component{mls.APQComponent()},
		WireFormats:           mls.WireFormats{mls.WireFormatAPQMessagePair},
	}
}

func (v *apqClient) check(c *checker) {
	pq, err := ciphersuite.Default().Lookup(v.PQSuite)
	if !c.ok("pq_cipher_suite", err) {
		return
	}
	b := &mls.APQKeyPackageBundle{T: v.T.bundle(c, "t", c.suite), PQ: v.PQ.bundle(c, "pq", pq)}
	if b.T == nil || b.PQ == nil {
		return
	}
	g, err := mls.JoinAPQ(apqConfig(time.Unix(v.Time, 0)), v.Welcome, b, mls.APQJoinOptions{})
	if !c.ok("welcome", err) {
		return
	}
	v.Joined.check(c, "joined", g)
	for i, e := range v.Epochs {
		received, err := g.Process(e.Commit)
		if !c.ok(fmt.Sprintf("epochs[%d].commit", i), err) || !c.that(received.Group() != nil, "epochs[%d].commit leads to no epoch", i) {
			return
		}
		c.that(received.Full() == e.Full, "epochs[%d].full is %t", i, e.Full)
		g.Erase()
		g = received.Group()
		e.State.check(c, fmt.Sprintf("epochs[%d].state", i), g)
	}
}

func (k *apqKeys) bundle(c *checker, name string, s *ciphersuite.Suite) *mls.KeyPackageBundle {
	signer, err := s.ParseSigner(k.SignaturePriv)
	if !c.ok(name+".signature_priv", err) {
		return nil
	}
	initKey, err := s.ParseHPKEPrivateKey(k.InitPriv)
	if !c.ok(name+".init_priv", err) {
		return nil
	}
	encryptionKey, err := s.ParseHPKEPrivateKey(k.EncryptionPriv)
	if !c.ok(name+".encryption_priv", err) {
		return nil
	}
	bundle, err := hooks.MLS.Bundle(s, k.KeyPackage, initKey, encryptionKey, signer)
	if !c.ok(name+".key_package", err) {
		return nil
	}
	return bundle.(*mls.KeyPackageBundle)
}

func (s *apqState) check(c *checker, name string, g *mls.APQGroup) {
	have, err := stateOf(g)
	if c.ok(name, err) {
		c.equal(name+".apq_info", have.Info, s.Info)
		c.equal(name+".t_epoch_authenticator", have.TAuthenticator, s.TAuthenticator)
		c.equal(name+".pq_epoch_authenticator", have.PQAuthenticator, s.PQAuthenticator)
	}
}

func stateOf(g *mls.APQGroup) (apqState, error) {
	d, err := g.T().Extensions().AppDataDictionary()
	info, _ := d.Find(mls.ComponentAPQInfo)
	return apqState{Info: info, TAuthenticator: g.T().EpochAuthenticator(), PQAuthenticator: g.PQ().EpochAuthenticator()}, err
}

// apqPartners are the pure post-quantum suites that go with traditional ones: of the
// same signature scheme.
var apqPartners = map[ciphersuite.ID]ciphersuite.ID{
	ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519:        ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519,
	ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256:             ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_P256,
	ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519: ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519,
	ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384:             ciphersuite.MLS_192_MLKEM1024_AES256GCM_SHA384_P384,
}

// An apqParty is a pair of groups with all of its members in one place.
type apqParty struct {
	*generator
	cfg     *mls.Config
	pq      ciphersuite.ID
	members []*mls.APQGroup
}

// identity returns a client, which appears alike in both groups, and its private
// signature key.
func (p *apqParty) identity(name string) (mls.Identity, []byte, error) {
	signer, err := p.signer()
	if err != nil {
		return mls.Identity{}, nil, err
	}
	return mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: signer}, signer.private, nil
}

// leaf keeps leaves the same when more suites are built in.
func (p *apqParty) leaf() mls.LeafOptions {
	return mls.LeafOptions{Capabilities: mls.Capabilities{CipherSuites: []ciphersuite.ID{p.suite.ID(), p.pq}}}
}

func (p *apqParty) bundle(id mls.Identity) (*mls.APQKeyPackageBundle, error) {
	return mls.NewAPQKeyPackage(p.cfg, mls.APQKeyPackageOptions{
		T:  mls.KeyPackageOptions{Suite: p.suite.ID(), Identity: id, Leaf: p.leaf()},
		PQ: mls.KeyPackageOptions{Suite: p.pq, Identity: id, Leaf: p.leaf()},
	})
}

// commit lets a member commit, all others process that, and the holder of b join,
// if there is one. It returns the commit.
func (p *apqParty) commit(by int, o mls.APQCommitOptions, b *mls.APQKeyPackageBundle) (*mls.APQPendingCommit, error) {
	if b != nil {
		o.Add = []*mls.APQKeyPackage{{T: b.T.KeyPackage(), PQ: b.PQ.KeyPackage()}}
	}
	pending, err := p.members[by].Commit(o)
	if err != nil {
		return nil, err
	}
	for i, m := range p.members {
		if i == by {
			p.members[i] = pending.Group()
			continue
		}
		received, err := m.Process(pending.Message())
		if err != nil {
			return nil, err
		}
		p.members[i] = received.Group() // nil: removed
	}
	if b != nil {
		g, err := mls.JoinAPQ(p.cfg, pending.Welcome(), b, mls.APQJoinOptions{})
		if err != nil {
			return nil, err
		}
		p.members = append(p.members, g)
	}
	return pending, nil
}

// generateAPQ makes a client that joins a pair of groups of two, and sees partial and
// full commits, somebody join, and somebody leave.
func generateAPQ(g *generator) (vector, error) {
	partner, ok := apqPartners[g.suite.ID()]
	if !ok {
		return nil, fmt.Errorf("conformance: no post-quantum suite goes with %v", g.suite.ID())
	}
	p := &apqParty{generator: g, cfg: apqConfig(generated), pq: partner}
	p.cfg.Rand = g.rand
	founder, _, err := p.identity("founder")
	if err != nil {
		return nil, err
	}
	first, err := mls.NewAPQGroup(p.cfg, mls.APQGroupOptions{
		T:  mls.GroupOptions{Suite: g.suite.ID(), Identity: founder, GroupID: g.octets(16), Leaf: p.leaf()},
		PQ: mls.GroupOptions{Suite: p.pq, Identity: founder, GroupID: g.octets(16), Leaf: p.leaf()},
	})
	if err != nil {
		return nil, err
	}
	p.members = []*mls.APQGroup{first}

	client, private, err := p.identity("client")
	if err != nil {
		return nil, err
	}
	b, err := p.bundle(client)
	if err != nil {
		return nil, err
	}
	v := &apqClient{PQSuite: p.pq, Time: generated.Unix(), T: keysOf(b.T, private), PQ: keysOf(b.PQ, private)}
	v.CipherSuite = g.suite.ID()
	pending, err := p.commit(0, mls.APQCommitOptions{}, b)
	if err != nil {
		return nil, err
	}
	v.Welcome = pending.Welcome()
	if v.Joined, err = stateOf(p.members[1]); err != nil {
		return nil, err
	}
	third, _, err := p.identity("third")
	if err != nil {
		return nil, err
	}
	added, err := p.bundle(third)
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		by  int
		o   mls.APQCommitOptions
		add *mls.APQKeyPackageBundle
	}{
		{0, mls.APQCommitOptions{}, nil},
		{0, mls.APQCommitOptions{Full: true}, nil},
		{0, mls.APQCommitOptions{}, added},
		{2, mls.APQCommitOptions{T: mls.CommitOptions{WireFormat: mls.WireFormatPublicMessage}}, nil}, // full, as it has joined
		{2, mls.APQCommitOptions{T: mls.CommitOptions{WireFormat: mls.WireFormatPublicMessage}}, nil},
		{0, mls.APQCommitOptions{Remove: []mls.LeafIndex{2}}, nil},
	} {
		if pending, err = p.commit(step.by, step.o, step.add); err != nil {
			return nil, err
		}
		e := apqEpoch{Commit: pending.Message(), Full: pending.Full()}
		if e.State, err = stateOf(p.members[1]); err != nil {
			return nil, err
		}
		v.Epochs = append(v.Epochs, e)
	}
	return v, nil
}

func keysOf(b *mls.KeyPackageBundle, signature []byte) apqKeys {
	initKey, encryptionKey := hooks.MLS.BundleKeys(b)
	return apqKeys{KeyPackage: b.Message(), SignaturePriv: signature, EncryptionPriv: encryptionKey, InitPriv: initKey}
}
