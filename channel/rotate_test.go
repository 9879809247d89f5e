package channel

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// renewed gives an end a new credential and key, and its host the configuration for it.
func (p *peer) rotate(t tb, name string) {
	t.Helper()
	id := mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: newHost(t, name).cfg.Identity.Signer}
	p.host.cfg.PreviousIdentities = append(p.host.cfg.PreviousIdentities, p.host.cfg.Identity)
	p.host.cfg.Identity, p.host.name = id, name
	events, err := p.Session.Rotate(ctx, id)
	p.carryOut(t, events, err)
}

func TestRotationGoesOnUnderTheNewIdentity(t *testing.T) {
	for _, rotating := range []int{0, 1} {
		a, b := established(t)
		p := []*peer{a, b}[rotating]
		old := p.other.Peer()
		p.rotate(t, "carol")
		settle(t, a, b)
		agree(t, a, b)
		if c := p.other.changes; len(c) != 1 || string(c[0].Leaf.Credential.Identity) != "carol" || c[0].Previous != old {
			t.Errorf("the other end is told of %d changes", len(c))
		}
		if string(old.SignatureKey) == string(p.other.Peer().SignatureKey) {
			t.Error("the signature key is the same")
		}
		canUpdate(t, a, b)
		if id := must(b.store.FindByPeer(ctx, Fingerprint(b.Peer().SignatureKey))); len(id) != 1 {
			t.Error("the responder does not find the session under the peer's present key")
		}
		cut(a, b)
		for _, way := range ways {
			a, b = recoverFrom(t, way, a.host, b.host)
			cut(a, b)
		}
	}
}

// A rotation that is dropped for the peer's update is made again.
func TestRotationSurvivesCrossing(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	b.rotate(t, "carol")
	settle(t, a, b)
	agree(t, a, b)
	if len(a.changes) != 1 || a.Epoch() != 3 {
		t.Errorf("%d changes, epoch %d", len(a.changes), a.Epoch())
	}
}

// Wherever the connection is cut, what comes of it ends under the new identity.
func TestRotationThatIsCutIsMadeUpFor(t *testing.T) {
	for rotating := range 2 {
		for n := range 4 {
			for _, way := range ways {
				a, b := established(t)
				[]*peer{a, b}[rotating].rotate(t, "carol")
				deliverSome(t, a, b, true, n)
				cut(a, b)
				a, b = recoverFrom(t, way, a.host, b.host)
				if p := []*peer{b, a}[rotating]; string(p.Peer().Credential.Identity) != "carol" {
					t.Errorf("%s after %d messages: the peer is %s", way, n, p.Peer().Credential.Identity)
				}
			}
		}
	}
}

// An identity that was changed while there was no connection is shown by the next.
func TestResumptionShowsTheConfiguredIdentity(t *testing.T) {
	for _, way := range ways {
		a, b := established(t)
		cut(a, b)
		for _, h := range []*host{a.host, b.host} {
			h.cfg.PreviousIdentities = []mls.Identity{h.cfg.Identity}
			h.name += " the second"
			h.cfg.Identity = mls.Identity{Credential: mls.BasicCredential([]byte(h.name)), Signer: newHost(t, h.name).cfg.Identity.Signer}
		}
		a, _ = recoverFrom(t, way, a.host, b.host)
		if string(a.Peer().Credential.Identity) != "bob the second" {
			t.Errorf("%s: the peer is %s", way, a.Peer().Credential.Identity)
		}
	}
	// Without the previous one, the session is of no use.
	a, b := established(t)
	id := a.ID()
	cut(a, b)
	a.host.cfg.Identity = newHost(t, "carol").cfg.Identity
	if _, err := Resume(ctx, &a.host.cfg, id); !errors.Is(err, ErrNoSession) {
		t.Errorf("error is %v", err)
	}
}

