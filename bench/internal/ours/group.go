package ours

import (
	"fmt"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Tree says who has committed in a group.
type Tree string

const (
	// Fresh: the creator has added all others in one commit with a path, and
	// nobody else has ever committed. Its commits need a ciphertext for each of
	// the others: the worst case.
	Fresh Tree = "fresh"
	// Warm: each parent of the tree has a key, and no leaf is unmerged, as after
	// everybody has committed. Commits need a ciphertext for each level.
	Warm Tree = "warm"
)

// A Group is a group as its first and its last member see it.
type Group struct {
	creator, last *client
	atCreator     *mls.Group
	atLast        *mls.Group
	// before is the creator's state before it added the last member.
	before *mls.Group
}

// NewGroup returns a group with n members, two at least.
func NewGroup(s *ciphersuite.Suite, tree Tree, n int) (*Group, error) {
	creator, err := newClient(s, "member 0")
	if err != nil {
		return nil, err
	}
	g := &Group{creator: creator}
	if g.atCreator, err = creator.newGroup(); err != nil {
		return nil, err
	}
	switch tree {
	case Fresh:
		err = g.growFresh(s, n)
	case Warm:
		err = g.growWarm(s, n)
	default:
		err = fmt.Errorf("no tree %q", tree)
	}
	if err != nil {
		return nil, fmt.Errorf("%v group of %d: %w", tree, n, err)
	}
	return g, nil
}

// growFresh adds all members at once. before is what it would be if all but the
// last had been added so.
func (g *Group) growFresh(s *ciphersuite.Suite, n int) error {
	var messages [][]byte
	var bundle *mls.KeyPackageBundle
	for i := 1; i < n; i++ {
		c, err := newClient(s, fmt.Sprint("member ", i))
		if err != nil {
			return err
		}
		if bundle, err = c.newKeyPackage(); err != nil {
			return err
		}
		messages = append(messages, bundle.Message())
		g.last = c
	}
	g.before = g.atCreator
	if n > 2 {
		pending, err := g.creator.add(g.atCreator, true, messages[:n-2]...)
		if err != nil {
			return err
		}
		g.before = pending.Group()
	}
	pending, err := g.creator.add(g.atCreator, true, messages...)
	if err != nil {
		return err
	}
	g.atCreator = pending.Group()
	g.atLast, err = g.last.join(pending.Welcome(), bundle)
	return err
}

// growWarm adds members in pairs of leaves that are siblings. The second of each
// pair joins and commits, and by that gives keys to all parents above the pair.
// Then the last member is added alone and commits as well.
//
// If each member joined and committed, the tree would have the same shape, and
// building it would take twice as long. Members are dropped after their commit:
// nobody but the creator processes those of the others, which would be quadratic.
// What remains quadratic is that who joins verifies all leaves.
func (g *Group) growWarm(s *ciphersuite.Suite, n int) error {
	for size := 1; size < n; {
		count := 1
		if size%2 == 0 && size+2 < n {
			count = 2
		}
		if size == n-1 {
			g.before = g.atCreator
		}
		var messages [][]byte
		var bundle *mls.KeyPackageBundle
		for i := range count {
			c, err := newClient(s, fmt.Sprint("member ", size+i))
			if err != nil {
				return err
			}
			if bundle, err = c.newKeyPackage(); err != nil {
				return err
			}
			messages = append(messages, bundle.Message())
			g.last = c
		}
		added, err := g.creator.add(g.atCreator, false, messages...)
		if err != nil {
			return err
		}
		joined, err := g.last.join(added.Welcome(), bundle)
		if err != nil {
			return err
		}
		updated, err := update(joined)
		if err != nil {
			return err
		}
		if g.atCreator, err = process(added.Group(), updated.Message()); err != nil {
			return err
		}
		g.atLast = updated.Group()
		size += count
	}
	return nil
}
