package secrettree

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

var (
	// ErrConsumed means that a generation's key is gone: it was used, or it was
	// skipped so long ago, in messages or in time, that it was not kept.
	ErrConsumed = errors.New("secrettree: key was consumed")
	// ErrTooFarAhead means that a generation is more than [Limits.MaxForward]
	// ahead of its ratchet.
	ErrTooFarAhead = errors.New("secrettree: generation is too far ahead")
	// ErrExhausted means that a ratchet has reached generation 2^32-1, which is
	// never used, so that the counter cannot wrap around.
	ErrExhausted = errors.New("secrettree: ratchet is exhausted")
	// ErrNoSuchLeaf means that a leaf is not in the tree.
	ErrNoSuchLeaf = errors.New("secrettree: no such leaf")
)

// A Kind says which of a leaf's two ratchets is meant.
type Kind uint8

// The kinds of ratchets.
const (
	Handshake   Kind = iota // for proposals and commits
	Application             // for application messages
)

// The limits that the zero [Limits] stand for. With them, no jump that is
// allowed loses a key.
const (
	DefaultMaxForward = 1024
	DefaultMaxSkipped = 1024
)

// Limits bound the work and the memory that a peer's generation numbers can
// cause (RFC 9420, Section 15.3).
type Limits struct {
	// MaxForward is how many generations a message may be ahead of the next
	// expected one. Zero stands for DefaultMaxForward.
	MaxForward uint32
	// MaxSkipped is how many unused keys each ratchet keeps for messages out of
	// order; the oldest go first. Zero stands for DefaultMaxSkipped, a negative
	// number for none.
	MaxSkipped int
	// MaxAge is how long a skipped key can be used. Zero or less: as long as the
	// epoch lives.
	MaxAge time.Duration
	// Now returns the current time. Required if MaxAge is positive.
	Now func() time.Time
}

func (l Limits) withDefaults() Limits {
	if l.MaxForward == 0 {
		l.MaxForward = DefaultMaxForward
	}
	if l.MaxSkipped == 0 {
		l.MaxSkipped = DefaultMaxSkipped
	}
	l.MaxSkipped = max(l.MaxSkipped, 0)
	return l
}

// now returns the time to note beside a skipped key, in Unix seconds.
func (l *Limits) now() int64 {
	if l.MaxAge <= 0 {
		return 0
	}
	return l.Now().Unix()
}

// oldest returns the time since when a skipped key is not too old.
func (l *Limits) oldest() int64 {
	if l.MaxAge <= 0 {
		return math.MinInt64
	}
	return l.Now().Add(-l.MaxAge).Unix()
}

// A Tree is the secret tree of one epoch with the ratchets at its leaves
// (RFC 9420, Section 9). It is not safe for concurrent use.
type Tree struct {
	kdf      kdf
	limits   Limits
	frontier frontier
	ratchets table[uint32, *[2]ratchet] // by leaf, then by Kind; only leaves in use
}

// New returns the secret tree of an epoch with the given encryption secret, as
// large as a ratchet tree with that many leaves: rounded up to a full tree. The
// secret is copied; the caller erases its own.
func New(s *ciphersuite.Suite, encryptionSecret []byte, leaves uint32, limits Limits) *Tree {
	return newTree(s, encryptionSecret, leaves, limits)
}

func newTree(kdf kdf, encryptionSecret []byte, leaves uint32, limits Limits) *Tree {
	t := emptyTree(kdf, treemath.SizeFor(leaves), limits)
	t.frontier.plant(encryptionSecret)
	return t
}

func emptyTree(kdf kdf, size treemath.Size, limits Limits) *Tree {
	return &Tree{kdf: kdf, limits: limits.withDefaults(), frontier: frontier{size: size}}
}

// Next takes the next key of a leaf's ratchet, to encrypt one message. The tree
// cannot produce it again, whatever the caller does with it. Errors match
// [ErrNoSuchLeaf] or [ErrExhausted].
func (t *Tree) Next(leaf uint32, kind Kind) (*Key, error) {
	if err := t.checkLeaf(leaf); err != nil {
		return nil, err
	}
	r := t.ratchet(leaf, kind)
	if r.next == math.MaxUint32 {
		return nil, fmt.Errorf("%w: leaf %d", ErrExhausted, leaf)
	}
	k := &Key{Generation: r.next}
	k.derive(t.kdf, r.secret)
	r.step(k.following)
	clear(k.following)
	k.following = nil
	return k, nil
}

