package ciphersuite

import (
	"crypto/hmac"
	"fmt"
	"hash"

	"github.com/mendlink/mendlink/internal/wire"
)

// An Expander derives several secrets from one, at less cost than as many
// calls of [Suite.ExpandWithLabel]: HMAC takes the secret in once. Like HMAC's,
// its state cannot be erased. It is not safe for concurrent use.
type Expander struct {
	suite *Suite
	hmac  hash.Hash
	used  bool
}

// NewExpander returns an Expander of secret, which it does not keep.
func (s *Suite) NewExpander(secret []byte) *Expander {
	return &Expander{suite: s, hmac: hmac.New(s.kdf.newHash, secret)}
}

// ExpandWithLabel is [Suite.ExpandWithLabel] of the Expander's secret.
func (e *Expander) ExpandWithLabel(label string, context []byte, length int) []byte {
	if length > 1<<16-1 {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets", length))
	}
	if e.used {
		e.hmac.Reset()
	}
	e.used = true
	w := wire.NewWriter(make([]byte, 0, 64))
	w.Uint16(uint16(length))
	writeLabel(w, label)
	w.Length(len(context))
	return e.suite.kdf.expandKeyed(e.hmac, length, w.Data(), context)
}

// DeriveSecret is [Suite.DeriveSecret] of the Expander's secret.
func (e *Expander) DeriveSecret(label string) []byte {
	return e.ExpandWithLabel(label, nil, e.suite.kdf.size)
}
