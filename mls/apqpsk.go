package mls

import (
	"bytes"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// apqPSK is the pre-shared key that an epoch of the post-quantum group gives to
// the traditional one. draft-ietf-mls-combiner, Section 5.2.
type apqPSK struct {
	id, secret []byte
	asked      int // how often the traditional group has asked for a key of a pair
	used       int // how often for this one
}

// exportPSK takes the key of an epoch out of the post-quantum group, which is
// possible once. t is the suite of the traditional group, whose KDF makes the
// key and its name.
func exportPSK(pq *Group, t *ciphersuite.Suite) (*apqPSK, error) {
	exporter, err := pq.SafeExportSecret(ComponentAPQInfo)
	if err != nil {
		return nil, err
	}
	return newAPQPSK(exporter, t), nil
}

// newAPQPSK makes the key and its name of apq_exporter, which it erases.
func newAPQPSK(exporter []byte, t *ciphersuite.Suite) *apqPSK {
	defer clear(exporter)
	return &apqPSK{id: t.DeriveSecret(exporter, "psk_id"), secret: t.DeriveSecret(exporter, "psk")}
}

// proposal returns the proposal that mixes k into an epoch of the traditional group.
func (k *apqPSK) proposal(cfg *Config, t *ciphersuite.Suite) (*PreSharedKey, error) {
	nonce := make([]byte, t.HashSize())
	if _, err := io.ReadFull(cfg.Rand, nonce); err != nil {
		return nil, fmt.Errorf("mls: drawing a nonce: %w", err)
	}
	return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKApplication, Component: ComponentAPQInfo, ID: k.id, Nonce: nonce}}, nil
}

// isAPQPSK reports whether id names a key of a pair.
func isAPQPSK(id *PreSharedKeyID) bool {
	return id.Type == PSKApplication && id.Component == ComponentAPQInfo
}

// lookUp returns the key if id names it, else nil. There may be none.
func (k *apqPSK) lookUp(id *PreSharedKeyID) []byte {
	if k == nil || !isAPQPSK(id) {
		return nil
	}
	k.asked++
	if !bytes.Equal(id.ID, k.id) {
		return nil
	}
	k.used++
	return k.secret
}

// verifyUse checks that an epoch of the traditional group has been made with k
// and no other key of a pair, given how many it names.
func (k *apqPSK) verifyUse(named int) error {
	if named != 1 || k.used == 0 || k.used != k.asked {
		return invalid(CheckAPQPSK, "%d keys of the post-quantum group are named, this epoch's %d of %d times", named, k.used, k.asked)
	}
	return nil
}

func (k *apqPSK) erase() { clear(k.secret) }
