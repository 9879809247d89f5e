package driver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// A wardrobe is an IdentitySource that is changed by hand.
type wardrobe struct {
	mu                   sync.Mutex
	identities, previous []mls.Identity
	watchers             map[int]func()
	next                 int
	watching             func() // called by Watch
}

func newWardrobe(identities ...mls.Identity) *wardrobe {
	return &wardrobe{identities: identities, watchers: make(map[int]func()), watching: func() {}}
}

func (w *wardrobe) Identities() []mls.Identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.identities
}

func (w *wardrobe) PreviousIdentities() []mls.Identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.previous
}

func (w *wardrobe) Watch(changed func()) (stop func()) {
	w.watching()
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.next
	w.next++
	w.watchers[id] = changed
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, id)
	}
}

func (w *wardrobe) watched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers)
}

func (w *wardrobe) change(identities ...mls.Identity) {
	w.mu.Lock()
	w.previous, w.identities = append(w.identities, w.previous...), identities
	var all []func()
	for _, changed := range w.watchers {
		all = append(all, changed)
	}
	w.mu.Unlock()
	for _, changed := range all {
		changed()
	}
}

// wearing makes an end show what a wardrobe has.
func wearing(w *wardrobe) func(*channel.Config, *Config) {
	return func(c *channel.Config, d *Config) {
		TakeIdentities(w, &c.Identity, &c.Alternatives, &c.PreviousIdentities)
		d.Identities = w
	}
}

// sees reports that the peer has this name.
func (e *end) sees(name string) func() bool {
	return func() bool { return string(e.State().Peer.Credential.Identity) == name }
}

func TestTheIdentityOfTheMomentIsShown(t *testing.T) {
	w := newWardrobe(newIdentity(t, "a1"))
	a, b := newEnd(t, "", wearing(w)), newEnd(t, "b", nil)
	w.change(newIdentity(t, "a2")) // nobody watches yet, and it is not missed
	connect(t, a, b)
	eventually(t, a, b, "the identity of before the handshake", b.sees("a2"))
	w.change(newIdentity(t, "a3"))
	eventually(t, a, b, "another identity", b.sees("a3"))
	// What is no change is no update.
	epoch := a.State().Epoch
	w.change(w.Identities()...)
	a.KeepUp()
	deliver(t, a, b)
	if now := a.State().Epoch; now != epoch || w.watched() != 1 {
		t.Errorf("epoch %d, then %d; %d watch", epoch, now, w.watched())
	}
	a.Fail(errors.New("lost"))
	a.Close()
	if w.watched() != 0 {
		t.Error("somebody watches for a connection that has ended")
	}
}

// The connection ends while it begins to watch.
func TestNobodyWatchesForAConnectionThatHasEnded(t *testing.T) {
	w := newWardrobe(newIdentity(t, "a"))
	a, b := newEnd(t, "", wearing(w)), newEnd(t, "b", nil)
	w.watching = func() {
		a.Fail(errors.New("lost"))
		a.Stop()
	}
	connect(t, a, b)
	if w.watched() != 0 {
		t.Error("somebody watches")
	}
}

func TestAnIdentityThatCannotBeShownIsTriedAgain(t *testing.T) {
	w, store := newWardrobe(newIdentity(t, "a1")), &failingStore{Store: channel.NewMemoryStore(0)}
	a, b := pair(t, func(c *channel.Config, d *Config) {
		wearing(w)(c, d)
		c.Store, c.PeerName = store, "b"
	})
	a.KeepUp()
	store.fail.Store(true)
	w.change(newIdentity(t, "a2"))
	eventually(t, a, b, "the error", func() bool { return errors.Is(a.State().LastUpdateError, errDisk) })
	store.fail.Store(false)
	eventually(t, a, b, "the identity", b.sees("a2"))
	eventually(t, a, b, "the error to go", func() bool { return a.State().LastUpdateError == nil })

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.change(mls.Identity{Credential: mls.BasicCredential([]byte("P-256")), Signer: key})
	eventually(t, a, b, "the error", func() bool { return errors.Is(a.State().LastUpdateError, errs.NoIdentityFits) })
	w.change(mls.Identity{Credential: mls.BasicCredential([]byte("P-256")), Signer: key}, newIdentity(t, "a3"))
	eventually(t, a, b, "the one that fits", b.sees("a3"))
}

