package ours

import (
	"fmt"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// messageSize is the size of the application data that is protected.
const messageSize = 1024

// Handshake is: the initiator makes a key package; the responder creates a group,
// adds it without a path and makes the Welcome; the initiator joins.
func Handshake(s *ciphersuite.Suite) (measure.Op, error) {
	initiator, err := newClient(s, "initiator")
	if err != nil {
		return nil, err
	}
	responder, err := newClient(s, "responder")
	if err != nil {
		return nil, err
	}
	return measure.Repeat(func() error {
		b, err := initiator.newKeyPackage()
		if err != nil {
			return err
		}
		g, err := responder.newGroup()
		if err != nil {
			return err
		}
		pending, err := responder.add(g, false, b.Message())
		if err != nil {
			return err
		}
		_, err = initiator.join(pending.Welcome(), b)
		return err
	}), nil
}

// Create is an empty commit of the creator.
func (g *Group) Create() measure.Op {
	return measure.Repeat(func() error {
		pending, err := update(g.atCreator)
		if err != nil {
			return err
		}
		pending.Erase()
		return nil
	})
}

// Process is the last member's processing of the creator's empty commit.
func (g *Group) Process() (measure.Op, error) {
	pending, err := update(g.atCreator)
	if err != nil {
		return nil, err
	}
	return measure.Repeat(func() error {
		next, err := process(g.atLast, pending.Message())
		if err != nil {
			return err
		}
		next.Erase()
		return nil
	}), nil
}

// Add is the creator's commit, without a path, that adds one more member, and the
// Welcome with the tree.
func (g *Group) Add() (measure.Op, error) {
	b, err := g.last.newKeyPackage()
	if err != nil {
		return nil, err
	}
	message := b.Message()
	return measure.Repeat(func() error {
		pending, err := g.creator.add(g.before, false, message)
		if err != nil {
			return err
		}
		pending.Erase()
		return nil
	}), nil
}

// Join is the last member's joining after Add.
func (g *Group) Join() measure.Op {
	return func(n int) (func() error, error) {
		bundles := make([]*mls.KeyPackageBundle, n)
		welcomes := make([][]byte, n)
		for i := range n {
			var err error
			if bundles[i], err = g.last.newKeyPackage(); err != nil {
				return nil, err
			}
			pending, err := g.creator.add(g.before, false, bundles[i].Message())
			if err != nil {
				return nil, err
			}
			welcomes[i] = pending.Welcome()
		}
		return func() error {
			for i := range n {
				joined, err := g.last.join(welcomes[i], bundles[i])
				if err != nil {
					return err
				}
				joined.Erase()
			}
			return nil
		}, nil
	}
}

// Protect is the encryption of 1 KiB.
func (g *Group) Protect() measure.Op {
	data := make([]byte, messageSize)
	return measure.Repeat(func() error {
		_, err := g.atCreator.Protect(data, nil)
		return err
	})
}

// Unprotect is the decryption of 1 KiB by the last member. Messages come in the
// order in which they were sent.
func (g *Group) Unprotect() (measure.Op, error) {
	// A pair of its own: generations that Protect uses are not skipped.
	sender, err := copyOf(g.creator, g.atCreator)
	if err != nil {
		return nil, err
	}
	receiver, err := copyOf(g.last, g.atLast)
	if err != nil {
		return nil, err
	}
	data := make([]byte, messageSize)
	return func(n int) (func() error, error) {
		messages := make([][]byte, n)
		for i := range messages {
			var err error
			if messages[i], err = sender.Protect(data, nil); err != nil {
				return nil, err
			}
		}
		return func() error {
			for _, m := range messages {
				if _, err := receiver.Process(m); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}, nil
}

// Marshal is the serialisation of the creator's state.
func (g *Group) Marshal() measure.Op {
	return measure.Repeat(func() error {
		_, err := g.atCreator.Marshal()
		return err
	})
}

// Restore undoes Marshal.
func (g *Group) Restore() (measure.Op, error) {
	state, err := g.atCreator.Marshal()
	if err != nil {
		return nil, err
	}
	return measure.Repeat(func() error {
		_, err := mls.RestoreGroup(g.creator.cfg, g.creator.id.Signer, state)
		return err
	}), nil
}

// CreateAndProcess is Create and Process together.
func (g *Group) CreateAndProcess() measure.Op {
	return measure.Repeat(func() error {
		pending, err := update(g.atCreator)
		if err != nil {
			return err
		}
		next, err := process(g.atLast, pending.Message())
		if err != nil {
			return err
		}
		pending.Erase()
		next.Erase()
		return nil
	})
}

// Sizes are the octets of messages, and of the state at rest.
type Sizes struct {
	KeyPackage, Welcome, Commit, Message, State int
}

// Sizes returns those of what the operations make.
func (g *Group) Sizes() (Sizes, error) {
	b, err := g.last.newKeyPackage()
	if err != nil {
		return Sizes{}, err
	}
	added, err := g.creator.add(g.before, false, b.Message())
	if err != nil {
		return Sizes{}, err
	}
	commit, err := update(g.atCreator)
	if err != nil {
		return Sizes{}, err
	}
	message, err := g.atCreator.Protect(make([]byte, messageSize), nil)
	if err != nil {
		return Sizes{}, err
	}
	state, err := g.atCreator.Marshal()
	if err != nil {
		return Sizes{}, err
	}
	return Sizes{len(b.Message()), len(added.Welcome()), len(commit.Message()), len(message), len(state)}, nil
}

func copyOf(c *client, g *mls.Group) (*mls.Group, error) {
	state, err := g.Marshal()
	if err != nil {
		return nil, fmt.Errorf("copying a group: %w", err)
	}
	return mls.RestoreGroup(c.cfg, c.id.Signer, state)
}