// Peek returns the key of a generation of a leaf's ratchet, to decrypt one
// message, and leaves the tree as it is: the caller then calls [Key.Consume] or
// [Key.Discard]. Errors match [ErrNoSuchLeaf], [ErrConsumed], [ErrTooFarAhead]
// or [ErrExhausted]; they cost no derivation.
func (t *Tree) Peek(leaf uint32, kind Kind, generation uint32) (*Key, error) {
	if err := t.checkLeaf(leaf); err != nil {
		return nil, err
	}
	k := &Key{Generation: generation, tree: t, leaf: leaf, kind: kind}
	var r ratchet
	if pair, ok := t.ratchets.get(leaf); ok {
		r = pair[kind]
	}
	switch {
	case generation < r.next:
		var ok bool
		if k.Key, k.Nonce, ok = r.peekSkipped(generation, &t.limits); !ok {
			return nil, fmt.Errorf("%w: generation %d of leaf %d", ErrConsumed, generation, leaf)
		}
		return k, nil
	case generation-r.next > t.limits.MaxForward:
		return nil, fmt.Errorf("%w: generation %d of leaf %d, expected %d to %d", ErrTooFarAhead,
			generation, leaf, r.next, uint64(r.next)+uint64(t.limits.MaxForward))
	case generation == math.MaxUint32:
		return nil, fmt.Errorf("%w: leaf %d", ErrExhausted, leaf)
	}
	if r.secret == nil {
		secret := t.frontier.peek(t.kdf, treemath.LeafIndex(leaf).Node())
		r.secret = root(t.kdf, secret, kind)
		clear(secret)
		defer clear(r.secret)
	}
	r.peek(t.kdf, k)
	return k, nil
}

// Used returns how many generations of a leaf's ratchet are used up: by [Tree.Next],
// all of them so far.
func (t *Tree) Used(leaf uint32, kind Kind) uint32 {
	pair, ok := t.ratchets.get(leaf)
	if !ok {
		return 0
	}
	return pair[kind].next
}

func (t *Tree) checkLeaf(leaf uint32) error {
	if leaf >= uint32(t.frontier.size) {
		return fmt.Errorf("%w: %d in a tree of %d", ErrNoSuchLeaf, leaf, t.frontier.size)
	}
	return nil
}

// ratchet returns a ratchet of a leaf that is in the tree. It derives the leaf's
// ratchets first if need be, which uses up the leaf's secret.
func (t *Tree) ratchet(leaf uint32, kind Kind) *ratchet {
	pair, ok := t.ratchets.get(leaf)
	if !ok {
		secret := t.frontier.take(t.kdf, treemath.LeafIndex(leaf).Node())
		pair = &[2]ratchet{
			Handshake:   {secret: root(t.kdf, secret, Handshake)},
			Application: {secret: root(t.kdf, secret, Application)},
		}
		clear(secret)
		t.ratchets.put(leaf, pair)
	}
	return &pair[kind]
}

// root derives the first secret of a ratchet from its leaf's secret.
func root(kdf kdf, leafSecret []byte, kind Kind) []byte {
	label := "handshake"
	if kind == Application {
		label = "application"
	}
	return kdf.ExpandWithLabel(leafSecret, label, nil, kdf.HashSize())
}

// Clone returns a copy that shares no memory with t. Keys that t handed out
// stay keys of t.
func (t *Tree) Clone() *Tree {
	c := &Tree{t.kdf, t.limits, t.frontier.clone(), slices.Clone(t.ratchets)}
	for i := range c.ratchets {
		pair := c.ratchets[i].value
		c.ratchets[i].value = &[2]ratchet{pair[Handshake].clone(), pair[Application].clone()}
	}
	return c
}

// EraseExpired erases the skipped keys that are older than [Limits.MaxAge]. They
// cannot be used any more in any case, and those of one ratchet are erased when
// a key of it is consumed.
func (t *Tree) EraseExpired() {
	for _, r := range t.ratchets {
		for i := range r.value {
			r.value[i].dropExpired(&t.limits)
		}
	}
}

// Erase erases all secrets and leaves a tree without leaves. Keys that were
// handed out stay usable.
func (t *Tree) Erase() {
	t.frontier.erase()
	for _, r := range t.ratchets {
		r.value[Handshake].erase()
		r.value[Application].erase()
	}
	t.ratchets = nil
}
