package conformance

import (
	"bytes"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// passiveClient is a client that joins a group and follows it.
type passiveClient struct {
	suited
	ExternalPSKs   []passivePSK   `json:"external_psks"`
	KeyPackage     hexBytes       `json:"key_package"`
	SignaturePriv  hexBytes       `json:"signature_priv"`
	EncryptionPriv hexBytes       `json:"encryption_priv"`
	InitPriv       hexBytes       `json:"init_priv"`
	Welcome        hexBytes       `json:"welcome"`
	RatchetTree    *hexBytes      `json:"ratchet_tree"`
	Authenticator  hexBytes       `json:"initial_epoch_authenticator"`
	Epochs         []passiveEpoch `json:"epochs"`
	// Successor is how the client joins a group that continues this one, by
	// re-initialization or as a branch. It is our addition to the format.
	Successor *passiveClient `json:"successor,omitempty"`
	// Components are those that the client knows, each of which replaces its data
	// by what an update brings. It is our addition to the format.
	Components []uint16 `json:"components,omitempty"`
}

type passivePSK struct {
	ID  hexBytes `json:"psk_id"`
	PSK hexBytes `json:"psk"`
}

type passiveEpoch struct {
	Proposals     []hexBytes `json:"proposals"`
	Commit        hexBytes   `json:"commit"`
	Authenticator hexBytes   `json:"epoch_authenticator"`
	// SafeExports are secrets of components in the epoch, in the order in which
	// they are exported. It is our addition to the format.
	SafeExports []componentSecret `json:"safe_exports,omitempty"`
	// AppEphemerals are what the commit says to components, in its order, and
	// AppData is what they have in the GroupContext after it. They are our
	// addition to the format.
	AppEphemerals []componentEntry `json:"app_ephemerals,omitempty"`
	AppData       []componentEntry `json:"app_data,omitempty"`
}

// keptResumptionPSKs is how many epochs back a case can use resumption PSKs.
const keptResumptionPSKs = 256

func (v *passiveClient) check(c *checker) {
	bundle := v.bundle(c)
	if bundle == nil {
		return
	}
	notBefore, notAfter, err := hooks.MLS.WelcomeLifetime(v.config(time.Time{}), bundle, v.Welcome, v.tree())
	if !c.ok("welcome", err) {
		return
	}
	// Vectors stay and lifetimes end, so the time is one that they were made for.
	v.follow(c, bundle, time.Unix(int64(notBefore/2+notAfter/2), 0), nil)
}

// tree returns the tree that came apart from the Welcome, nil if there is none.
func (v *passiveClient) tree() []byte {
	if v.RatchetTree == nil {
		return nil
	}
	return *v.RatchetTree
}

// follow joins the group, follows it through its epochs and goes on with its
// successor. previous is the group that it continues, if any.
func (v *passiveClient) follow(c *checker, bundle *mls.KeyPackageBundle, now time.Time, previous *mls.Group) {
	g, err := mls.Join(v.config(now), v.Welcome, bundle, mls.JoinOptions{RatchetTree: v.tree(), Previous: previous})
	if !c.ok("welcome", err) {
		return
	}
	c.that(g.Suite().ID() == v.CipherSuite, "cipher_suite is %v, want %v", v.CipherSuite, g.Suite())
	c.equal("initial_epoch_authenticator", g.EpochAuthenticator(), v.Authenticator)
	for i := range v.Epochs {
		if g = c.nextEpoch(i, g, &v.Epochs[i]); g == nil {
			return
		}
	}
	next := v.Successor
	if next == nil {
		return
	}
	if c.suite, err = ciphersuite.Default().Lookup(next.CipherSuite); !c.ok("cipher_suite of the successor", err) {
		return
	}
	if bundle := next.bundle(c); bundle != nil {
		next.follow(c, bundle, now, g)
	}
}

// nextEpoch processes the messages of an epoch and returns the one that they
// lead to, nil if that fails.
func (c *checker) nextEpoch(i int, g *mls.Group, e *passiveEpoch) *mls.Group {
	for k, p := range e.Proposals {
		received, err := g.Process(p)
		if !c.ok(fmt.Sprintf("epochs[%d].proposals[%d]", i, k), err) {
			return nil
		}
		_, ok := received.(*mls.ReceivedProposal)
		c.that(ok, "epochs[%d].proposals[%d] is a %T", i, k, received)
	}
	received, err := g.Process(e.Commit)
	if !c.ok(fmt.Sprintf("epochs[%d].commit", i), err) {
		return nil
	}
	commit, ok := received.(*mls.ReceivedCommit)
	if !c.that(ok, "epochs[%d].commit is a %T", i, received) || !c.that(commit.Group() != nil, "epochs[%d].commit removes the client", i) {
		return nil
	}
	g.Erase()
	g = commit.Group()
	c.equal(fmt.Sprintf("epochs[%d].epoch_authenticator", i), g.EpochAuthenticator(), e.Authenticator)
	c.appData(i, commit, e)
	for k, x := range e.SafeExports {
		secret, err := g.SafeExportSecret(mls.ComponentID(x.Component))
		if c.ok(fmt.Sprintf("epochs[%d].safe_exports[%d]", i, k), err) {
			c.equal(fmt.Sprintf("epochs[%d].safe_exports[%d].secret", i, k), secret, x.Secret)
		}
	}
	return g
}

// bundle returns the client's key package with the private keys, which have to
// belong to it.
func (v *passiveClient) bundle(c *checker) *mls.KeyPackageBundle {
	signer, err := c.suite.ParseSigner(v.SignaturePriv)
	if !c.ok("signature_priv", err) {
		return nil
	}
	initKey, err := c.suite.ParseHPKEPrivateKey(v.InitPriv)
	if !c.ok("init_priv", err) {
		return nil
	}
	encryptionKey, err := c.suite.ParseHPKEPrivateKey(v.EncryptionPriv)
	if !c.ok("encryption_priv", err) {
		return nil
	}
	bundle, err := hooks.MLS.Bundle(c.suite, v.KeyPackage, initKey, encryptionKey, signer)
	if !c.ok("key_package", err) {
		return nil
	}
	return bundle.(*mls.KeyPackageBundle)
}

// config returns a configuration that believes everybody.
func (v *passiveClient) config(now time.Time) *mls.Config {
	var components []mls.Component
	for _, id := range v.Components {
		components = append(components, mls.Component{ID: mls.ComponentID(id)})
	}
	return &mls.Config{
		AuthenticationService: acceptAll{},
		Components:            components,
		Now:                   func() time.Time { return now },
		MaxLifetime:           -1,
		ResumptionPSKs:        keptResumptionPSKs,
		OneSignature:          true,
		PSK:                   func(id mls.PreSharedKeyID) ([]byte, error) { return findPSK(v.ExternalPSKs, id) },
		SelfRemove:            true,
	}
}

func findPSK(psks []passivePSK, id mls.PreSharedKeyID) ([]byte, error) {
	for _, p := range psks {
		if id.Type == mls.PSKExternal && bytes.Equal(p.ID, id.ID) {
			return p.PSK, nil
		}
	}
	return nil, mls.ErrUnknownPSK
}

// acceptAll is an Authentication Service that believes everybody.
type acceptAll struct{}

func (acceptAll) ValidateLeaf(leaf, previous *mls.LeafNode) error { return nil }

func (acceptAll) ValidateExternalSender(*mls.ExternalSender) error { return nil }
