package conformance

import (
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// applicationPSKs has pre-shared keys of components and what they combine to
// (draft-ietf-mls-extensions, Section 4.5). The format is our own.
type applicationPSKs struct {
	suited
	PSKs      []applicationPSK `json:"psks"`
	PSKSecret hexBytes         `json:"psk_secret"`
}

type applicationPSK struct {
	Component uint16   `json:"component_id"`
	ID        hexBytes `json:"psk_id"`
	PSK       hexBytes `json:"psk"`
	Nonce     hexBytes `json:"psk_nonce"`
	Encoded   hexBytes `json:"pre_shared_key_id"`
}

func (v *applicationPSKs) combine(s *ciphersuite.Suite) (ids [][]byte, pskSecret []byte, err error) {
	psks := make([]hooks.ApplicationPSK, len(v.PSKs))
	for i, p := range v.PSKs {
		psks[i] = hooks.ApplicationPSK{Component: p.Component, ID: p.ID, Nonce: p.Nonce, Secret: p.PSK}
	}
	return hooks.MLS.ApplicationPSKs(s, psks)
}

func (v *applicationPSKs) check(c *checker) {
	ids, secret, err := v.combine(c.suite)
	c.ok("psks", err)
	c.equal("psk_secret", secret, v.PSKSecret)
	for i, id := range ids {
		c.equal(fmt.Sprintf("psks[%d].pre_shared_key_id", i), id, v.PSKs[i].Encoded)
	}
}

// generateApplicationPSKs makes cases of 1, 2, 3... PSKs, of which the first two
// have one ID in different components.
func generateApplicationPSKs(g *generator) (vector, error) {
	v := new(applicationPSKs)
	v.CipherSuite = g.suite.ID()
	id := g.octets(16)
	for i := range g.index + 1 {
		p := applicationPSK{Component: uint16(0x8000 + i), ID: id, PSK: g.octets(32), Nonce: g.secret()}
		if i > 1 {
			p.Component, p.ID = uint16(g.number(1<<16)), g.octets(g.number(40))
		}
		v.PSKs = append(v.PSKs, p)
	}
	ids, secret, err := v.combine(g.suite)
	for i, id := range ids {
		v.PSKs[i].Encoded = id
	}
	v.PSKSecret = secret
	return v, err
}
