package channel

import (
	"bytes"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Unix(1_800_000_000, 0)

// exact is a policy in which nothing happens but what a test asks for.
var exact = UpdatePolicy{Every: -1, Jitter: -1, Bytes: -1, Records: -1}

func newSchedule(t tb, p UpdatePolicy, r Role) *Schedule {
	t.Helper()
	s, err := NewSchedule(p, r, noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPolicyThatWantsNothingNeverDoes(t *testing.T) {
	s := newSchedule(t, exact, RoleInitiator)
	if s.Count(1<<30, 1<<30) || s.Due(noon.Add(1e6*time.Hour)) != 0 || !s.Next().IsZero() {
		t.Error("an update is due")
	}
}

func TestDefaultsOfAPolicy(t *testing.T) {
	s := newSchedule(t, UpdatePolicy{}, RoleInitiator)
	if at := s.Next(); at.After(noon.Add(DefaultUpdateEvery)) || at.Before(noon.Add(DefaultUpdateEvery*9/10)) {
		t.Errorf("the first update is due %v from now", at.Sub(noon))
	}
	if s.Count(DefaultUpdateRecords-1, DefaultUpdateBytes-1) || !s.Count(1, 0) || s.Due(noon) != ReasonRecords {
		t.Error("not due by records")
	}
	s = newSchedule(t, UpdatePolicy{}, RoleInitiator)
	if !s.Count(1, DefaultUpdateBytes) || s.Due(noon) != ReasonBytes {
		t.Error("not due by bytes")
	}
}

func TestKeysAreReplacedAtTheirAge(t *testing.T) {
	p := exact
	p.Every = time.Minute
	s := newSchedule(t, p, RoleInitiator)
	if s.Due(noon.Add(time.Minute-1)) != 0 || s.Due(noon.Add(time.Minute)) != ReasonAge {
		t.Error("not due at its age")
	}
	s.Updated(noon.Add(30*time.Second), false) // the peer's does not heal this end
	if s.Due(noon.Add(time.Minute)) != ReasonAge {
		t.Error("an update of the peer counts")
	}
	s.Updated(noon.Add(30*time.Second), true)
	if s.Due(noon.Add(time.Minute)) != 0 || !s.Next().Equal(noon.Add(90*time.Second)) {
		t.Error("an own update does not count")
	}
	if r := newSchedule(t, p, RoleResponder); !r.Next().Equal(noon.Add(30 * time.Second)) {
		t.Errorf("the responder begins %v from now", r.Next().Sub(noon))
	}
}

func TestJitterSpreadsUpdates(t *testing.T) {
	p := exact
	p.Every, p.Jitter = time.Hour, 0.5
	var earliest, latest time.Duration = time.Hour, 0
	for range 200 {
		d := newSchedule(t, p, RoleInitiator).Next().Sub(noon)
		earliest, latest = min(earliest, d), max(latest, d)
	}
	if earliest < 30*time.Minute || latest > time.Hour || latest-earliest < 20*time.Minute {
		t.Errorf("periods are between %v and %v", earliest, latest)
	}
	if _, err := NewSchedule(p, RoleInitiator, noon, iotest.ErrReader(errStore)); !errors.Is(err, errStore) {
		t.Errorf("without randomness: %v", err)
	}
	s, err := NewSchedule(p, RoleInitiator, noon, bytes.NewReader(make([]byte, 4)))
	if err != nil || !s.Next().Equal(noon.Add(time.Hour)) {
		t.Errorf("%v, %v", s, err)
	}
	if err := s.Updated(noon, true); err == nil {
		t.Error("a failure of the randomness is not reported")
	}
}

func TestTrafficIsCountedFromTheLastUpdateOfEither(t *testing.T) {
	p := exact
	p.Bytes, p.Records = 100, 10
	s := newSchedule(t, p, RoleInitiator)
	if s.Count(1, 99) || !s.Count(1, 1) || s.Due(noon) != ReasonBytes {
		t.Error("not due by bytes")
	}
	s.Updated(noon, false)
	if s.Due(noon) != 0 || s.Count(9, 0) || !s.Count(1, 0) || s.Due(noon) != ReasonRecords {
		t.Error("not due by records")
	}
	s.Defer(noon)
	if s.Due(noon) != 0 || s.Count(9, 99) {
		t.Error("an update that was put off is due at once")
	}
	if r := newSchedule(t, p, RoleResponder); r.Count(1, 49) || !r.Count(1, 1) {
		t.Error("the responder's first period is not half as long")
	}
}

func TestQuietConnectionIsHealedOnce(t *testing.T) {
	p := exact
	p.Idle = time.Minute
	s := newSchedule(t, p, RoleInitiator)
	s.Count(1, 1)
	if s.Due(noon.Add(time.Minute)) != 0 {
		t.Error("due while data flows")
	}
	at := s.Next()
	if !at.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("asked again %v from the beginning", at.Sub(noon))
	}
	if s.Due(at) != ReasonIdle {
		t.Error("not due though it is quiet")
	}
	s.Updated(at, true)
	if s.Due(at.Add(time.Hour)) != 0 || !s.Next().IsZero() {
		t.Error("due again though nothing has flowed")
	}
	s.Count(1, 1)
	if s.Due(at.Add(2*time.Hour)) != 0 || s.Due(at.Add(2*time.Hour+time.Minute)) != ReasonIdle {
		t.Error("not due once data has flowed again and ceased")
	}
}

// Many connections show one credential. They are not to replace it all at once.
func TestReplacementOfACredentialIsSpread(t *testing.T) {
	p := exact
	p.BeforeExpiry, p.Jitter = time.Hour, 0.5
	seen := make(map[time.Time]bool)
	for range 50 {
		s := newSchedule(t, p, RoleInitiator)
		s.Expires(noon.Add(3 * time.Hour))
		at := s.Next()
		if at.After(noon.Add(2*time.Hour)) || at.Before(noon.Add(90*time.Minute)) {
			t.Errorf("due %v before it expires, want 1h to 1h30m", noon.Add(3*time.Hour).Sub(at))
		}
		seen[at] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 connections have %d times", len(seen))
	}
}

func TestCredentialIsReplacedBeforeItExpires(t *testing.T) {
	p := exact
	p.BeforeExpiry = time.Hour
	s := newSchedule(t, p, RoleInitiator)
	if !s.Next().IsZero() {
		t.Error("due though nothing expires")
	}
	s.Expires(noon.Add(3 * time.Hour))
	if s.Due(noon.Add(2*time.Hour-1)) != 0 || s.Due(noon.Add(2*time.Hour)) != ReasonExpiry || !s.Next().Equal(noon.Add(2*time.Hour)) {
		t.Error("not due an hour before it expires")
	}
	s.Defer(noon.Add(2 * time.Hour))
	if at := s.Next(); !at.Equal(noon.Add(2*time.Hour + time.Second)) {
		t.Errorf("tried again at %v", at)
	}
	s.Expires(noon.Add(100 * time.Hour))
	if s.Due(noon.Add(3*time.Hour)) != 0 {
		t.Error("due with a new one")
	}
}

func TestInitiativeSaysWhoActs(t *testing.T) {
	p := exact
	p.Every = time.Minute
	for _, test := range []struct {
		i    Initiative
		r    Role
		acts bool
	}{
		{EachEnd, RoleInitiator, true}, {EachEnd, RoleResponder, true},
		{OnlyInitiator, RoleInitiator, true}, {OnlyInitiator, RoleResponder, false},
		{OnlyResponder, RoleInitiator, false}, {OnlyResponder, RoleResponder, true},
		{InTurns, RoleInitiator, true}, {InTurns, RoleResponder, true},
	} {
		p.Initiative = test.i
		s := newSchedule(t, p, test.r)
		if got := s.Due(noon.Add(time.Hour)) == ReasonAge; got != test.acts || s.Next().IsZero() == test.acts {
			t.Errorf("%v with initiative %d acts: %t, want %t", test.r, test.i, got, test.acts)
		}
	}
	s := newSchedule(t, p, RoleInitiator)
	s.Updated(noon, true)
	if s.Due(noon.Add(time.Hour)) != 0 || !s.Next().IsZero() {
		t.Error("due before the peer has had its turn")
	}
	s.Updated(noon.Add(time.Hour), false)
	if s.Due(noon.Add(time.Hour)) != 0 || s.Due(noon.Add(time.Hour+time.Minute)) != ReasonAge {
		t.Error("not due after the peer's turn")
	}
}

func TestPolicyThatCannotBeFollowedIsRefused(t *testing.T) {
	for _, p := range []UpdatePolicy{{Jitter: 1.1}, {Initiative: 4}} {
		if p.Verify() == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
	if _, err := NewSchedule(UpdatePolicy{}, RoleInitiator, noon, nil); err == nil {
		t.Error("a schedule without randomness is made")
	}
}

// What Next says is when Due changes: not earlier, and then it does, unless data flowed.
func TestNextSaysWhenDueHasToBeAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := exact
		p.Every = time.Duration(rapid.IntRange(0, 100).Draw(t, "every"))*time.Second - 1
		p.Idle = time.Duration(rapid.IntRange(0, 100).Draw(t, "idle")) * time.Second
		s := newSchedule(t, p, RoleInitiator)
		now := noon
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				s.Count(1, 1)
				s.Due(now) // looks
			case 1:
				s.Updated(now, rapid.Bool().Draw(t, "own"))
			case 2:
				s.Defer(now)
			}
			at := s.Next()
			switch {
			case at.IsZero():
				if s.Due(now.Add(1e6*time.Hour)) != 0 {
					t.Fatal("due though Next says never")
				}
				return
			case at.After(now):
				if s.Due(at.Add(-1)) != 0 {
					t.Fatal("due before Next")
				}
				now = at
			}
			if s.Due(now) == 0 {
				t.Fatal("not due when Next says")
			}
		}
	})
}

