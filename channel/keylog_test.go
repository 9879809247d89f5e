package channel

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// Each epoch's secrets are in the log, under the name of the end that sends
// under them, whoever writes the log.
func TestKeyLogHasTheTrafficSecretsOfEachEpoch(t *testing.T) {
	t.Parallel()
	var logs [2]bytes.Buffer
	alice, bob := newHost(t, "alice"), newHost(t, "bob")
	alice.cfg.KeyLogWriter, bob.cfg.KeyLogWriter = &logs[0], &logs[1]
	a, b := initiate(t, alice, bob)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	var want string
	line := func() {
		want += fmt.Sprintf("CLIENT_TRAFFIC_SECRET %v %d %x\nSERVER_TRAFFIC_SECRET %v %d %x\n", a.ID(), a.Epoch(), a.sendKey, a.ID(), a.Epoch(), b.sendKey)
	}
	line()
	for _, p := range []*peer{a, b} {
		p.update(t, ReasonRequested)
		settle(t, a, b)
		line()
	}
	for i := range logs {
		if got := logs[i].String(); got != want {
			t.Errorf("log %d is\n%s, want\n%s", i, got, want)
		}
	}
}

type brokenWriter struct{ error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.error }

func TestKeyLogThatCannotBeWrittenEndsTheSession(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	alice := newHost(t, "alice")
	alice.cfg.KeyLogWriter = brokenWriter{full}
	a, b := initiate(t, alice, newHost(t, "bob"))
	a.start(t)
	settle(t, a, b)
	if !errors.Is(a.err, full) || a.complete != 0 {
		t.Errorf("error %v after %d handshakes, want %v after 0", a.err, a.complete, full)
	}
}

// The group of a stored session is that of the session.
func TestStoredSessionShowsItsGroup(t *testing.T) {
	t.Parallel()
	a, b := established(t)
	a.update(t, ReasonRequested)
	settle(t, a, b)
	stored, err := a.store.Load(ctx, a.ID())
	if err != nil {
		t.Fatal(err)
	}
	g, err := stored.Group(&a.host.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Erase()
	if g.Epoch() != a.Epoch() || !bytes.Equal(g.GroupID(), stored.ID[:]) || len(g.Members()) != 2 {
		t.Errorf("group %x in epoch %d with %d members, want %v in epoch %d with 2", g.GroupID(), g.Epoch(), len(g.Members()), a.ID(), a.Epoch())
	}
	canUpdate(t, a, b) // to look does not disturb

	if g, err := stored.Group(&b.host.cfg); err == nil {
		g.Erase()
		t.Error("somebody else's identity opens the session")
	}
	stored.Data = stored.Data[:len(stored.Data)-1]
	if g, err := stored.Group(&a.host.cfg); err == nil {
		g.Erase()
		t.Error("a truncated state is opened")
	}
}
