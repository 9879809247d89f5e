package channel

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// published01 returns the transitions with the rules of resumption as
// draft-kohbrok-mls-two-party-profile-01 has them: what a request builds on is
// looked at first, and who yields afterwards.
func published01() map[State]map[MessageType]handler {
	t := maps.Clone(transitions)
	t[StateAwaitingHello] = maps.Clone(t[StateAwaitingHello])
	t[StateAwaitingHello][MessageResumptionRequest] = func(s *Session, ctx context.Context, body []byte) ([]Event, error) {
		header, err := mls.ParseAPQHeader(body)
		if err != nil {
			return nil, err
		}
		if err := s.load(ctx, SessionID(header.GroupID)); err != nil {
			return nil, err
		}
		return s.answer01(ctx, body, s.applyInsteadOfPending)
	}
	t[StateAwaitingResumptionResponse] = maps.Clone(t[StateAwaitingResumptionResponse])
	t[StateAwaitingResumptionResponse][MessageResumptionRequest] = func(s *Session, ctx context.Context, body []byte) ([]Event, error) {
		return s.answer01(ctx, body, func(body []byte) error {
			if s.role == RoleInitiator {
				return errIgnored
			}
			return s.applyInsteadOfPending(body)
		})
	}
	return t
}

// errIgnored says that a request is passed over.
var errIgnored = errors.New("ignored")

// answer01 is rules 3 to 5 of the draft's Phase 3. otherwise is what happens to
// a request that is neither a repetition nor builds on the pending commit.
func (s *Session) answer01(ctx context.Context, body []byte, otherwise func([]byte) error) ([]Event, error) {
	header, err := mls.ParseAPQHeader(body)
	switch {
	case err != nil:
	case bytes.Equal(hashCommit(body), s.lastCommit):
		s.dropPending()
	case s.pending != nil && header.Epoch == s.group.Epoch()+1:
		err = s.applyBehindPending(body)
	case header.Epoch != s.group.Epoch():
		err = errOutdated
	default:
		err = otherwise(body)
	}
	if err == errIgnored {
		return nil, nil
	}
	if err == nil {
		err = s.commit(ctx, purposeResumptionResponse, wish{})
	}
	if err == nil {
		s.pending.secrets, err = s.drawSecrets(s.pending.group)
	}
	if err != nil {
		return nil, err
	}
	s.leads, s.state = false, StateAwaitingResumptionAck
	return []Event{send(MessageResumptionResponse, s.pending.commit), s.switchReceive(s.pending.secrets)}, nil
}

// startPublished01 returns two machines that go by the published rules.
func startPublished01() *joint {
	s := oneLink()
	s.transitions, s.fatal, s.commitsOnce, s.keepsSession = published01(), true, false, false
	return newJoint(s, budget{5, 3, 0, 0, 0})
}

// nothingLeft is the failure of the published rules.
func nothingLeft(j *joint) *violation {
	for _, m := range j.machines {
		if len(m.sessions()) > 0 {
			return nil
		}
	}
	return &violation{"session", "both ends have deleted the session"}
}

// The explorer finds the failure of the published rules (docs/protocol.md,
// Section 10): the acknowledgement of an update is lost, both ends resume at once,
// each answers the other's request, and no session is left.
func TestExplorePublished01(t *testing.T) {
	t.Parallel()
	s := &search{check: func(f *found) *violation { return nothingLeft(f.joint) }}
	s.run(startPublished01())
	if s.failed == nil {
		t.Fatalf("no failure in %v", s)
	}
	t.Logf("%v\n%s", s, explain(s.failed.trace(), s.failed.violated))
	verifyPublished01(t, s.failed.trace())
}

// A random walk finds it too, and comes to the same when it is shortened.
func TestWalkPublished01(t *testing.T) {
	t.Parallel()
	w := &walker{start: startPublished01, check: nothingLeft, atEnd: func(*joint) *violation { return nil }}
	for n := range 1000 {
		trace, v := w.walk(1, n, 60)
		if v == nil {
			continue
		}
		short, u := w.shorten(trace, v, time.Now().Add(time.Minute))
		t.Logf("walk %d fails after %d actions\n%s", n, len(trace), explain(short, u))
		verifyPublished01(t, short)
		return
	}
	t.Error("no walk fails")
}

// verifyPublished01 checks what a shortest trace has. The traces differ in who
// updates, in how the connection ends, and in the order in which what is on the way
// arrives.
func verifyPublished01(t *testing.T, trace []action) {
	t.Helper()
	dialled := slices.IndexFunc(trace, func(a action) bool { return a.kind == dial })
	if dialled < 0 || trace[0].kind != update {
		t.Fatal("no connection is broken after an update")
	}
	applied := action{kind: deliver, end: 1 - trace[0].end}
	for _, a := range trace[1:dialled] {
		if a != applied && a.kind != cutBoth && a.kind != cutOne && a.kind != notice {
			t.Errorf("the acknowledgement is not just lost: %v", a)
		}
	}
	if !slices.Contains(trace[:dialled], applied) {
		t.Error("the update does not arrive")
	}
	if trace[dialled].end != bothEnds {
		t.Error("the resumptions do not cross")
	}
	for _, a := range trace[dialled+1:] {
		if a.kind != deliver {
			t.Errorf("something else is needed: %v", a)
		}
	}
}