func TestScheduleIsSafeForConcurrentUse(t *testing.T) {
	s := newSchedule(t, UpdatePolicy{Bytes: 100}, RoleInitiator)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				if s.Count(1, 1) {
					s.Due(noon)
					s.Updated(noon, i%2 == 0)
				}
				s.Next()
			}
		})
	}
	wg.Wait()
}

// Who sets a timer to Next has none while the connection rests: the first record sets it again.
func TestTheFirstRecordAfterARestAsksForTheTimer(t *testing.T) {
	p := exact
	p.Idle = time.Minute
	s, at := newSchedule(t, p, RoleInitiator), noon
	if s.Count(1, 1) {
		t.Error("the timer is set already")
	}
	at = at.Add(time.Hour)
	s.Due(at)
	if err := s.Updated(at, true); err != nil || !s.Next().IsZero() {
		t.Fatalf("after a rest: %v, %v", s.Next(), err)
	}
	if !s.Count(1, 1) || s.Count(1, 1) {
		t.Error("want the first record, and only that one, to ask")
	}
	if reason := s.Due(at.Add(time.Hour)); reason != 0 || !s.Next().Equal(at.Add(time.Hour+time.Minute)) {
		t.Errorf("%v is due, and the next at %v", reason, s.Next())
	}
}
