package webtoken

import (
	"bytes"
	"crypto"
	"fmt"
	"slices"
	"sync"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/mendlink/mendlink/channel"
)

// An IssuerKey is a public key of an issuer: Ed25519, ECDSA on P-256, P-384 or P-521, or RSA of 2048 to
// 8192 bits.
type IssuerKey struct {
	// ID is the kid by which tokens name the key. A key without one is tried for all tokens.
	ID  string
	Key crypto.PublicKey
}

// Issuers are the issuers to trust, with their keys, which change while connections live: those ask
// their validator about the peer again, if their Identities are followed (see [Issuers.With]). The zero
// value trusts nobody.
//
// An issuer is known by its iss, or, where a token has none and its sub is a SPIFFE ID, by the trust
// domain: "spiffe://example.org". All methods are safe for concurrent use.
type Issuers struct {
	mu       sync.Mutex // guards what follows
	keys     map[string][]IssuerKey
	watchers map[int]func()
	nextID   int
}

// Set puts keys of an issuer in the place of those before. Without any it is trusted no more. An error
// matches [ErrKeyKind] and leaves all as it was.
func (i *Issuers) Set(issuer string, keys ...IssuerKey) error {
	for n, k := range keys {
		if _, err := issuerAlgorithms(k.Key); err != nil {
			return fmt.Errorf("webtoken: key %d of issuer %q: %w", n, issuer, err)
		}
	}
	i.mu.Lock()
	if i.keys == nil {
		i.keys = make(map[string][]IssuerKey)
	}
	if i.keys[issuer] = slices.Clone(keys); len(keys) == 0 {
		delete(i.keys, issuer)
	}
	i.mu.Unlock()
	i.notify()
	return nil
}

// SetJWKS is Set for a JWK Set, as issuers publish it. Keys for encryption are left out; of
// others a private or unsupported one is an error. RFC 7517.
func (i *Issuers) SetJWKS(issuer string, set []byte) error {
	var parsed jose.JSONWebKeySet
	decoder := json.NewDecoder(bytes.NewReader(set))
	if err := decoder.Decode(&parsed); err != nil {
		return fmt.Errorf("%w: JWK Set of %q: %w", ErrKeyKind, issuer, err)
	}
	var keys []IssuerKey
	for _, k := range parsed.Keys {
		if k.Use == "enc" {
			continue
		}
		keys = append(keys, IssuerKey{k.KeyID, k.Key})
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: JWK Set of %q has no key for signatures", ErrKeyKind, issuer)
	}
	return i.Set(issuer, keys...)
}

// Remove trusts an issuer no more.
func (i *Issuers) Remove(issuer string) {
	i.mu.Lock()
	delete(i.keys, issuer)
	i.mu.Unlock()
	i.notify()
}

// candidates returns the keys of an issuer that a token with this kid can be signed with, at least
// one.
func (i *Issuers) candidates(issuer, kid string, hasKID bool) ([]IssuerKey, error) {
	i.mu.Lock()
	keys, ok := i.keys[issuer]
	i.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%w: issuer %q", ErrIssuer, issuer)
	}
	var fit []IssuerKey
	for _, k := range keys {
		if !hasKID || k.ID == "" || k.ID == kid {
			fit = append(fit, k)
		}
	}
	if len(fit) == 0 {
		return nil, fmt.Errorf("%w: issuer %q has no key %q", ErrIssuer, issuer, kid)
	}
	return fit, nil
}

// Watch has changed called after each change, until stop is called, by whoever makes the change. It
// should be quick.
func (i *Issuers) Watch(changed func()) (stop func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.watchers == nil {
		i.watchers = make(map[int]func())
	}
	id := i.nextID
	i.nextID++
	i.watchers[id] = changed
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.watchers, id)
	}
}

// notify calls those who watch, without the lock.
func (i *Issuers) notify() {
	i.mu.Lock()
	var all []func()
	for _, changed := range i.watchers {
		all = append(all, changed)
	}
	i.mu.Unlock()
	for _, changed := range all {
		changed()
	}
}

// With returns a source of the same identities that tells of changes of the issuers as well, for the
// Identities of a connection's configuration: so living connections ask about their peer again when
// an issuer's keys change.
func (i *Issuers) With(source channel.IdentitySource) channel.IdentitySource {
	return following{source, i}
}

type following struct {
	channel.IdentitySource
	issuers *Issuers
}

func (f following) Watch(changed func()) (stop func()) {
	identities, issuers := f.IdentitySource.Watch(changed), f.issuers.Watch(changed)
	return func() {
		identities()
		issuers()
	}
}
