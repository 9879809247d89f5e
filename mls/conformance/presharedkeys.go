package conformance

import "github.com/mendlink/mendlink/mls/internal/hooks"

// preSharedKeys has external PSKs and what they combine to.
type preSharedKeys struct {
	suited
	PSKs      []preSharedKey `json:"psks"`
	PSKSecret hexBytes       `json:"psk_secret"`
}

type preSharedKey struct {
	ID    hexBytes `json:"psk_id"`
	PSK   hexBytes `json:"psk"`
	Nonce hexBytes `json:"psk_nonce"`
}

func (v *preSharedKeys) check(c *checker) {
	psks := make([]hooks.ExternalPSK, len(v.PSKs))
	for i, p := range v.PSKs {
		psks[i] = hooks.ExternalPSK{ID: p.ID, Nonce: p.Nonce, Secret: p.PSK}
	}
	secret, err := hooks.MLS.PSKSecret(c.suite, psks)
	c.ok("psks", err)
	c.equal("psk_secret", secret, v.PSKSecret)
}

// generatePreSharedKeys makes cases of 0, 1, 2... PSKs.
func generatePreSharedKeys(g *generator) (vector, error) {
	v := &preSharedKeys{PSKs: []preSharedKey{}}
	v.CipherSuite = g.suite.ID()
	var psks []hooks.ExternalPSK
	for range g.index {
		p := preSharedKey{ID: g.octets(16), PSK: g.octets(32), Nonce: g.secret()}
		v.PSKs = append(v.PSKs, p)
		psks = append(psks, hooks.ExternalPSK{ID: p.ID, Nonce: p.Nonce, Secret: p.PSK})
	}
	secret, err := hooks.MLS.PSKSecret(g.suite, psks)
	v.PSKSecret = secret
	return v, err
}
