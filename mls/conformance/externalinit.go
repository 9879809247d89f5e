package conformance

import (
	"crypto/rand"

	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// externalInit has the init secret that one who joins from outside agrees on
// with the group. RFC 9420, Section 8.3. The format is our own.
type externalInit struct {
	suited
	ExternalSecret hexBytes `json:"external_secret"`
	ExternalPub    hexBytes `json:"external_pub"`
	KEMOutput      hexBytes `json:"kem_output"`
	InitSecret     hexBytes `json:"init_secret"`
}

func (v *externalInit) check(c *checker) {
	key, err := keysched.ExternalKeyPair(c.suite, v.ExternalSecret)
	if !c.ok("external_secret", err) {
		return
	}
	c.equal("external_pub", key.PublicKey(), v.ExternalPub)
	secret, err := keysched.ReceiveExternalInit(c.suite, key, v.KEMOutput)
	c.ok("kem_output", err)
	c.equal("init_secret", secret, v.InitSecret)

	kemOutput, sent, err := keysched.SendExternalInit(c.suite, rand.Reader, v.ExternalPub)
	if c.ok("sending to external_pub", err) {
		secret, err := keysched.ReceiveExternalInit(c.suite, key, kemOutput)
		c.ok("kem_output of our own", err)
		c.equal("init_secret of our own", secret, sent)
	}
}

func generateExternalInit(g *generator) (vector, error) {
	v := &externalInit{ExternalSecret: g.secret()}
	v.CipherSuite = g.suite.ID()
	key, err := keysched.ExternalKeyPair(g.suite, v.ExternalSecret)
	if err != nil {
		return nil, err
	}
	v.ExternalPub = key.PublicKey()
	kemOutput, initSecret, err := keysched.SendExternalInit(g.suite, g.rand, v.ExternalPub)
	v.KEMOutput, v.InitSecret = kemOutput, initSecret
	return v, err
}
