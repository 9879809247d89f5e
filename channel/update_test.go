package channel

import (
	"bytes"
	"errors"
	"flag"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

func TestUpdatesTellBothEnds(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	settle(t, a, b)
	if want := []Updated{{Epoch: 2, Own: true, Full: *withAPQ, Reason: ReasonAge}}; !slices.Equal(a.updated, want) {
		t.Errorf("the updating end is told %v, want %v", a.updated, want)
	}
	if want := []Updated{{Epoch: 2, Full: *withAPQ}}; !slices.Equal(b.updated, want) {
		t.Errorf("the other end is told %v, want %v", b.updated, want)
	}
}

// The keys of each direction change at one point in that direction, and each
// end's own secrets are of the epoch that it says.
func TestKeysChangeBetweenMessages(t *testing.T) {
	a, b := established(t)
	events := must(a.Session.Update(ctx, ReasonAge))
	kinds := func(events []Event) (kinds []string) {
		for _, e := range events {
			switch e := e.(type) {
			case Send:
				kinds = append(kinds, e.Message.Type.String())
			case SwitchSend:
				kinds = append(kinds, "SwitchSend")
			case SwitchReceive:
				kinds = append(kinds, "SwitchReceive")
			case Updated:
				kinds = append(kinds, "Updated")
			}
		}
		return kinds
	}
	for _, step := range []struct {
		p    *peer
		want []string
	}{
		{b, []string{"EpochKeyUpdate", "SwitchSend", "Updated"}},
		{a, []string{"SwitchReceive", "KeySwitch", "SwitchSend", "Updated"}},
		{b, []string{"SwitchReceive"}},
	} {
		i := slices.IndexFunc(events, func(e Event) bool { _, ok := e.(Send); return ok })
		events = must(step.p.Receive(ctx, events[i].(Send).Message))
		if got := kinds(events); !slices.Equal(got, step.want) {
			t.Errorf("%s: events are %v, want %v", step.p.name, got, step.want)
		}
	}
}

func TestUpdateUnderWayIsFollowedOnlyIfItHasToBe(t *testing.T) {
	for _, test := range []struct {
		reasons []UpdateReason
		want    uint64 // epochs
	}{
		{[]UpdateReason{ReasonBytes, ReasonBytes}, 1},
		{[]UpdateReason{ReasonBytes, ReasonAge}, 1},
		{[]UpdateReason{ReasonAge, ReasonAge}, 1},
		{[]UpdateReason{ReasonAge, ReasonRequested}, 2},
		{[]UpdateReason{ReasonRequested, ReasonRequested, ReasonRequested, ReasonBytes}, 2},
	} {
		a, b := established(t)
		for _, r := range test.reasons {
			a.update(t, r)
		}
		settle(t, a, b)
		agree(t, a, b)
		if got := a.Epoch() - 1; got != test.want {
			t.Errorf("%v lead to %d updates, want %d", test.reasons, got, test.want)
		}
	}
}

// A commit that was dropped for the peer's is made again if the peer's does not
// serve its reason.
func TestDroppedUpdateIsMadeAgainIfItsReasonHolds(t *testing.T) {
	for _, test := range []struct {
		reason UpdateReason
		own    int
	}{{ReasonBytes, 0}, {ReasonAge, 1}, {ReasonRequested, 1}} {
		a, b := established(t)
		a.update(t, ReasonAge)
		b.update(t, test.reason)
		settle(t, a, b)
		agree(t, a, b)
		own := 0
		for _, u := range b.updated {
			if u.Own {
				own++
			}
		}
		if own != test.own {
			t.Errorf("%v: the yielding end makes %d updates, want %d", test.reason, own, test.own)
		}
		for i := 1; i < len(b.updated); i++ {
			if b.updated[i].Epoch != b.updated[i-1].Epoch+1 {
				t.Errorf("epochs are %v", b.updated)
			}
		}
	}
}

func TestSecondCrossingMessageIsAnError(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	b.update(t, ReasonAge)
	crossing := a.in[0].Message
	a.deliver(t)
	if _, err := a.Receive(ctx, crossing); !errors.Is(err, ErrUnexpectedMessage) {
		t.Errorf("error is %v", err)
	}
}

func TestKeySwitchOfAnotherEpochIsRefused(t *testing.T) {
	for _, edit := range []func(good []byte) []byte{
		func([]byte) []byte { return nil },
		func([]byte) []byte { return epochBody(2) },
		func(good []byte) []byte { return append(epochBody(1), good[8:]...) },
		func(good []byte) []byte { return append(epochBody(3), good[8:]...) },
		func(good []byte) []byte { return append(good, 0) },
		func(good []byte) []byte { return good[:len(good)-1] },
	} {
		p, good := inState(t, StateAcknowledged, MessageKeySwitch)
		if !bytes.HasPrefix(good, epochBody(2)) || len(good) != 24 {
			t.Fatalf("KeySwitch is %x", good)
		}
		body := edit(bytes.Clone(good))
		if _, err := p.Receive(ctx, Message{Type: MessageKeySwitch, Body: body, Protected: true}); !errors.Is(err, ErrProfile) {
			t.Errorf("KeySwitch %x: %v", body, err)
		}
		if p.store.Len() != 0 {
			t.Error("the session is still stored after a fault in an authenticated channel")
		}
	}
}

// A store that fails on an update leaves the session as it was.
func TestUpdateThatCannotBeSavedChangesNothing(t *testing.T) {
	a, b := established(t)
	a.store.fail = func(int) (error, bool) { return errStore, false }
	if events, err := a.Session.Update(ctx, ReasonAge); !errors.Is(err, errStore) || len(events) != 0 || a.State() != StateSynced {
		t.Errorf("%d events, %v, %v", len(events), err, a.State())
	}
	a.store.fail = nil
	agree(t, a, b)
	canUpdate(t, a, b)
}

// A peer that updates without waiting for the acknowledgements is found out with
// its first KeySwitch, whereas one that waits may go on for ever.
func TestAFloodOfUpdatesEndsTheSession(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	b.deliver(t)
	if _, err := b.Receive(ctx, Message{Type: MessageKeySwitch, Body: append(epochBody(2), make([]byte, hashSize/2)...), Protected: true}); !errors.Is(err, ErrProfile) {
		t.Errorf("KeySwitch of a peer that has not seen the acknowledgement: %v", err)
	}
	if b.store.Len() != 0 {
		t.Error("the session is still stored")
	}
}

var manyUpdates = flag.Int("updates", 100, "number of rounds in the test of many updates")

// Many updates in both directions leave neither a longer state nor a fuller store.
func TestManyUpdatesKeepStateFlat(t *testing.T) {
	a, b := established(t)
	canUpdate(t, a, b)
	size := len(must(a.stored()))
	for range *manyUpdates {
		a.update(t, ReasonAge)
		b.update(t, ReasonAge)
		settle(t, a, b)
		a.updated, b.updated = nil, nil
	}
	agree(t, a, b)
	if got := len(must(a.stored())); got > size+16 {
		t.Errorf("the stored state grows from %d to %d octets", size, got)
	}
	if a.store.Len() != 1 || a.Epoch() < uint64(2**manyUpdates) {
		t.Errorf("%d sessions, epoch %d", a.store.Len(), a.Epoch())
	}
}

// A peer whose acknowledgement of an update is a commit of its own, in the new epoch, is refused before that leads anywhere.
func TestACommitIsNoAcknowledgement(t *testing.T) {
	p, _ := inState(t, StateUpdating, MessageEpochKeyUpdate)
	commit := p.other.commitOf(t, mls.CommitOptions{AuthenticatedData: purposeEpochKeyUpdate.authenticatedData()}).Body
	asked := errors.New("the validator was asked")
	p.host.refuses = asked
	_, err := p.Receive(ctx, Message{Type: MessageEpochKeyUpdate, Body: commit, Protected: true})
	if errors.Is(err, asked) || !errors.Is(err, ErrProfile) || AlertOf(err) != AlertIllegalParameter {
		t.Errorf("%v, alert %v", err, AlertOf(err))
	}
}
