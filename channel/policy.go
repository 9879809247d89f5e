package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// An UpdatePolicy says when an end makes an update by itself. Each end has its
// own and follows it alone: an update heals the end that makes it. An update never
// interrupts the flow of data. In each field zero means the default, and a negative
// value never, or none.
type UpdatePolicy struct {
	// Every is the age of this end's private keys at which they are replaced.
	// Default: [DefaultUpdateEvery].
	Every time.Duration
	// FullEvery is the age of this end's post-quantum keys at which they are replaced, by a full
	// update, in a session of two groups. It counts through resumptions. Default: [DefaultFullEvery].
	FullEvery time.Duration
	// Jitter is the fraction, at most 1, by which each period of Every and FullEvery is shortened and BeforeExpiry
	// is lengthened at random, so that links that began together, or show one credential, do not
	// stay in step. Default: [DefaultUpdateJitter].
	Jitter float64
	// Bytes is how much application data, both directions taken together, may
	// flow between two updates of either end. Default: [DefaultUpdateBytes].
	Bytes int64
	// Records is how many records may. Default: [DefaultUpdateRecords].
	Records int64
	// Idle is how long, at least, no application data has flowed when one update is
	// made: what was sent before is healed, and what comes next begins with fresh
	// keys. It may be up to twice as long. Default: never.
	Idle time.Duration
	// BeforeExpiry is how long before the end of its validity, at least, this end's
	// credential is to be replaced. Default: never.
	BeforeExpiry time.Duration
	// Initiative says which of the ends follow their policy. Default: [EachEnd].
	Initiative Initiative
}

// Defaults of [UpdatePolicy].
const (
	DefaultUpdateEvery   = 5 * time.Minute
	DefaultFullEvery     = time.Hour
	DefaultUpdateJitter  = 0.1
	DefaultUpdateBytes   = 1 << 30
	DefaultUpdateRecords = 1 << 23
)

// Initiative says which ends make updates by themselves. It holds for this end's
// policy alone: an explicit call makes an update in any case, and so does a peer
// whose policy says so.
type Initiative uint8

// The initiatives.
const (
	// EachEnd makes its own updates: only these heal it.
	EachEnd Initiative = iota
	// OnlyInitiator: this end does if it is the initiator of the full handshake.
	OnlyInitiator
	// OnlyResponder: this end does if it is the responder of the full handshake.
	OnlyResponder
	// InTurns: this end's keys are not replaced because of their age before the peer
	// has made an update, once this end has made one.
	InTurns
)

// withDefaults returns p with nothing left open; what never happens is zero.
func (p UpdatePolicy) withDefaults() (UpdatePolicy, error) {
	if p.Jitter > 1 || p.Initiative > InTurns {
		return p, fmt.Errorf("channel: UpdatePolicy has Jitter %v and Initiative %d", p.Jitter, p.Initiative)
	}
	p.Every = orDefault(p.Every, DefaultUpdateEvery)
	p.FullEvery = orDefault(p.FullEvery, DefaultFullEvery)
	p.Jitter = orDefault(p.Jitter, DefaultUpdateJitter)
	p.Bytes = orDefault(p.Bytes, DefaultUpdateBytes)
	p.Records = orDefault(p.Records, DefaultUpdateRecords)
	p.Idle, p.BeforeExpiry = max(0, p.Idle), max(0, p.BeforeExpiry)
	return p, nil
}

func orDefault[T int64 | float64 | time.Duration](v, otherwise T) T {
	switch {
	case v == 0:
		return otherwise
	case v < 0:
		return 0
	}
	return v
}

// Verify returns an error if p cannot be followed.
func (p UpdatePolicy) Verify() error {
	_, err := p.withDefaults()
	return err
}

// A Schedule follows an [UpdatePolicy] for one connection: it is told what
// happens and says when an update is due and why. It has no clock and no goroutine;
// its driver asks it when the time has come that Next names, and when Count says so. It is safe for
// concurrent use, and Count takes no lock.
type Schedule struct {
	policy UpdatePolicy
	rand   io.Reader

	bytes, records atomic.Int64 // since the last update
	rested         atomic.Bool  // the idle update has been made
	acts           bool

	mu      sync.Mutex
	renewal time.Time // when the private keys are too old; zero: never
	full    time.Time // when the post-quantum keys are too old; zero: never, or there are none
	mayAge  bool      // it is this end's turn
	expiry  time.Time // of the credential; zero: never
	active  time.Time // when data was last seen to have flowed
	seen    int64     // records, then
}

// NewSchedule returns a Schedule that begins now. The responder's first period is
// half as long, so that two ends with one policy take turns. rand gives the jitter.
func NewSchedule(p UpdatePolicy, r Role, now time.Time, rand io.Reader) (*Schedule, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	if rand == nil {
		return nil, errors.New("channel: a Schedule needs a source of randomness")
	}
	s := &Schedule{policy: p, rand: rand, active: now, mayAge: true}
	s.acts = p.Initiative == EachEnd || p.Initiative == InTurns ||
		p.Initiative == OnlyInitiator && r == RoleInitiator || p.Initiative == OnlyResponder && r == RoleResponder
	period := p.Every
	if r == RoleResponder {
		period /= 2
		s.bytes.Store(p.Bytes / 2)
		s.records.Store(p.Records / 2)
	}
	s.seen = s.records.Load()
	if p.BeforeExpiry > 0 {
		early, err := s.jitter(p.BeforeExpiry)
		if err != nil {
			return nil, err
		}
		s.policy.BeforeExpiry += early
	}
	return s, s.renew(now, period)
}

