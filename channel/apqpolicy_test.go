package channel

import (
	"errors"
	"testing"
	"testing/iotest"
	"time"
)

// Post-quantum keys have an age of their own, which full updates alone begin anew.
func TestPostQuantumKeysAreReplacedAtTheirAge(t *testing.T) {
	p := exact
	p.Every, p.FullEvery = time.Minute, time.Hour
	s := newSchedule(t, p, RoleInitiator)
	if s.Due(noon.Add(2*time.Hour)) != ReasonAge {
		t.Error("a session of one group has post-quantum keys")
	}
	if err := s.FullSince(noon); err != nil {
		t.Fatal(err)
	}
	for at := time.Minute; at < time.Hour; at += time.Minute {
		if s.Due(noon.Add(at)) != ReasonAge {
			t.Fatalf("not due at its age after %v", at)
		}
		if err := s.Updated(noon.Add(at), true); err != nil {
			t.Fatal(err)
		}
	}
	if s.Due(noon.Add(time.Hour-1)) != 0 || s.Due(noon.Add(time.Hour)) != ReasonFullAge || !s.Next().Equal(noon.Add(time.Hour)) {
		t.Error("not due at the age of the post-quantum keys")
	}
	s.Defer(noon.Add(time.Hour))
	if s.Due(noon.Add(time.Hour)) != 0 || s.Due(noon.Add(61*time.Minute)) != ReasonFullAge {
		t.Error("not put off, or for too long")
	}
	if err := s.FullSince(noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s.Due(noon.Add(61*time.Minute)) == ReasonFullAge {
		t.Error("a full update does not count")
	}
	// Who resumes a session with old keys replaces them at once.
	s = newSchedule(t, p, RoleResponder)
	if err := s.FullSince(noon.Add(-2 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s.Due(noon) != ReasonFullAge {
		t.Error("old keys are not replaced after a resumption")
	}
}

func TestFullUpdatesFollowThePolicy(t *testing.T) {
	p := exact
	p.FullEvery = -1
	s := newSchedule(t, p, RoleInitiator)
	if err := s.FullSince(noon); err != nil || !s.Next().IsZero() || s.Due(noon.Add(1e4*time.Hour)) != 0 {
		t.Errorf("due where never is asked for, %v", err)
	}
	s = newSchedule(t, exact, RoleInitiator)
	if err := s.FullSince(noon); err != nil || !s.Next().Equal(noon.Add(DefaultFullEvery)) {
		t.Errorf("due %v from now, %v", s.Next().Sub(noon), err)
	}
	p = exact
	p.Initiative = OnlyResponder
	s = newSchedule(t, p, RoleInitiator)
	if err := s.FullSince(noon); err != nil || s.Due(noon.Add(2*DefaultFullEvery)) != 0 {
		t.Errorf("due at an end that has no initiative, %v", err)
	}
	p = exact
	p.Jitter = 0.5
	earliest, latest := 2*DefaultFullEvery, time.Duration(0)
	for range 200 {
		s := newSchedule(t, p, RoleInitiator)
		if err := s.FullSince(noon); err != nil {
			t.Fatal(err)
		}
		earliest, latest = min(earliest, s.Next().Sub(noon)), max(latest, s.Next().Sub(noon))
	}
	if earliest < DefaultFullEvery/2 || latest > DefaultFullEvery || latest-earliest < DefaultFullEvery/4 {
		t.Errorf("periods are between %v and %v", earliest, latest)
	}
	s, err := NewSchedule(exact, RoleInitiator, noon, iotest.ErrReader(errStore))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.FullSince(noon); !errors.Is(err, errStore) {
		t.Errorf("error %v, want %v", err, errStore)
	}
}

// The stronger of two reasons stays, wherever the new one stands.
func TestReasonsHaveAnOrder(t *testing.T) {
	order := []UpdateReason{0, ReasonBytes, ReasonRecords, ReasonAge, ReasonFullAge, ReasonIdle, ReasonExpiry, ReasonRequested, ReasonIdentity}
	for i, weak := range order {
		for _, strong := range order[i:] {
			if weak.or(strong) != strong || strong.or(weak) != strong {
				t.Errorf("%v or %v is %v", weak, strong, weak.or(strong))
			}
		}
	}
}
