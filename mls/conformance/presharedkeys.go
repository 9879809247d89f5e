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
