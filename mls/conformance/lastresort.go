package conformance

import (
	"time"

	"github.com/mendlink/mendlink/mls"
)

// lastResort has a key package and whether it is one of last resort
// (draft-ietf-mls-extensions, Section 6.4). The format is our own.
type lastResort struct {
	suited
	KeyPackage hexBytes `json:"key_package"`
	Ref        hexBytes `json:"key_package_ref"`
	LastResort bool     `json:"last_resort"`
}

func (v *lastResort) check(c *checker) {
	unverified, err := mls.ParseKeyPackage(v.KeyPackage)
	if !c.ok("key_package", err) {
		return
	}
	k, err := unverified.Verify(&mls.Config{AuthenticationService: acceptAll{}, Now: func() time.Time { return generated }})
	if !c.ok("verifying key_package", err) {
		return
	}
	c.that(k.CipherSuite == v.CipherSuite, "key_package is for suite %v, want %v", k.CipherSuite, v.CipherSuite)
	c.equal("key_package_ref", k.Ref(c.suite), v.Ref)
	marked, err := k.LastResort()
	if c.ok("last_resort", err) {
		c.that(marked == v.LastResort, "last_resort is %t, want %t", marked, v.LastResort)
	}
}

// generateLastResort makes key packages, of which every other one is one of last
// resort. The others have a dictionary as well.
func generateLastResort(g *generator) (vector, error) {
	v := &lastResort{LastResort: g.index%2 == 0}
	v.CipherSuite = g.suite.ID()
	p := emptyParty(g, partyOptions{})
	c, err := p.newIdentity()
	if err != nil {
		return nil, err
	}
	leaf, err := p.leafOptions()
	if err != nil {
		return nil, err
	}
	entry, err := mls.AppDataDictionary{{ID: 0x8000, Data: g.octets(8)}}.Extension()
	if err != nil {
		return nil, err
	}
	bundle, err := mls.NewKeyPackage(p.cfg, mls.KeyPackageOptions{
		Suite: g.suite.ID(), Identity: c.identity, Leaf: leaf, Extensions: mls.Extensions{entry}, LastResort: v.LastResort,
	})
	if err != nil {
		return nil, err
	}
	v.KeyPackage, v.Ref = bundle.Message(), bundle.KeyPackage().Ref(g.suite)
	return v, nil
}