// renew begins another period of the private keys' life.
func (s *Schedule) renew(now time.Time, period time.Duration) error {
	if s.policy.Every == 0 {
		return nil
	}
	early, err := s.jitter(period)
	if err != nil {
		return err
	}
	s.renewal = now.Add(period - early)
	return nil
}

// FullSince says that this end's post-quantum keys are from then: in a session of two groups,
// at the beginning and after each full update of this end's own. An error is that of the source of
// randomness.
func (s *Schedule) FullSince(then time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.policy.FullEvery == 0 {
		return nil
	}
	early, err := s.jitter(s.policy.FullEvery)
	if err != nil {
		return err
	}
	s.full = then.Add(s.policy.FullEvery - early)
	return nil
}

// jitter draws by how much something that is due after, or before, a period is due earlier.
func (s *Schedule) jitter(period time.Duration) (time.Duration, error) {
	var random [4]byte
	if _, err := io.ReadFull(s.rand, random[:]); err != nil {
		return 0, fmt.Errorf("channel: drawing the jitter of an update: %w", err)
	}
	part := float64(binary.BigEndian.Uint32(random[:])) / (1 << 32)
	return time.Duration(part * s.policy.Jitter * float64(period)), nil
}

// Count takes note of records with so many octets of application data, in either
// direction, and reports whether Due, and Next behind it, have to be asked because of them: an
// update is due, or they are the first after a rest.
func (s *Schedule) Count(records, octets int) bool {
	b, r := s.bytes.Add(int64(octets)), s.records.Add(int64(records))
	if !s.acts {
		return false
	}
	return s.policy.Bytes > 0 && b >= s.policy.Bytes || s.policy.Records > 0 && r >= s.policy.Records ||
		s.policy.Idle > 0 && s.rested.Load() && s.rested.CompareAndSwap(true, false)
}

// Expires says when this end's credential expires. The zero time means never.
func (s *Schedule) Expires(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiry = at
}

// Due returns the strongest reason for an update now, zero if there is none.
// [ReasonExpiry] asks for another credential as well: see [Session.Rotate].
func (s *Schedule) Due(now time.Time) UpdateReason {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(now)
	records := s.records.Load()
	switch {
	case !s.acts:
		return 0
	case reached(now, s.expiring()):
		return ReasonExpiry
	case reached(now, s.resting()):
		return ReasonIdle
	case s.mayAge && reached(now, s.full):
		return ReasonFullAge
	case s.mayAge && reached(now, s.renewal):
		return ReasonAge
	case s.policy.Records > 0 && records >= s.policy.Records:
		return ReasonRecords
	case s.policy.Bytes > 0 && s.bytes.Load() >= s.policy.Bytes:
		return ReasonBytes
	}
	return 0
}

// Next returns when Due has to be asked next because of time, zero for never.
func (s *Schedule) Next() (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.acts {
		return at
	}
	times := []time.Time{s.expiring(), s.resting()}
	if s.mayAge {
		times = append(times, s.renewal, s.full)
	}
	for _, t := range times {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// Updated says that an update has begun, of this end's own or of the peer's:
// what it serves is counted anew. An error is that of the source of randomness.
func (s *Schedule) Updated(now time.Time, own bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(now)
	s.bytes.Store(0)
	s.records.Store(0)
	s.seen = 0
	if !own {
		if s.policy.Initiative == InTurns && !s.mayAge {
			s.mayAge = true
			return s.renew(now, s.policy.Every)
		}
		return nil
	}
	s.rested.Store(true)
	s.mayAge = s.policy.Initiative != InTurns
	return s.renew(now, s.policy.Every)
}

// Defer says that an update that was due could not be begun: it is not tried
// again at once.
func (s *Schedule) Defer(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Store(0)
	s.records.Store(0)
	s.seen = 0
	retry := now.Add(max(time.Second, s.policy.Every/8))
	for _, due := range []*time.Time{&s.renewal, &s.full} {
		if !due.IsZero() && due.Before(retry) {
			*due = retry
		}
	}
	if t := s.expiring(); !t.IsZero() && t.Before(retry) {
		s.expiry = s.expiry.Add(retry.Sub(t))
	}
	s.active = now
}

// look takes note of whether data has flowed.
func (s *Schedule) look(now time.Time) {
	if n := s.records.Load(); n != s.seen {
		s.seen, s.active = n, now
		s.rested.Store(false)
	}
}

// resting returns when the connection has been quiet for long enough.
func (s *Schedule) resting() time.Time {
	if s.policy.Idle == 0 || s.rested.Load() {
		return time.Time{}
	}
	return s.active.Add(s.policy.Idle)
}

// expiring returns when the credential has to be replaced.
func (s *Schedule) expiring() time.Time {
	if s.policy.BeforeExpiry == 0 || s.expiry.IsZero() {
		return time.Time{}
	}
	return s.expiry.Add(-s.policy.BeforeExpiry)
}

func reached(now, at time.Time) bool { return !at.IsZero() && !now.Before(at) }
