// Package channels has the operations of package channel that are measured: two
// sessions and their record layers, in memory.
package channels

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Pair is two hosts, each of which permits the other's key alone.
type Pair struct {
	suite                *ciphersuite.Suite
	initiator, responder channel.Config
}

// NewPair returns two hosts. With stores, sessions can be resumed, and each
// step of theirs is saved.
func NewPair(id ciphersuite.ID, stores bool) (*Pair, error) {
	suite, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		return nil, err
	}
	p := &Pair{suite: suite}
	var identities [2]mls.Identity
	for i, name := range []string{"initiator", "responder"} {
		signer, err := suite.GenerateSigner(rand.Reader)
		if err != nil {
			return nil, err
		}
		identities[i] = identity.New(signer, name)
	}
	for i, cfg := range []*channel.Config{&p.initiator, &p.responder} {
		pinned, err := identity.NewPinned(identities[1-i].Signer.Public())
		if err != nil {
			return nil, err
		}
		*cfg = channel.Config{
			Identity: identities[i], Validator: pinned, Now: time.Now,
			Suites: []ciphersuite.ID{id}, PeerName: "responder",
		}
		if stores {
			cfg.Store = channel.NewMemoryStore(0)
		}
	}
	return p, nil
}

// Handshake is a full handshake, from two new sessions to all four keys of the
// record layers. What it leaves in the stores is deleted.
func (p *Pair) Handshake() measure.Op {
	return measure.Repeat(func() error {
		a, b, err := p.handshake(nil)
		if err != nil {
			return err
		}
		hangUp(a, b)
		return p.forget(a.session.ID())
	})
}

