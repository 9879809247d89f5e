package netconn

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// reading has both ends read until the test ends, so that updates are confirmed.
func reading(ends ...*Conn) {
	for _, c := range ends {
		go func() {
			for _, err := c.Read(make([]byte, 100)); err == nil; _, err = c.Read(make([]byte, 100)) {
			}
		}()
	}
}

// Sessions of two groups need nothing but the Config: full and partial updates, by
// call and by policy, and resumptions.
func TestSessionsOfTwoGroups(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.APQ, rc.APQ = &channel.APQ{}, &channel.APQ{Required: true}
	ic.Store, rc.Store, ic.PeerName = channel.NewMemoryStore(0), channel.NewMemoryStore(0), "peer"
	rc.Rekey = RekeyPolicy{Every: 10 * time.Millisecond, FullEvery: 30 * time.Millisecond, Bytes: -1, Records: -1}
	for round := range 2 {
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		exchange(t, client, server)
		reading(client, server)
		within(t, "an update", func() {
			for _, update := range []func(context.Context) error{client.Update, client.UpdateFull, server.UpdateFull} {
				if err := update(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for client.ConnectionState().Epoch < 12 {
				time.Sleep(time.Millisecond)
			}
		})
		state := client.ConnectionState()
		if state.Suite != 1 || state.Negotiated.PQSuite != ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519 || state.Resumed != (round == 1) {
			t.Errorf("round %d: %+v", round, state)
		}
		if state.LastUpdateError != nil || server.ConnectionState().LastUpdateError != nil {
			t.Errorf("round %d: %v, %v", round, state.LastUpdateError, server.ConnectionState().LastUpdateError)
		}
		client.NetConn().Close()
		client.Close()
		server.Close()
	}
}

// An end that insists on two groups says so to one that makes none.
func TestAPeerWithoutTwoGroupsIsToldWhy(t *testing.T) {
	ic, rc := newConfigs(t)
	rc.APQ = &channel.APQ{Required: true}
	a, b := net.Pipe()
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	err := client.Handshake()
	if alert := (*AlertError)(nil); !errors.As(err, &alert) || alert.Alert != channel.AlertInsufficientSecurity {
		t.Errorf("the client: %v", err)
	}
	if err := <-done; !errors.Is(err, channel.ErrNoAPQ) {
		t.Errorf("the server: %v", err)
	}
}