func TestRotationThatCannotBeChangesNothing(t *testing.T) {
	a, b := established(t)
	misfit := mls.Identity{Credential: mls.BasicCredential([]byte("x")), Signer: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	if _, err := a.Session.Rotate(ctx, misfit); err == nil {
		t.Error("a key of another scheme is taken")
	}
	if _, err := a.Session.Rotate(ctx, mls.Identity{}); err == nil {
		t.Error("an identity without a key is taken")
	}
	a.store.fail = func(int) (error, bool) { return errStore, false }
	if _, err := a.Session.Rotate(ctx, newHost(t, "carol").cfg.Identity); !errors.Is(err, errStore) {
		t.Errorf("error is %v", err)
	}
	a.store.fail = nil
	agree(t, a, b)
	canUpdate(t, a, b)
	if len(b.changes) != 0 {
		t.Error("the peer sees a change")
	}
	p, _ := inState(t, StateAwaitingServerHello, 0)
	if _, err := p.Session.Rotate(ctx, p.host.cfg.Identity); !errors.Is(err, ErrNotReady) {
		t.Errorf("before the handshake is complete: %v", err)
	}
}

func TestValidatorDecidesAboutRotations(t *testing.T) {
	a, b := established(t)
	b.refuses = errors.New("no successor")
	a.rotate(t, "carol")
	b.deliver(t)
	if !errors.Is(b.err, ErrPeerRefused) || AlertOf(b.err) != AlertBadCertificate {
		t.Errorf("error is %v", b.err)
	}
}

func TestRevalidateKeepsWarnsOrCloses(t *testing.T) {
	for _, action := range []RefusalAction{RefusalKeep, RefusalWarn, RefusalClose} {
		a, b := established(t)
		if events, err := a.Revalidate(ctx, action); len(events) != 0 || err != nil {
			t.Fatalf("an accepted peer: %v, %v", events, err)
		}
		a.refuses = errors.New("revoked")
		told := 0
		a.Session.trace = &Trace{Event: func(_ SessionID, e Event) {
			if _, ok := e.(PeerRefused); ok {
				told++
			}
		}}
		events, err := a.Revalidate(ctx, action)
		a.carryOut(t, events, err)
		switch action {
		case RefusalClose:
			if !errors.Is(err, ErrPeerRefused) || AlertOf(err) != AlertBadCertificate || a.State() != StateClosed || a.store.Len() != 0 {
				t.Errorf("closing: %v, %v, %d sessions", err, a.State(), a.store.Len())
			}
			continue
		case RefusalWarn:
			if len(a.refusals) != 1 || !errors.Is(a.refusals[0].Err, ErrPeerRefused) || told != 1 {
				t.Errorf("warning: %v, the trace is told %d times", a.refusals, told)
			}
		default:
			if len(a.refusals) != 0 {
				t.Error("keeping: there is a warning")
			}
		}
		a.refuses = nil
		agree(t, a, b)
		canUpdate(t, a, b)
	}
}

// certified returns an identity with a certificate that ends at some time.
func certified(t tb, notAfter time.Time) mls.Identity {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	certificate := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, public, private))))
	return mls.Identity{Credential: mls.X509Credential(certificate), Signer: private}
}

// A commit that is pending would be repeated byte for byte, with a certificate in
// it that the peer refuses.
func TestASessionWhosePendingCommitShowsAnExpiredCredentialIsNotResumed(t *testing.T) {
	for name, c := range map[string]struct {
		pending bool
		later   time.Duration
		want    error
	}{
		"not expired":         {true, time.Minute, nil},
		"expired":             {true, 2 * time.Hour, ErrNoSession},
		"expired, no pending": {false, 2 * time.Hour, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ha, hb := newHost(t, "alice"), newHost(t, "bob")
			old := certified(t, ha.clock.Add(time.Hour))
			ha.cfg.Identity = old
			a, b := initiate(t, ha, hb)
			a.start(t)
			settle(t, a, b)
			if c.pending {
				a.update(t, ReasonAge)
			}
			cut(a, b)
			ha.clock = ha.clock.Add(c.later)
			ha.cfg.Identity, ha.cfg.PreviousIdentities = certified(t, ha.clock.Add(time.Hour)), []mls.Identity{old}
			if _, err := Resume(ctx, &ha.cfg, a.ID()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