// forget deletes sessions from the stores.
func (p *Pair) forget(ids ...channel.SessionID) error {
	for _, cfg := range []*channel.Config{&p.initiator, &p.responder} {
		if cfg.Store == nil {
			continue
		}
		for _, id := range ids {
			if err := cfg.Store.Delete(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// KeepIn has the hosts keep sessions in other stores from now on.
func (p *Pair) KeepIn(initiator, responder channel.Store) {
	p.initiator.Store, p.responder.Store = initiator, responder
}

// Update is an update of one end with all that belongs to it: ConnectionUpdate,
// EpochKeyUpdate, KeySwitch, and new keys for both directions at both ends.
func (p *Pair) Update() (measure.Op, error) {
	a, b, err := p.handshake(nil)
	if err != nil {
		return nil, err
	}
	return measure.Repeat(func() error { return update(a, b) }), nil
}

// Resumption is a resumption, from what the stores hold to all four keys of the
// record layers.
func (p *Pair) Resumption() (measure.Op, error) {
	a, b, err := p.handshake(nil)
	if err != nil {
		return nil, err
	}
	id := a.session.ID()
	hangUp(a, b)
	return measure.Repeat(func() error {
		a, b, err := p.resumption(id, nil)
		if err != nil {
			return err
		}
		hangUp(a, b)
		return nil
	}), nil
}

// Refused is an attempt to resume a session that the responder's store has lost, and the full
// handshake that follows. It needs stores.
func (p *Pair) Refused() measure.Op {
	return func(n int) (func() error, error) {
		lost := make([]channel.SessionID, n)
		for i := range lost {
			var err error
			if lost[i], err = p.lose(); err != nil {
				return nil, err
			}
		}
		return func() error {
			for _, id := range lost {
				a, b, err := p.refused(id)
				if err != nil {
					return err
				}
				if err := p.forget(id, a.session.ID()); err != nil {
					return err
				}
				hangUp(a, b)
			}
			return nil
		}, nil
	}
}

// lose makes a session that the responder does not have any more.
func (p *Pair) lose() (id channel.SessionID, err error) {
	a, b, err := p.handshake(nil)
	if err != nil {
		return id, err
	}
	hangUp(a, b)
	return a.session.ID(), p.responder.Store.Delete(ctx, a.session.ID())
}

func (p *Pair) refused(id channel.SessionID) (a, b *end, err error) {
	resuming, err := channel.Resume(ctx, &p.initiator, id)
	if err != nil {
		return nil, nil, err
	}
	if a, b, err = p.connect(resuming, nil); err == nil && b.session.Resumed() {
		err = errors.New("the session was resumed")
	}
	return a, b, err
}

// NewKeys makes the keys of a direction's record protection from a traffic secret.
func (p *Pair) NewKeys() measure.Op {
	secret := make([]byte, p.suite.HashSize())
	return measure.Repeat(func() error {
		protection, err := record.NewProtection(p.suite, secret)
		if err != nil {
			return err
		}
		protection.Erase()
		return nil
	})
}

// Flights returns what the operations put on the wire, by their order.
func (p *Pair) Flights() (handshake, updated, resumption []Flight, err error) {
	a, b, err := p.handshake(&handshake)
	if err != nil {
		return nil, nil, nil, err
	}
	a.flights, b.flights = &updated, &updated
	if err := update(a, b); err != nil {
		return nil, nil, nil, err
	}
	hangUp(a, b)
	a, b, err = p.resumption(a.session.ID(), &resumption)
	if err != nil {
		return nil, nil, nil, err
	}
	hangUp(a, b)
	return handshake, updated, resumption, nil
}

func (p *Pair) handshake(flights *[]Flight) (a, b *end, err error) {
	initiator, err := channel.NewInitiator(&p.initiator)
	if err != nil {
		return nil, nil, err
	}
	return p.connect(initiator, flights)
}

func (p *Pair) resumption(id channel.SessionID, flights *[]Flight) (a, b *end, err error) {
	resuming, err := channel.Resume(ctx, &p.initiator, id)
	if err != nil {
		return nil, nil, err
	}
	if a, b, err = p.connect(resuming, flights); err == nil && !b.session.Resumed() {
		err = errors.New("the session was not resumed")
	}
	return a, b, err
}

// connect lets a session begin with the responder's host.
func (p *Pair) connect(s *channel.Session, flights *[]Flight) (a, b *end, err error) {
	start := time.Now()
	responder, err := channel.NewResponder(&p.responder)
	if err != nil {
		return nil, nil, err
	}
	a, b = &end{session: s, flights: flights}, &end{session: responder, flights: flights, spent: time.Since(start)}
	a.peer, b.peer = b, a
	if err := a.carryOut(s.Start(ctx)); err != nil {
		return nil, nil, err
	}
	if err := settle(a, b); err != nil {
		return nil, nil, err
	}
	if !a.complete || !b.complete {
		return nil, nil, fmt.Errorf("the ends are %v and %v, not complete", a.session.State(), b.session.State())
	}
	return a, b, nil
}

func update(a, b *end) error {
	return updateBy(a, b, func() error { return a.carryOut(a.session.Update(ctx, channel.ReasonRequested)) })
}

// updateFull is update in both groups, where a session has two.
func updateFull(a, b *end) error {
	return updateBy(a, b, func() error { return a.carryOut(a.session.UpdateFull(ctx, channel.ReasonRequested)) })
}

func updateBy(a, b *end, begin func() error) error {
	epoch := a.session.Epoch() + 1
	if err := a.timed(begin); err != nil {
		return err
	}
	if err := settle(a, b); err != nil {
		return err
	}
	for _, e := range []*end{a, b} {
		if e.session.Epoch() != epoch || e.session.State() != channel.StateSynced {
			return fmt.Errorf("after an update an end is %v in epoch %d, not at rest in %d", e.session.State(), e.session.Epoch(), epoch)
		}
	}
	return nil
}

// hangUp closes sessions and erases their keys.
func hangUp(ends ...*end) {
	for _, e := range ends {
		e.session.Close()
		e.send.Erase()
		e.receive.Erase()
	}
}
