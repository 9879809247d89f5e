package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// combinePSKs returns the psk_secret of ids. own answers for the PSKs that the
// group itself has and returns nil for others. RFC 9420, Section 8.4.
func combinePSKs(cfg *Config, s *ciphersuite.Suite, ids []PreSharedKeyID, own func(*PreSharedKeyID) []byte) ([]byte, error) {
	psks := make([]keysched.PSK, len(ids))
	for i := range ids {
		secret := own(&ids[i])
		if secret == nil {
			if cfg.PSK == nil {
				return nil, ErrUnknownPSK
			}
			var err error
			if secret, err = cfg.PSK(ids[i]); err != nil {
				return nil, fmt.Errorf("mls: looking a pre-shared key up: %w", err)
			}
		}
		psks[i] = keysched.PSK{ID: marshal(&ids[i]), Secret: secret}
	}
	return keysched.PSKSecret(s, psks)
}