// A source without identities says when the validator is to be asked again.
func TestThePeerIsAskedAboutAgain(t *testing.T) {
	w, validator, revoked := newWardrobe(), new(moody), errors.New("revoked")
	a, b := pair(t, func(c *channel.Config, d *Config) { c.Validator, d.Identities = validator, w })
	a.KeepUp()
	if err := a.State().LastUpdateError; err != nil || a.State().Epoch != 1 {
		t.Errorf("epoch %d, %v", a.State().Epoch, err)
	}
	validator.refuse(revoked)
	w.change()
	eventually(t, a, b, "the end", func() bool { return errors.Is(a.abortedBy(), revoked) })
}

// A reloaded validator accepts nobody from the moment on when it is asked once more, of which somebody is to be warned then.
type reloaded struct {
	moody
	action atomic.Uint32
}

func (v *reloaded) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	err := v.moody.ValidateLeaf(leaf, previous)
	if err != nil {
		v.action.Store(uint32(channel.RefusalWarn))
	}
	return err
}

// Who is accepted and what becomes of others may change together, and just while the peer is asked about.
func TestWhatBecomesOfAPeerIsAskedWhenItIsRefused(t *testing.T) {
	validator := new(reloaded)
	validator.action.Store(uint32(channel.RefusalClose))
	a, b := pair(t, func(c *channel.Config, d *Config) {
		c.Validator, d.Identities = validator, newWardrobe()
		d.RefusedBy = func() channel.RefusalAction { return channel.RefusalAction(validator.action.Load()) }
	})
	asked := validator.times()
	validator.refuse(errors.New("revoked"))
	a.live.Load().follow()
	deliver(t, a, b)
	if err := a.abortedBy(); err != nil || validator.times() == asked {
		t.Errorf("asked %d times, the connection has ended: %v", validator.times()-asked, err)
	}
}

func TestThePeersExpiryIsWatched(t *testing.T) {
	clock, validator, expired := newClock(), new(moody), errors.New("expired")
	a := newEnd(t, "a", func(c *channel.Config, _ *Config) { c.Validator, c.Now = validator, clock.Now })
	b := newEnd(t, "b", func(c *channel.Config, _ *Config) {
		c.Identity, c.Now = certified(t, clock.Now().Add(time.Second)), clock.Now
	})
	begin(t, a, b)
	deliver(t, a, b)
	if l := a.live.Load(); l == nil || l.expiring != nil || a.PeerExpiry().Sub(clock.Now()) != time.Second {
		t.Fatal("there is a timer already, or nothing to set it by")
	}
	a.Establish()
	b.Establish()
	if a.live.Load().expiring == nil {
		t.Fatal("there is no timer")
	}
	if _, err := b.Rotate(certified(t, clock.Now().Add(1000*time.Hour))); err != nil {
		t.Fatal(err)
	}
	deliver(t, a, b)
	if in := a.PeerExpiry().Sub(clock.Now()); in != 1000*time.Hour {
		t.Errorf("the peer's credential is taken to expire in %v", in)
	}
	if _, err := b.Rotate(certified(t, clock.Now())); err != nil {
		t.Fatal(err)
	}
	deliver(t, a, b)
	validator.refuse(expired)
	eventually(t, a, b, "the end", func() bool { return errors.Is(a.abortedBy(), expired) })
}

