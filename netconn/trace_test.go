package netconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// A journal is a Trace that is written down.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) trace() *channel.Trace {
	return &channel.Trace{
		Transition: func(_ channel.SessionID, from, to channel.State) { j.note("%v -> %v", from, to) },
		Sent:       func(_ channel.SessionID, m channel.MessageType, size int) { j.note("sent %v (%d)", m, size) },
		Received:   func(_ channel.SessionID, m channel.MessageType, size int) { j.note("received %v (%d)", m, size) },
		Epoch:      func(_ channel.SessionID, epoch uint64, own bool) { j.note("epoch %d, own: %t", epoch, own) },
		Keys: func(_ channel.SessionID, d channel.Direction, epoch uint64, step bool) {
			j.note("%v keys of %d, step: %t", d, epoch, step)
		},
		Saved: func(_ channel.SessionID, version uint64) { j.note("saved %d", version) },
		Event: func(_ channel.SessionID, e channel.Event) {
			switch e := e.(type) {
			case channel.PeerAuthenticated:
				j.note("%T %+v", e, *e.Leaf)
			case channel.PeerChanged:
				j.note("%T %+v %+v", e, *e.Leaf, *e.Previous)
			default:
				j.note("%T %+v", e, e)
			}
		},
		Failed: func(_ channel.SessionID, err *channel.Error) { j.note("failed: %v: %v", err.Alert, err) },
	}
}

// inOrder fails the test unless lines that begin so come in this order, and forgets all lines.
func (j *journal) inOrder(t *testing.T, what string, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	rest := want
	for _, line := range j.lines {
		if len(rest) > 0 && strings.HasPrefix(line, rest[0]) {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		t.Errorf("%s: %q does not come where it should:\n%s", what, rest[0], strings.Join(j.lines, "\n"))
	}
	j.lines = nil
}

func TestTraceTellsALifeInOrderAndNoSecrets(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	next := newIdentity(t, "next")
	rc.Validator = pin(t, ic.Identity, next)
	ic.Store, rc.Store, ic.PeerName, rc.MaxEarlyData = newStore(), newStore(), "peer", 100
	var log bytes.Buffer
	var all []string
	j := new(journal)
	ic.KeyLogWriter, ic.Trace = &log, j.trace()
	told := func(what string, want ...string) {
		t.Helper()
		j.mu.Lock()
		all = append(all, j.lines...)
		j.mu.Unlock()
		j.inOrder(t, what, want...)
	}

	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	told("handshake", "idle -> awaiting ServerHello", "sent ClientHello", "received ServerHello", "epoch 1, own: false", "saved 1",
		"awaiting ServerHello -> synced", "sending keys of 1, step: false", "receiving keys of 1", "sent HandshakeDone (0)",
		"channel.PeerAuthenticated", "channel.HandshakeComplete {Resumed:false}")
	update(t, client)
	told("update", "saved 2", "synced -> awaiting EpochKeyUpdate", "sent ConnectionUpdate", "received EpochKeyUpdate", "epoch 2, own: true",
		"saved 3", "awaiting EpochKeyUpdate -> synced", "receiving keys of 2", "sent KeySwitch", "sending keys of 2",
		"channel.Updated {Epoch:2 Own:true Reason:requested Full:false}")
	if err := client.UpdateKeys(false); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, client)
	told("step", "sent KeyUpdate (1)", "sending keys of 2, step: true")
	if err := client.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	told("rotation", "sent ConnectionUpdate", "epoch 3, own: true", "channel.Updated {Epoch:3 Own:true Reason:identity Full:false}")
	done := make(chan error, 1)
	go func() { done <- server.Update(t.Context()) }()
	for updated := false; !updated; {
		roundTrip(t, client)
		select {
		case err := <-done:
			if updated = true; err != nil {
				t.Fatal(err)
			}
		default:
		}
	}
	roundTrip(t, client)
	told("the peer's update", "received ConnectionUpdate", "epoch 4, own: false", "sent EpochKeyUpdate", "sending keys of 4",
		"channel.Updated {Epoch:4 Own:false", "received KeySwitch", "receiving keys of 4")
	client.Close()
	told("end", "synced -> closed")
	server.Close()

	ic.Identity = next
	a, b = tcpPair(t)
	client, server = Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	if err := client.SetEarlyData([]byte("early")); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, client, server); got != "early"+rest {
		t.Errorf("the peer reads %q", got)
	}
	told("resumption", "idle -> awaiting ResumptionResponse", "sent EarlyData", "sent ResumptionRequest", "received ResumptionResponse",
		"sent EpochKeyUpdate", "received EarlyDataStatus", "channel.EarlyDataResult {Fate:delivered", "channel.HandshakeComplete {Resumed:true}")

	server.sender.mu.Lock()
	server.sender.room(1)
	if err := server.sender.seal(record.ContentHandshake, []byte("\xe4\x00\x00\x01x")); err != nil {
		t.Fatal(err)
	}
	server.sender.flush()
	server.sender.mu.Unlock()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, channel.ErrUnexpectedMessage) {
		t.Errorf("%v", err)
	}
	told("failure", "received EpochKeyUpdate (1)", "failed: unexpected_message", "synced -> closed")

	text := strings.Join(all, "\n")
	secrets := 0
	for line := range strings.Lines(log.String()) {
		fields := strings.Fields(line)
		var secret []byte
		if _, err := fmt.Sscanf(fields[3], "%x", &secret); err != nil || len(secret) != 32 {
			t.Fatalf("%q: %v", line, err)
		}
		secrets++
		for _, form := range []string{fields[3], string(secret), strings.Trim(fmt.Sprint(secret), "[]"), fmt.Sprintf("%q", secret)} {
			if strings.Contains(text, form) {
				t.Errorf("the trace holds the secret %q", form)
			}
		}
	}
	if secrets < 10 {
		t.Errorf("the key log has %d secrets", secrets)
	}
	io.Copy(io.Discard, server)
}
