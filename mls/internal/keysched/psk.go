package keysched

import (
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// MaxPSKs is how many PSKs an epoch can take in: their count is a uint16.
const MaxPSKs = 1<<16 - 1

// ErrTooManyPSKs means that there are more than [MaxPSKs] PSKs.
var ErrTooManyPSKs = errors.New("keysched: too many PSKs")

// A PSK is a pre-shared key to inject into an epoch.
type PSK struct {
	ID     []byte // encoded PreSharedKeyID
	Secret []byte
}

// PSKSecret combines PSKs, whose order matters, into the PSK secret of an epoch
// (RFC 9420, Section 8.4). Without PSKs it is all-zero. More than [MaxPSKs] are
// an error that matches [ErrTooManyPSKs]. The caller erases the result.
func PSKSecret(s *ciphersuite.Suite, psks []PSK) ([]byte, error) {
	if len(psks) > MaxPSKs {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrTooManyPSKs, len(psks), MaxPSKs)
	}
	secret := make([]byte, s.HashSize())
	var label []byte
	for i, psk := range psks {
		w := wire.NewWriter(label[:0])
		w.Bytes(psk.ID)
		w.Uint16(uint16(i))
		w.Uint16(uint16(len(psks)))
		label = w.Data()

		extracted := s.Extract(nil, psk.Secret) // no salt equals the all-zero one
		input := s.ExpandWithLabel(extracted, "derived psk", label, s.HashSize())
		next := s.Extract(input, secret)
		clear(extracted)
		clear(input)
		clear(secret)
		secret = next
	}
	return secret, nil
}
