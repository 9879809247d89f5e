package ciphersuite

import (
	"encoding/binary"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// An Expander derives several secrets from one, at less cost than as many
// calls of [Suite.ExpandWithLabel]: HMAC takes the secret in once. Like HMAC's,
// its state cannot be erased. It is not safe for concurrent use.
type Expander struct {
	prf prf
}

// NewExpander returns an Expander of secret, which it does not keep.
func (s *Suite) NewExpander(secret []byte) *Expander {
	e := new(Expander)
	e.prf.init(s.kdf, secret)
	return e
}

// Expand is [Suite.Expand] of the Expander's secret.
func (e *Expander) Expand(info []byte, length int) []byte {
	return e.prf.expand(length, info)
}

// ExpandWithLabel is [Suite.ExpandWithLabel] of the Expander's secret.
func (e *Expander) ExpandWithLabel(label string, context []byte, length int) []byte {
	return e.prf.expandWithLabel(label, context, length)
}

// DeriveSecret is [Suite.DeriveSecret] of the Expander's secret.
func (e *Expander) DeriveSecret(label string) []byte {
	return e.prf.expandWithLabel(label, nil, e.prf.kdf.size)
}

// DeriveTreeSecret is [Suite.DeriveTreeSecret] of the Expander's secret.
func (e *Expander) DeriveTreeSecret(label string, generation uint32, length int) []byte {
	return e.prf.deriveTreeSecret(label, generation, length)
}

// expandWithLabel is ExpandWithLabel (RFC 9420, Section 8).
func (p *prf) expandWithLabel(label string, context []byte, length int) []byte {
	if length > 1<<16-1 {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets", length))
	}
	w := wire.NewWriter(p.label[:0])
	w.Uint16(uint16(length))
	writeLabel(w, label)
	w.Length(len(context))
	return p.expand(length, w.Data(), context)
}

// deriveTreeSecret is DeriveTreeSecret (RFC 9420, Section 9.1).
func (p *prf) deriveTreeSecret(label string, generation uint32, length int) []byte {
	binary.BigEndian.PutUint32(p.context[:], generation)
	return p.expandWithLabel(label, p.context[:], length)
}
