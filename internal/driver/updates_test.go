package driver

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// waits reports that Wait for an update would wait.
func (d *Driver) waits(number uint64) bool {
	ended, end := context.WithCancel(context.Background())
	end()
	return errors.Is(d.Wait(ended, number), context.Canceled)
}

// Who waits for an update may write as soon as it knows of it. So it must not know before the
// transport says that what is written then is under other keys.
func TestWhoWaitsLearnsOfAnUpdateWhenItsKeysAreInPlace(t *testing.T) {
	a, b := pair(t, nil)
	a.confirms = false
	number, err := a.Update(channel.ReasonRequested)
	if err != nil || number != 1 || !a.Pending() || !a.waits(1) {
		t.Fatalf("number %d, pending: %t, %v", number, a.Pending(), err)
	}
	waited := make(chan error, 1)
	go func() { waited <- a.Wait(t.Context(), number) }()
	deliver(t, a, b)
	if a.Acked() != 1 || a.Pending() || a.State().Epoch != 2 {
		t.Fatalf("acked %d, epoch %d", a.Acked(), a.State().Epoch)
	}
	if !a.waits(1) {
		t.Error("the update is done before Confirm")
	}
	a.Confirm(0)
	if !a.waits(1) {
		t.Error("the update is done by a Confirm of what came before")
	}
	a.Confirm(1)
	a.Confirm(0)
	if err := <-waited; err != nil || a.waits(1) {
		t.Errorf("after Confirm: %v", err)
	}
}

// An update that was under way does not count, and the next one begins by itself behind it.
func TestAnUpdateThatIsUnderWayDoesNotServe(t *testing.T) {
	a, b := pair(t, nil)
	first, err1 := a.Update(channel.ReasonRequested)
	second, err2 := a.Update(channel.ReasonRequested)
	third, err3 := a.Update(channel.ReasonRequested)
	if err := errors.Join(err1, err2, err3); err != nil || first != 1 || second != 2 || third != 2 {
		t.Fatalf("numbers %d, %d and %d, %v", first, second, third, err)
	}
	deliver(t, a, b)
	if a.waits(2) || !a.waits(3) || a.State().Epoch != 3 || b.State().Epoch != 3 {
		t.Errorf("epochs %d and %d", a.State().Epoch, b.State().Epoch)
	}
}

func TestNobodyWaitsForAConnectionThatHasEnded(t *testing.T) {
	a, _ := pair(t, nil)
	number, err := a.Update(channel.ReasonRequested)
	if err != nil {
		t.Fatal(err)
	}
	reason, waited := errors.New("lost"), make(chan error, 1)
	go func() { waited <- a.Wait(t.Context(), number) }()
	a.Fail(reason)
	a.Fail(errors.New("later"))
	if err := <-waited; err != reason {
		t.Errorf("Wait: %v", err)
	}
	if _, err := a.Update(channel.ReasonRequested); err != reason || !a.Ended() {
		t.Errorf("Update: %v, ended: %t", err, a.Ended())
	}
}

func TestASessionThatEndsEndsTheConnection(t *testing.T) {
	revoked, validator := errors.New("revoked"), new(moody)
	a, _ := pair(t, func(c *channel.Config, _ *Config) { c.Validator = validator })
	if err := a.Revalidate(channel.RefusalClose); err != nil {
		t.Fatal(err)
	}
	validator.refuse(revoked)
	if err := a.Revalidate(channel.RefusalWarn); !errors.Is(err, revoked) || a.abortedBy() != nil {
		t.Errorf("warning: %v, and the connection ends by %v", err, a.abortedBy())
	}
	if err := a.Revalidate(channel.RefusalClose); !errors.Is(err, revoked) || !errors.Is(a.abortedBy(), revoked) {
		t.Errorf("closing: %v, and the connection ends by %v", err, a.abortedBy())
	}
	// What is done to a session that has ended already ends nothing.
	a.mu.Lock()
	a.aborted = nil
	a.mu.Unlock()
	if err := a.Drive(func(s *channel.Session) ([]channel.Event, error) { return s.UpdateKeys(false) }); err == nil || a.abortedBy() != nil {
		t.Errorf("%v, and the connection ends by %v", err, a.abortedBy())
	}
}

// A failingSource has no randomness left.
type failingSource struct{ failing atomic.Bool }

var errSource = errors.New("no randomness")

func (s *failingSource) Read(p []byte) (int, error) {
	if s.failing.Load() {
		return 0, errSource
	}
	return rand.Read(p)
}

// What comes up to an error is carried out: the session has gone on, and the peer has to follow it to hear of the
// error.
func TestWhatComesUpToAnErrorIsCarriedOut(t *testing.T) {
	source := new(failingSource)
	a, b := pair(t, func(_ *channel.Config, c *Config) { c.Rekey.Every, c.Rand = time.Hour, source })
	source.failing.Store(true)
	if _, err := a.Update(channel.ReasonRequested); !errors.Is(err, errSource) {
		t.Fatalf("the update: %v", err)
	}
	deliver(t, a, b)
	if epoch := b.State().Epoch; epoch != 2 || b.abortedBy() != nil {
		t.Errorf("the peer is in epoch %d; %v", epoch, b.abortedBy())
	}
}

func TestWhatOnlyTheHandshakeNeedsGoesWithIt(t *testing.T) {
	a := newEnd(t, "a", nil)
	if a.Driver.config == nil || !reflect.DeepEqual(a.State(), channel.ConnectionState{}) {
		t.Error("before the handshake there is a state, or no configuration")
	}
	b := newEnd(t, "b", nil)
	connect(t, a, b)
	if a.Driver.config != nil || a.live.Load() != nil {
		t.Error("the configuration is kept, or what no change calls for")
	}
	before := a.State()
	a.Fail(context.Canceled)
	a.Close()
	if after := a.State(); after.SessionID != before.SessionID || after.Peer != before.Peer || after.Suite != before.Suite || after.Epoch != 1 {
		t.Errorf("after the end the state is %+v, was %+v", after, before)
	}
	if a.Spawn(func() { t.Error("a goroutine begins after the end") }) {
		t.Error("Spawn says that it has")
	}
}
