package channel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// recording returns a Trace that writes down what it is told.
func recording(lines *[]string) *Trace {
	note := func(format string, args ...any) { *lines = append(*lines, fmt.Sprintf(format, args...)) }
	return &Trace{
		Transition: func(_ SessionID, from, to State) { note("%v -> %v", from, to) },
		Sent:       func(_ SessionID, m MessageType, size int) { note("sent %v, empty: %t", m, size == 0) },
		Received:   func(_ SessionID, m MessageType, size int) { note("received %v, empty: %t", m, size == 0) },
		Epoch:      func(_ SessionID, epoch uint64, own bool) { note("epoch %d, own: %t", epoch, own) },
		Keys: func(_ SessionID, d Direction, epoch uint64, step bool) {
			note("%v keys of %d, step: %t", d, epoch, step)
		},
		Saved:  func(SessionID, uint64) { note("saved") },
		Event:  func(_ SessionID, e Event) { note("%T", e) },
		Failed: func(_ SessionID, err *Error) { note("failed: %v", err.Alert) },
	}
}

func TestTraceTellsALifeInOrder(t *testing.T) {
	var lines []string
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.Trace = recording(&lines)
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	want := strings.Split(strings.TrimSpace(`
idle -> awaiting ServerHello
sent ClientHello, empty: false
received ServerHello, empty: false
epoch 1, own: false
saved
awaiting ServerHello -> synced
sending keys of 1, step: false
receiving keys of 1, step: false
sent HandshakeDone, empty: true
channel.PeerAuthenticated
channel.HandshakeComplete`), "\n")
	if !slices.Equal(lines, want) {
		t.Errorf("handshake:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	lines = nil
	a.update(t, ReasonAge)
	settle(t, a, b)
	a.updateKeys(t, true)
	settle(t, a, b)
	b.rotate(t, "carol")
	settle(t, a, b)
	b.refuses = errors.New("revoked")
	if _, err := a.Receive(ctx, Message{Type: MessageKeySwitch, Protected: true}); err == nil {
		t.Fatal("a KeySwitch out of the blue")
	}
	want = strings.Split(strings.TrimSpace(`
saved
synced -> awaiting EpochKeyUpdate
sent ConnectionUpdate, empty: false
received EpochKeyUpdate, empty: false
epoch 2, own: true
saved
awaiting EpochKeyUpdate -> synced
receiving keys of 2, step: false
sent KeySwitch, empty: false
sending keys of 2, step: false
channel.Updated
sent KeyUpdate, empty: false
sending keys of 2, step: true
received KeyUpdate, empty: false
receiving keys of 2, step: true
received ConnectionUpdate, empty: false
epoch 3, own: false
saved
synced -> awaiting KeySwitch
sent EpochKeyUpdate, empty: false
sending keys of 3, step: false
channel.Updated
channel.PeerChanged
received KeySwitch, empty: false
awaiting KeySwitch -> synced
receiving keys of 3, step: false
received KeySwitch, empty: true
failed: unexpected_message
synced -> closed`), "\n")
	if !slices.Equal(lines, want) {
		t.Errorf("life:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever a trace is told, formatted in whatever way, holds no traffic secret.
func TestTraceHoldsNoSecrets(t *testing.T) {
	var told, keyLog bytes.Buffer
	tell := func(args ...any) { fmt.Fprintf(&told, "%v %+v %#v\n", args, args, args) }
	trace := &Trace{
		Transition: func(id SessionID, from, to State) { tell(id, from, to) },
		Sent:       func(id SessionID, m MessageType, size int) { tell(id, m, size) },
		Received:   func(id SessionID, m MessageType, size int) { tell(id, m, size) },
		Epoch:      func(id SessionID, epoch uint64, own bool) { tell(id, epoch, own) },
		Keys:       func(id SessionID, d Direction, epoch uint64, step bool) { tell(id, d, epoch, step) },
		Saved:      func(id SessionID, version uint64) { tell(id, version) },
		Event:      func(id SessionID, e Event) { tell(id, e) },
		Failed:     func(id SessionID, err *Error) { tell(id, err, err.Err) },
	}
	a, b := shake(t, func(a, b *Config) {
		a.Trace, b.Trace, a.KeyLogWriter = trace, trace, &keyLog
		a.MaxEarlyData, b.MaxEarlyData = 100, 100
	})
	canUpdate(t, a, b)
	id := a.ID()
	cut(a, b)
	a, b = resumeWith(t, a.host, b.host, id, []byte("the early data"))
	settle(t, a, b)
	canUpdate(t, a, b)
	lines := strings.Split(strings.TrimSpace(keyLog.String()), "\n")
	if len(lines) < 12 || told.Len() == 0 {
		t.Fatalf("%d lines in the key log, %d octets told", len(lines), told.Len())
	}
	for _, line := range lines {
		secret, err := hex.DecodeString(line[strings.LastIndex(line, " ")+1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(secret), fmt.Sprintf("%x", secret), fmt.Sprint(secret), fmt.Sprintf("%#v", secret)} {
			if strings.Contains(told.String(), strings.Trim(form, "[]")) {
				t.Errorf("the trace is told the secret of %q", line)
			}
		}
	}
	if strings.Contains(told.String(), "the early data") || strings.Contains(told.String(), strings.Trim(fmt.Sprint([]byte("the early data")), "[]")) {
		t.Error("the trace is told the early data")
	}
}

func TestEmptyTraceIsAllowed(t *testing.T) {
	a, b := shake(t, func(a, b *Config) { a.Trace, b.Trace = new(Trace), new(Trace) })
	agree(t, a, b)
	canUpdate(t, a, b)
}
