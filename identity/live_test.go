package identity

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

func shows(t *testing.T, what string, l *Live, want ...*x509.Certificate) {
	t.Helper()
	ids := l.Identities()
	if len(ids) != len(want) {
		t.Fatalf("%s: %d identities, want %d", what, len(ids), len(want))
	}
	for i, id := range ids {
		if !id.Credential.Equal(mls.X509Credential(want[i])) {
			t.Errorf("%s: identity %d is another one", what, i)
		}
		if key := want[i].PublicKey.(publicKey); !key.Equal(id.Signer.Public()) {
			t.Errorf("%s: the key of identity %d is another one", what, i)
		}
	}
}

// Whatever is wrong with the files, all stays as it was, somebody is told, and it goes on
// once they are right again.
func TestWhatIsNotWholeChangesNothing(t *testing.T) {
	ca := newAuthority(t, "root")
	key, next := newEd25519Key(t), newEd25519Key(t)
	before, after := ca.issue(t, key.Public(), "peer"), ca.issue(t, next.Public(), "peer")
	late := ca.issue(t, next.Public(), "peer", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	early := ca.issue(t, next.Public(), "peer", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for name, c := range map[string]struct {
		spoil func(p *place)
		want  error
	}{
		"the key comes first":          {func(p *place) { p.write("tls.key", pemOfKey(t, next)) }, ErrKeyMismatch},
		"the certificate comes first":  {func(p *place) { p.write("tls.crt", pemOf(after)) }, ErrKeyMismatch},
		"the certificate is cut short": {func(p *place) { p.write("tls.crt", pemOf(after)[:100]) }, ErrPEM},
		"the certificate is empty":     {func(p *place) { p.write("tls.crt", nil) }, ErrCertificate},
		"the key is cut short":         {func(p *place) { p.write("tls.key", pemOfKey(t, next)[:60]) }, ErrPEM},
		"the key is gone":              {func(p *place) { remove(t, p.pair.Key) }, fs.ErrNotExist},
		"everybody may read the key": {func(p *place) {
			p.renew(next, after)
			if err := os.Chmod(p.pair.Key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, ErrPermissions},
		"the certificate is for later":       {func(p *place) { p.renew(next, late) }, ErrNotValidNow},
		"the certificate has expired":        {func(p *place) { p.renew(next, early) }, ErrNotValidNow},
		"the authorities are cut short":      {func(p *place) { p.write("ca.crt", pemOf(ca.certificate)[:80]) }, ErrPEM},
		"the authorities are an end's":       {func(p *place) { p.write("ca.crt", pemOf(before)) }, ErrCertificate},
		"the revocations are not understood": {func(p *place) { p.write("revoked", []byte("serial")) }, ErrRevokedFile},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.renew(key, before)
			var reports []error
			l := open(t, Files{
				Pairs: []KeyPair{p.pair}, Roots: []string{p.write("ca.crt", pemOf(ca.certificate))}, Revoked: []string{p.write("revoked", nil)},
				Every: -1, Report: func(err error) { reports = append(reports, err) },
			})
			v := mustValidator(t, X509Options{RootsFor: l.RootsFor, Names: AnyName, Revoked: l.Revoked})
			changes := 0
			defer l.Watch(func() { changes++ })()
			c.spoil(p)
			for range 3 {
				var at *FileError
				if err := l.Reload(); !errors.Is(err, c.want) || !errors.As(err, &at) || !errors.Is(l.Err(), c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
			shows(t, "while it is wrong", l, before)
			if err := v.ValidateLeaf(leafOf(t, key.Public(), before), nil); err != nil {
				t.Errorf("a good peer is refused: %v", err)
			}
			if changes != 0 || len(reports) != 1 || !errors.Is(reports[0], c.want) {
				t.Errorf("%d changes, reports %v", changes, reports)
			}
			p.renew(next, after)
			p.write("ca.crt", pemOf(ca.certificate))
			p.write("revoked", []byte("serial 1f\n"))
			if err := l.Reload(); err != nil || l.Err() != nil {
				t.Errorf("all is right, and the error is %v", err)
			}
			shows(t, "once it is right", l, after)
			if changes != 1 || len(reports) != 2 || reports[1] != nil {
				t.Errorf("%d changes, reports %v", changes, reports)
			}
		})
	}
}

// A certificate that is for later is taken over when its time has come, and one that nobody
// renews is reported.
func TestCertificatesGoByTheClock(t *testing.T) {
	ca, clock := newAuthority(t, "root"), newClock()
	p := newPlace(t)
	key := newEd25519Key(t)
	first := ca.issue(t, key.Public(), "peer", func(c *x509.Certificate) { c.NotAfter = clock.Now().Add(time.Hour) })
	second := ca.issue(t, key.Public(), "peer", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = clock.Now().Add(30*time.Minute), clock.Now().Add(2*time.Hour)
	})
	p.renew(key, first)
	l := open(t, Files{Pairs: []KeyPair{p.pair}, Every: -1, Now: clock.Now})
	p.renew(key, second)
	if err := l.Reload(); !errors.Is(err, ErrNotValidNow) {
		t.Errorf("before its time: %v", err)
	}
	shows(t, "before its time", l, first)
	clock.advance(31 * time.Minute)
	if err := l.Reload(); err != nil {
		t.Errorf("at its time: %v", err)
	}
	shows(t, "at its time", l, second)
	clock.advance(2 * time.Hour)
	if err := l.Reload(); !errors.Is(err, ErrNotValidNow) {
		t.Errorf("nobody has renewed it: %v", err)
	}
	shows(t, "nobody has renewed it", l, second)
}

// As Kubernetes does it: the names are links into ..data, which is a link to a directory and
// is exchanged for another.
func TestVolumesOfKubernetesAreFollowed(t *testing.T) {
	ca := newAuthority(t, "root")
	dir := t.TempDir()
	link := func(to, from string) {
		t.Helper()
		temporary := filepath.Join(dir, "..tmp")
		if err := errors.Join(os.Symlink(to, temporary), os.Rename(temporary, filepath.Join(dir, from))); err != nil {
			t.Fatal(err)
		}
	}
	project := func(version string) *x509.Certificate {
		t.Helper()
		key := newEd25519Key(t)
		certificate := ca.issue(t, key.Public(), "peer")
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "tls.crt"), pemOf(certificate))
		write(t, filepath.Join(dir, version, "tls.key"), pemOfKey(t, key))
		// All of them have one date, as in an image that is built to be reproducible.
		for _, name := range []string{"tls.crt", "tls.key"} {
			if err := os.Chtimes(filepath.Join(dir, version, name), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
		link(version, "..data")
		return certificate
	}
	first := project("..1")
	link("..data/tls.crt", "tls.crt")
	link("..data/tls.key", "tls.key")
	l := open(t, Files{Pairs: []KeyPair{{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}}, Every: -1})
	shows(t, "first", l, first)
	for _, version := range []string{"..2", "..3"} {
		next := project(version)
		if err := l.Reload(); err != nil {
			t.Error(err)
		}
		shows(t, version, l, next)
	}
}

// A bundle that is written in pieces is whole PEM in between, with less in it. It counts
// once it has come to rest.
func TestAChangeIsTakenOverOnceItHasComeToRest(t *testing.T) {
	first, second, third := newAuthority(t, "1"), newAuthority(t, "2"), newAuthority(t, "3")
	p, tick := newPlace(t), make(chan time.Time)
	l := open(t, Files{Roots: []string{p.write("ca.crt", pemOf(first.certificate))}, Tick: tick})
	changed := make(chan struct{}, 10)
	defer l.Watch(func() { changed <- struct{}{} })()
	key := newEd25519Key(t)
	v := mustValidator(t, X509Options{RootsFor: l.RootsFor, Names: AnyName})
	trusts := func(what string, want ...*authority) {
		t.Helper()
		for _, a := range []*authority{first, second, third} {
			err := v.ValidateLeaf(leafOf(t, key.Public(), a.issue(t, key.Public(), "peer")), nil)
			trusted := false
			for _, w := range want {
				trusted = trusted || w == a
			}
			if (err == nil) != trusted {
				t.Errorf("%s: authority %s: %v", what, a.certificate.Subject, err)
			}
		}
	}
	trusts("at first", first)
	p.write("ca.crt", pemOf(second.certificate))
	l.look(false)
	trusts("half written", first)
	p.write("ca.crt", pemOf(second.certificate, third.certificate))
	l.look(false)
	trusts("whole, seen once", first)
	tick <- time.Time{}
	<-changed
	trusts("whole, seen twice", second, third)
	p.write("ca.crt", pemOf(first.certificate))
	if err := l.Reload(); err != nil {
		t.Error(err)
	}
	trusts("reloaded", first)
}

func TestIdentitiesOfBeforeAreRemembered(t *testing.T) {
	ca := newAuthority(t, "root")
	a, b := newPlace(t), newPlace(t)
	renew := func(p *place, ec bool) *x509.Certificate {
		if ec {
			key := newECDSAKey(t, elliptic.P256())
			certificate := ca.issue(t, key.Public(), "peer")
			p.renew(key, certificate)
			return certificate
		}
		key := newEd25519Key(t)
		certificate := ca.issue(t, key.Public(), "peer")
		p.renew(key, certificate)
		return certificate
	}
	certificates := []*x509.Certificate{renew(a, false)}
	p256 := renew(b, true)
	l := open(t, Files{Pairs: []KeyPair{a.pair, b.pair}, Every: -1})
	if n := len(l.PreviousIdentities()); n != 0 {
		t.Errorf("%d before there is another one", n)
	}
	for range 2*maxPrevious + 2 {
		certificates = append([]*x509.Certificate{renew(a, false)}, certificates...)
		if err := l.Reload(); err != nil {
			t.Fatal(err)
		}
		shows(t, "renewed", l, certificates[0], p256)
		previous := l.PreviousIdentities()
		if len(previous) != min(len(certificates)-1, 2*maxPrevious) {
			t.Fatalf("%d previous ones of %d", len(previous), len(certificates)-1)
		}
		for i, id := range previous {
			if !bytes.Equal(id.Credential.Certificates[0], certificates[i+1].Raw) {
				t.Errorf("previous identity %d is another one", i)
			}
		}
	}
}

func TestOpenWantsAllFilesToBeRight(t *testing.T) {
	p := newPlace(t)
	good := p.write("ca.crt", pemOf(newAuthority(t, "root").certificate))
	for name, files := range map[string]Files{
		"nothing":       {},
		"no pair":       {Pairs: []KeyPair{p.pair}},
		"no roots":      {Roots: []string{good, p.path("none")}},
		"no domain":     {TrustDomains: map[string][]string{"a": {p.path("none")}}},
		"no revoked":    {Roots: []string{good}, Revoked: []string{p.path("none")}},
		"no other file": {Roots: []string{good}, Also: []string{p.path("none")}},
	} {
		if l, err := Open(files); err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// The goroutine is the Live's, and ends with it; watchers come and go at any time.
func TestWatchersComeAndGo(t *testing.T) {
	p := newPlace(t)
	other := p.write("hosts", []byte("0"))
	l, err := Open(Files{Also: []string{other}, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				stop := l.Watch(func() { calls.Add(1) })
				l.RootsFor(new(x509.Certificate))
				l.Identities()
				stop()
				stop()
			}
		})
	}
	stop := l.Watch(func() { calls.Add(1) })
	var again func()
	again = l.Watch(func() { again() }) // may stop from within
	for i := byte('1'); i < '9'; i++ {
		before := calls.Load()
		p.write("hosts", []byte{i})
		until(t, "the change", func() bool { return calls.Load() > before })
	}
	wg.Wait()
	stop()
	if n := len(l.feed.watchers); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	<-l.done
	before := calls.Load()
	l.Watch(func() { calls.Add(1) })
	p.write("hosts", []byte("after"))
	if err := l.Reload(); err != nil || calls.Load() != before+1 {
		t.Errorf("after Close a Reload does not work any more: %v", err)
	}
}
