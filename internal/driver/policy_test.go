package driver

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func TestTrafficAndWornKeysAskForAnUpdate(t *testing.T) {
	a, b := pair(t, func(_ *channel.Config, c *Config) { c.Rekey.Records = 10 })
	a.Count(9, 1<<20, false)
	if a.policy.asked.Load() {
		t.Error("there is an update without a reason")
	}
	// An update may be confirmed before the goroutine that has begun it is over, which asks for no other.
	comes := func(epoch uint64) func() bool {
		return func() bool { return a.State().Epoch == epoch && !a.policy.asked.Load() }
	}
	a.Count(1, 1, false)
	eventually(t, a, b, "an update", comes(2))
	a.Count(0, 0, true)
	eventually(t, a, b, "an update of worn keys", comes(3))
	// While an update waits for the peer, no other is asked for.
	if _, err := a.Update(channel.ReasonRequested); err != nil {
		t.Fatal(err)
	}
	a.Count(100, 100, true)
	if a.policy.asked.Load() {
		t.Error("an update is asked for while another is under way")
	}
}

// Time is that of the configuration alone. Nothing is done before application data flows.
func TestAnUpdateByAge(t *testing.T) {
	clock := newClock()
	change := func(c *channel.Config, d *Config) { c.Now, d.Rekey.Every = clock.Now, time.Hour }
	a, b := newEnd(t, "a", change), newEnd(t, "b", nil)
	begin(t, a, b)
	deliver(t, a, b)
	if a.HasTimer() {
		t.Error("a timer is set before application data flows")
	}
	a.Establish()
	b.Establish()
	if !a.HasTimer() || b.HasTimer() {
		t.Errorf("timers: %t and %t", a.HasTimer(), b.HasTimer())
	}
	for epoch := range uint64(3) {
		clock.advance(time.Minute)
		a.FollowPolicy()
		deliver(t, a, b)
		if got := a.State().Epoch; got != epoch+1 {
			t.Fatalf("epoch is %d, want %d", got, epoch+1)
		}
		clock.advance(time.Hour)
		a.FollowPolicy()
		deliver(t, a, b)
		if got := a.State().Epoch; got != epoch+2 {
			t.Fatalf("epoch is %d, want %d", got, epoch+2)
		}
	}
}

func TestAConnectionThatHasEndedHasNoTimer(t *testing.T) {
	a, _ := pair(t, func(_ *channel.Config, c *Config) { c.Rekey.Every = time.Hour })
	a.Fail(errors.New("lost"))
	a.policy.arm()
	if a.policy.timer.Stop() {
		t.Error("the timer is still set")
	}
}

func TestAnUpdateThatFailsIsTriedAgainLater(t *testing.T) {
	store, clock := &failingStore{Store: channel.NewMemoryStore(0)}, newClock()
	a, b := pair(t, func(c *channel.Config, d *Config) {
		c.Store, c.PeerName, c.Now, d.Rekey.Every = store, "b", clock.Now, time.Hour
	})
	store.fail.Store(true)
	clock.advance(time.Hour)
	a.FollowPolicy()
	if err := a.State().LastUpdateError; !errors.Is(err, errDisk) {
		t.Errorf("LastUpdateError is %v", err)
	}
	if in := a.Schedule().Next().Sub(clock.Now()); in < time.Second || in > time.Hour {
		t.Errorf("it is tried again in %v", in)
	}
	if a.Count(0, 0, true); a.policy.asked.Load() {
		t.Error("worn keys ask again at once")
	}
	store.fail.Store(false)
	a.policy.follow(true) // for a Count that had looked before the failure
	deliver(t, a, b)
	if epoch := a.State().Epoch; epoch != 1 {
		t.Errorf("epoch %d: worn keys that had asked before the failure are replaced at once", epoch)
	}
	clock.advance(time.Hour)
	a.FollowPolicy()
	deliver(t, a, b)
	if s := a.State(); s.Epoch != 2 || s.LastUpdateError != nil {
		t.Errorf("epoch %d, LastUpdateError is %v", s.Epoch, s.LastUpdateError)
	}
}

