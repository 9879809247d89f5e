package channel

import (
	"errors"
	"slices"
	"testing"
)

// A copy of the first flight that overtakes it on another connection takes the data
// away from this one: the sender must know that this stream begins without it.
func TestEarlyDataThatWasDeliveredElsewhereIsSaidToBe(t *testing.T) {
	a, b := resumeEarly(t, []byte("early"))
	overtaken := listen(t, b.host)
	connect(overtaken, &peer{host: a.host})
	overtaken.in = []packet{b.in[0], b.in[1]}
	overtaken.deliver(t)
	overtaken.deliver(t)
	settle(t, a, b)
	agree(t, a, b)
	if len(overtaken.early) != 1 || len(b.early) != 0 || a.fate != EarlyDataDelivered || !a.elsewhere {
		t.Errorf("fate is %v, elsewhere: %t; delivered are %q and %q", a.fate, a.elsewhere, overtaken.early, b.early)
	}
	a, b = resumeEarly(t, []byte("early"))
	settle(t, a, b)
	if a.fate != EarlyDataDelivered || a.elsewhere {
		t.Errorf("fate is %v, elsewhere: %t", a.fate, a.elsewhere)
	}
}

// A request may be repeated with other early data or with none. Who puts that of
// another attempt there makes the connection end, and does not harm the session.
func TestEarlyDataOfAnotherAttemptEndsTheConnection(t *testing.T) {
	for name, second := range map[string][]byte{"other": []byte("other"), "none": nil} {
		a, b := resumeEarly(t, []byte("early"))
		id, old := a.ID(), b.in[0]
		cut(a, b) // before anything arrives
		if second != nil {
			a, b = resumeWith(t, a.host, b.host, id, second)
			b.in[0] = old
		} else {
			a, b = resumer(t, a.host, id), listen(t, b.host)
			connect(a, b)
			a.start(t)
			b.in = append([]packet{old}, b.in...)
		}
		settle(t, a, b)
		if !errors.Is(b.err, ErrProfile) || AlertOf(b.err) != AlertUserCanceled || b.complete != 0 {
			t.Errorf("%s: %v, complete: %d", name, b.err, b.complete)
		}
		cut(a, b)
		a, b = resumer(t, a.host, id), listen(t, b.host)
		connect(a, b)
		a.start(t)
		settle(t, a, b)
		agree(t, a, b)
		if !b.Resumed() {
			t.Errorf("%s: the session is lost", name)
		}
	}
}

// Data that was rejected can be sent again right where the result comes: the keys are there.
func TestTheResultOfEarlyDataComesBehindTheKeys(t *testing.T) {
	a, b := initiate(t, newHost(t, "alice"), newHost(t, "bob"))
	events, err := a.StartWithEarlyData(ctx, []byte("early"))
	a.carryOut(t, events, err)
	b.deliver(t)
	events, err = a.Receive(ctx, a.in[0].Message)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(events, Event(EarlyDataResult{Fate: EarlyDataRejected}))
	if _, ok := events[i+1].(PeerAuthenticated); i < 0 || !ok {
		t.Errorf("result is event %d of %d, before a %T", i, len(events), events[i+1])
	}
}