// The peer may show another credential just when the timer is being set for the one before.
func TestTheExpiryThatIsWatchedIsThatOfTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		validator, expired := new(moody), errors.New("expired")
		a := newEnd(t, "a", func(c *channel.Config, _ *Config) { c.Validator = validator })
		b := newEnd(t, "b", func(c *channel.Config, _ *Config) { c.Identity = certified(t, time.Now().Add(1000*time.Hour)) })
		connect(t, a, b)
		if _, err := b.Rotate(certified(t, time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		l, met := a.live.Load(), false
		a.settings.Now = func() time.Time {
			if !met {
				met = true
				if l.mu.TryLock() { // else the peer's message has to wait
					l.mu.Unlock()
					deliver(t, a, b)
				}
			}
			return time.Now()
		}
		l.armExpiry(time.Time{})
		deliver(t, a, b)
		validator.refuse(expired)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if err := a.abortedBy(); !met || !errors.Is(err, expired) {
			t.Errorf("an hour after the peer's credential has expired: %v", err)
		}
	})
}

// A thoughtful validator takes its time: what was good when it was asked may have expired when it answers.
type thoughtful struct {
	clock  *clock
	expiry time.Time
	takes  atomic.Int64 // as a time.Duration
}

var errExpired = errors.New("expired")

func (v *thoughtful) ValidateLeaf(*mls.LeafNode, *mls.LeafNode) error {
	asked := v.clock.Now()
	v.clock.advance(time.Duration(v.takes.Load()))
	if asked.After(v.expiry) {
		return errExpired
	}
	return nil
}

// A peer whose credential expires just while the validator is asked is asked about once more.
func TestAPeerThatExpiresWhileItIsAskedAbout(t *testing.T) {
	for _, inHandshake := range []bool{true, false} {
		t.Run(fmt.Sprintf("in the handshake: %t", inHandshake), func(t *testing.T) {
			clock := newClock()
			validator := &thoughtful{clock: clock, expiry: clock.Now()}
			a := newEnd(t, "a", func(c *channel.Config, _ *Config) { c.Validator, c.Now = validator, clock.Now })
			b := newEnd(t, "b", func(c *channel.Config, _ *Config) { c.Identity, c.Now = certified(t, clock.Now()), clock.Now })
			if inHandshake {
				validator.takes.Store(int64(time.Minute))
			}
			begin(t, a, b)
			deliver(t, a, b)
			validator.takes.Store(int64(time.Minute))
			a.Establish()
			b.Establish()
			eventually(t, a, b, "the end", func() bool { return errors.Is(a.abortedBy(), errExpired) })
		})
	}
}

// reading is a validator that takes tokens which say in nanoseconds of Unix time when they expire.
type reading struct{ moody }

func (*reading) CredentialTypes() []mls.CredentialType {
	return []mls.CredentialType{mls.CredentialSDCWT}
}

func (*reading) CredentialExpiry(c *mls.Credential) (time.Time, error) {
	at, err := strconv.ParseInt(string(c.Data), 10, 64)
	return time.Unix(0, at), err
}

// Of a token, the validator says when it expires: the peer's is watched, and the own one renewed in time.
func TestTheExpiryOfTokensIsWatched(t *testing.T) {
	for _, refused := range []channel.RefusalAction{channel.RefusalClose, channel.RefusalWarn} {
		clock, renewed := newClock(), make(chan struct{})
		token := func(lifetime time.Duration) mls.Identity {
			id := newIdentity(t, "token")
			id.Credential = mls.SDCWTCredential(strconv.AppendInt(nil, clock.Now().Add(lifetime).UnixNano(), 10))
			return id
		}
		a := newEnd(t, "a", func(c *channel.Config, d *Config) { c.Now, d.Refused = clock.Now, refused })
		a.config.Validator = a.Validator(new(reading))
		b := newEnd(t, "b", func(c *channel.Config, d *Config) {
			c.Identity, c.Validator, c.Now = token(time.Hour), new(reading), clock.Now
			d.Rekey.BeforeExpiry = 10 * time.Minute
			d.Renew = func(context.Context) (mls.Identity, error) {
				close(renewed)
				return token(2 * time.Hour), nil
			}
		})
		begin(t, a, b)
		deliver(t, a, b)
		if in := a.PeerExpiry().Sub(clock.Now()); in != time.Hour {
			t.Errorf("the peer's token is taken to expire in %v", in)
		}
		a.Establish()
		b.Establish()
		clock.advance(55 * time.Minute)
		b.FollowPolicy()
		<-renewed
		eventually(t, a, b, "the next token", func() bool { return a.PeerExpiry().Sub(clock.Now()) == 2*time.Hour })
		if _, err := b.Rotate(mls.Identity{Credential: mls.SDCWTCredential([]byte("x")), Signer: b.config.Identity.Signer}); err == nil {
			t.Error("a token that cannot be read is shown")
		}
	}
}