func TestACredentialIsRenewed(t *testing.T) {
	clock := newClock()
	results := make(chan mls.Identity)
	a, b := pair(t, func(c *channel.Config, d *Config) {
		c.Identity, c.Now = certified(t, clock.Now().Add(24*time.Hour)), clock.Now
		d.Rekey.BeforeExpiry = time.Hour
		d.Renew = func(ctx context.Context) (mls.Identity, error) {
			select {
			case id := <-results:
				return id, nil
			case <-ctx.Done():
				return mls.Identity{}, ctx.Err()
			}
		}
	})
	clock.advance(23*time.Hour + time.Minute)
	a.FollowPolicy()
	results <- certified(t, clock.Now().Add(time.Minute))
	eventually(t, a, b, "the complaint", func() bool { return errors.Is(a.State().LastUpdateError, errs.ExpiresTooSoon) })
	eventually(t, a, b, "the peer's confirmation", func() bool { return a.State().Epoch == 2 && !a.Pending() })
	clock.advance(10 * time.Minute)
	a.FollowPolicy()
	results <- certified(t, clock.Now().Add(48*time.Hour))
	eventually(t, a, b, "another certificate", func() bool { return a.State().LastUpdateError == nil && a.State().Epoch == 3 })
	if in := a.Schedule().Next().Sub(clock.Now()); in < 46*time.Hour {
		t.Errorf("the next renewal is due in %v", in)
	}
	// Who closes does not wait for a renewal.
	clock.advance(48 * time.Hour)
	a.FollowPolicy()
	a.Fail(context.Canceled)
	a.Close()
}

// What a rotation says about the time of expiry counts in the order of the rotations.
func TestOfTwoRotationsTheLaterOneCounts(t *testing.T) {
	clock := newClock()
	a, _ := pair(t, func(c *channel.Config, d *Config) {
		c.Now, d.Rekey.BeforeExpiry = clock.Now, time.Hour
		d.Renew = func(context.Context) (mls.Identity, error) { return mls.Identity{}, errors.New("not now") }
	})
	first, second := certified(t, clock.Now().Add(10*time.Hour)), certified(t, clock.Now().Add(20*time.Hour))
	transport := a.Driver.transport
	a.Driver.transport = &interrupting{Transport: transport, interrupt: func() {
		a.Driver.transport = transport
		// In the middle of the first rotation's step, where its events are carried out, the time is known already.
		if expiry := a.expiry(); expiry.Sub(clock.Now()) != 10*time.Hour {
			t.Errorf("the credential expires in %v", expiry.Sub(clock.Now()))
		}
	}}
	_, err1 := a.Rotate(first)
	_, err2 := a.Rotate(second)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if expiry := a.expiry(); expiry.Sub(clock.Now()) != 20*time.Hour {
		t.Errorf("the credential expires in %v", expiry.Sub(clock.Now()))
	}
	// One that does not fit changes nothing.
	if _, err := a.Rotate(mls.Identity{Credential: first.Credential}); err == nil || a.expiry().Sub(clock.Now()) != 20*time.Hour {
		t.Errorf("%v; the credential expires in %v", err, a.expiry().Sub(clock.Now()))
	}
}

// expiry returns when the own credential is taken to expire.
func (d *Driver) expiry() time.Time {
	d.policy.mu.Lock()
	defer d.policy.mu.Unlock()
	return d.policy.expiry
}

// An interrupting transport does something else before it carries out events.
type interrupting struct {
	Transport
	interrupt func()
}

func (i *interrupting) Carry(events []channel.Event) error {
	i.interrupt()
	return i.Transport.Carry(events)
}

// While a renewal is being settled, nobody begins another: not even if the first has brought a credential
// that is to be replaced at once, and the peer has confirmed that already.
func TestOneRenewalAtATime(t *testing.T) {
	clock := newClock()
	var calls atomic.Int32
	a, b := pair(t, func(c *channel.Config, d *Config) {
		c.Identity = certified(t, clock.Now().Add(24*time.Hour))
		c.Now = clock.Now
		d.Rekey.BeforeExpiry = time.Hour
		d.Renew = func(context.Context) (mls.Identity, error) {
			calls.Add(1)
			return certified(t, clock.Now().Add(time.Minute)), nil
		}
	})
	clock.advance(23*time.Hour + time.Minute)
	a.policy.startRenewal() // as follow would have
	id, err := a.settings.Renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Rotate(id); err != nil {
		t.Fatal(err)
	}
	deliver(t, a, b)
	a.FollowPolicy()
	a.policy.renewed(nil)
	a.FollowPolicy()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d renewals, want 1", n)
	}
	if err := a.State().LastUpdateError; !errors.Is(err, errs.ExpiresTooSoon) {
		t.Errorf("error %v, want %v", err, errs.ExpiresTooSoon)
	}
}
