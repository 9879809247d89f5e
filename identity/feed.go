package identity

import (
	"bytes"
	"crypto/x509"
	"slices"
	"sync"

	"github.com/mendlink/mendlink/mls"
)

// maxPrevious is how many identities of before a [Feed] remembers for each of the present
// ones.
const maxPrevious = 4

// A Feed is what a program knows at a time: own identities, authorities to trust, and what is
// revoked. It gives new connections the identity of the moment and has living ones go on with it, as the
// Identities of netconn.Config; RootsFor and Revoked are for a validator. A [Live] is one that files
// fill; the zero Feed is empty, for what comes from elsewhere.
//
// All methods are safe for concurrent use.
type Feed struct {
	mu       sync.Mutex // guards all that follows
	now      knowledge
	watchers map[int]func()
	nextID   int
}

// knowledge is never changed in its parts: others take their places.
type knowledge struct {
	identities []mls.Identity
	previous   []mls.Identity // the newest first
	bundle     *TrustBundle   // nil: nobody is trusted
	revoked    *Revoked       // nil: nothing is
}

// SetIdentities puts own identities in the place of those before, which become previous
// ones. A connection shows the first whose key fits its cipher suite.
func (f *Feed) SetIdentities(identities ...mls.Identity) {
	f.change(func(k *knowledge) { k.setIdentities(identities) })
	f.notify()
}

// SetTrust puts authorities in the place of those before.
func (f *Feed) SetTrust(bundle *TrustBundle) {
	f.change(func(k *knowledge) { k.bundle = bundle })
	f.notify()
}

// SetRevoked puts another list of what is revoked in the place of the one before.
func (f *Feed) SetRevoked(revoked *Revoked) {
	f.change(func(k *knowledge) { k.revoked = revoked })
	f.notify()
}

func (f *Feed) change(set func(*knowledge)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set(&f.now)
}

func (f *Feed) known() knowledge {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (k *knowledge) setIdentities(identities []mls.Identity) {
	gone := slices.Concat(k.identities, k.previous)
	k.identities, k.previous = slices.Clone(identities), nil
	for _, id := range gone {
		if len(k.previous) < maxPrevious*len(identities) && !hasKeyOf(k.identities, id) && !hasKeyOf(k.previous, id) {
			k.previous = append(k.previous, id)
		}
	}
}

// hasKeyOf reports whether the key of id is that of one of the identities.
func hasKeyOf(identities []mls.Identity, id mls.Identity) bool {
	key, err := EncodePublicKey(id.Signer.Public())
	return err == nil && slices.ContainsFunc(identities, func(other mls.Identity) bool {
		b, err := EncodePublicKey(other.Signer.Public())
		return err == nil && bytes.Equal(b, key)
	})
}

// Identities returns the own identities of the moment.
func (f *Feed) Identities() []mls.Identity { return slices.Clone(f.known().identities) }

// PreviousIdentities returns some that were there before, the newest first. Sessions in a store
// may still be under them.
func (f *Feed) PreviousIdentities() []mls.Identity { return slices.Clone(f.known().previous) }

// RootsFor returns the authorities to trust for an end-entity certificate: see
// [TrustBundle.RootsFor].
func (f *Feed) RootsFor(leaf *x509.Certificate) (*x509.CertPool, error) {
	return f.known().bundle.RootsFor(leaf)
}

// Revoked returns an error that matches [ErrRevoked] if a certificate of a chain is not to be
// trusted any more: see [Revoked.Check].
func (f *Feed) Revoked(chain []*x509.Certificate) error { return f.known().revoked.Check(chain) }

// Watch has changed called after each change of anything, until stop is called, by whoever
// makes the change. It should be quick, and may call all methods of a Feed.
func (f *Feed) Watch(changed func()) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == nil {
		f.watchers = make(map[int]func())
	}
	id := f.nextID
	f.nextID++
	f.watchers[id] = changed
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, id)
	}
}

// notify calls those who watch, without the lock: they may begin or stop to watch.
func (f *Feed) notify() {
	f.mu.Lock()
	var all []func()
	for _, changed := range f.watchers {
		all = append(all, changed)
	}
	f.mu.Unlock()
	for _, changed := range all {
		changed()
	}
}
