package netconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
)

func TestKeysStepInOneDirectionOrBoth(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	steps := make(chan channel.Direction, 100)
	ic.Trace = &channel.Trace{Keys: func(_ channel.SessionID, d channel.Direction, _ uint64, step bool) {
		if step {
			steps <- d
		}
	}}
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	for _, request := range []bool{false, true, false, true, true} {
		if err := client.UpdateKeys(request); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, client)
		if d := <-steps; d != channel.Sending {
			t.Errorf("the first step is of %v", d)
		}
		if request {
			if d := <-steps; d != channel.Receiving {
				t.Errorf("the second step is of %v", d)
			}
		}
	}
	if len(steps) > 0 || client.ConnectionState().Epoch != 1 {
		t.Error("more has changed than was asked for")
	}
	update(t, client)
	roundTrip(t, client)
	client.Close()
	if err := client.UpdateKeys(false); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestDataFlowsBothWaysWhileKeysStep(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			for _, c := range []*Conn{client, server} {
				if err := c.UpdateKeys(i%3 == 0); err != nil {
					t.Error(err)
				}
			}
			runtime.Gosched()
		}
	}()
	both := make(chan struct{})
	go func() {
		defer close(both)
		stream(t, server, client, 2<<20, 1000, 5000)
	}()
	stream(t, client, server, 2<<20, 1000, 5000)
	<-both
	<-done
}

// A peer that asks for steps and reads nothing cannot make this end keep much for it.
func TestRequestsForKeysDoNotPileUp(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := net.Pipe() // takes nothing that is not read
	client, server := connect(t, a, b, ic, rc)
	const requests = 1000
	want := []byte("still there")
	go func() {
		for range requests {
			client.sender.queue.push(
				outItem{message: channel.Message{Type: channel.MessageKeyUpdate, Body: []byte{1}, Protected: true}},
				outItem{step: true})
			if err := client.sender.flushNow(); err != nil {
				t.Error(err)
			}
		}
		client.Write(want)
	}()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q, %v", got, err)
	}
	if n := server.sender.queue.n.Load(); n > 4 {
		t.Errorf("%d items wait", n)
	}
	echo(server)
	roundTrip(t, client)
}

// As with any change of keys: nothing may follow in the record.
func TestNothingFollowsAKeyStepInItsRecord(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	client.sender.mu.Lock()
	client.sender.room(1)
	if err := client.sender.seal(record.ContentHandshake, []byte("\xea\x00\x00\x01\x00\xea")); err != nil {
		t.Fatal(err)
	}
	client.sender.flush()
	client.sender.mu.Unlock()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, record.ErrUnexpected) {
		t.Errorf("%v, want record.ErrUnexpected", err)
	}
}

func TestPreSharedKeysAreInjected(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	known := func(ids ...string) func([]byte) ([]byte, error) {
		return func(id []byte) ([]byte, error) {
			for _, k := range ids {
				if k == string(id) {
					return []byte("secret of " + k), nil
				}
			}
			return nil, mls.ErrUnknownPSK
		}
	}
	ic.PSK, rc.PSK = known("both", "too", "mine"), known("both", "too")
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	if err := client.InjectPSK(t.Context(), []byte("both"), []byte("too")); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, client)
	if epoch := server.ConnectionState().Epoch; epoch != 2 {
		t.Errorf("epoch is %d", epoch)
	}
	if err := client.InjectPSK(t.Context(), []byte("nobody's")); !errors.Is(err, mls.ErrUnknownPSK) {
		t.Errorf("%v, want ErrUnknownPSK", err)
	}
	roundTrip(t, client)
	go client.Read(make([]byte, 1))
	var told *AlertError
	if err := client.InjectPSK(t.Context(), []byte("mine")); !errors.As(err, &told) || !told.Authenticated || told.Alert != channel.AlertUnknownPSKIdentity {
		t.Errorf("%v, want unknown_psk_identity", err)
	}
}

func TestBothEndsCanCompareTheirEpoch(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	if c := Client(a, ic); c.EpochAuthenticator() != nil || c.ShortFingerprint() != "" {
		t.Error("there is something before the handshake")
	}
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	seen := make(map[string]bool)
	for range 2 {
		x, y := client.EpochAuthenticator(), server.EpochAuthenticator()
		if len(x) != 32 || !bytes.Equal(x, y) {
			t.Errorf("%x, %x", x, y)
		}
		s := client.ShortFingerprint()
		if len(s) != 35 || s != server.ShortFingerprint() || seen[s] {
			t.Errorf("%q, %q", s, server.ShortFingerprint())
		}
		seen[s] = true
		for _, role := range []channel.Role{channel.RoleInitiator, channel.RoleResponder} {
			x, err := client.ExportFrom(role, "label", []byte("context"), 32)
			if err != nil {
				t.Fatal(err)
			}
			y, err := server.ExportFrom(role, "label", []byte("context"), 32)
			if err != nil || !bytes.Equal(x, y) || seen[string(x)] {
				t.Errorf("%v: %x, %x, %v", role, x, y, err)
			}
			seen[string(x)] = true
		}
		update(t, client)
		roundTrip(t, client)
	}
	client.Close()
	if client.EpochAuthenticator() != nil || client.ShortFingerprint() != "" {
		t.Error("there is something after Close")
	}
}