// Whoever takes a step between the refusal of a peer and the end of the connection gives the refusal as its
// reason as well: the peer would take a session that is closed for an orderly end.
func TestWhoFindsTheSessionClosedSaysWhy(t *testing.T) {
	validator, revoked := new(moody), errors.New("revoked")
	a, b := pair(t, func(c *channel.Config, _ *Config) { c.Validator = validator })
	validator.refuse(revoked)
	var later error
	first := a.Advance(func(s *channel.Session) ([]channel.Event, error) {
		return s.Revalidate(a.Context(), channel.RefusalClose)
	})
	later = a.Advance(func(s *channel.Session) ([]channel.Event, error) {
		return s.Receive(a.Context(), channel.Message{Type: channel.MessageConnectionUpdate, Protected: true})
	})
	for what, err := range map[string]error{"who refused": first, "who came later": later} {
		if !errors.Is(err, revoked) || channel.AlertOf(err) != channel.AlertBadCertificate {
			t.Errorf("%s says %v, which the peer is told as %v", what, err, channel.AlertOf(err))
		}
	}
	// A session that nobody has failed is closed, and no more.
	b.Advance(func(s *channel.Session) ([]channel.Event, error) { s.Close(); return nil, nil })
	if err := b.Advance(func(s *channel.Session) ([]channel.Event, error) {
		return s.Update(b.Context(), channel.ReasonRequested)
	}); !errors.Is(err, channel.ErrClosed) {
		t.Errorf("a session that was closed says %v", err)
	}
}

// A peer that is refused goes on as who it is and as nobody else, and only where the connection was
// established before.
func TestWhomATolerantValidatorLetsIn(t *testing.T) {
	refusing := new(moody)
	refusing.refuse(errors.New("no"))
	id, other := newIdentity(t, "peer"), newIdentity(t, "other")
	leaf := func(credential, key mls.Identity) *mls.LeafNode {
		return &mls.LeafNode{Credential: credential.Credential, SignatureKey: []byte(key.Credential.Identity)}
	}
	peer := leaf(id, id)
	for name, c := range map[string]struct {
		leaf, previous *mls.LeafNode
		established    bool
		want           bool
	}{
		"as before":          {peer, leaf(id, id), true, true},
		"too early":          {peer, leaf(id, id), false, false},
		"as if it were new":  {peer, nil, true, false},
		"another key":        {leaf(id, other), peer, true, false},
		"another credential": {leaf(other, id), peer, true, false},
		"somebody else":      {leaf(other, other), peer, true, false},
	} {
		e := newEnd(t, "a", func(_ *channel.Config, d *Config) { d.Refused = channel.RefusalWarn })
		if e.established.Store(c.established); (e.Validator(refusing).ValidateLeaf(c.leaf, c.previous) == nil) != c.want {
			t.Errorf("%s: let in: %t", name, !c.want)
		}
		if e.Validator(nil) != nil {
			t.Error("a validator comes from nowhere")
		}
	}
	// What becomes of a peer may change meanwhile.
	for action, want := range map[channel.RefusalAction]bool{channel.RefusalKeep: true, channel.RefusalWarn: true, channel.RefusalClose: false, 0: false, 77: false} {
		now := channel.RefusalWarn
		e := newEnd(t, "a", func(_ *channel.Config, d *Config) { d.RefusedBy = func() channel.RefusalAction { return now } })
		validator := e.Validator(refusing)
		e.established.Store(true)
		now = action
		if (validator.ValidateLeaf(leaf(id, id), peer) == nil) != want {
			t.Errorf("%v: let in: %t", action, !want)
		}
	}
	if strict := newEnd(t, "a", nil); strict.Validator(refusing) != mls.AuthenticationService(refusing) {
		t.Error("a connection that is to be closed is tolerant")
	}
}
