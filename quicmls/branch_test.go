package quicmls

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// carry sends an octet string to the other end, on a stream of its own.
func carry(t testing.TB, from, to *Conn, data []byte) []byte {
	t.Helper()
	out, err := from.OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	in, err := to.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// inGroups are the options of branches that take in whoever v accepts.
func inGroups(v mls.AuthenticationService) channel.BranchOptions {
	return channel.BranchOptions{Config: &mls.Config{AuthenticationService: v, Now: time.Now}}
}

// While both ends update their keys, either makes groups of the connection, over the connection.
func TestAConnectionBranches(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	both := pin(t, ic.Identity, rc.Identity)
	client, server := connect(t, ic, rc)
	// branch goes through all of it once. A key package on a stream may overtake the control stream; then it is made again.
	branch := func(founder, joiner *Conn) (atFounder, atJoiner *mls.Group, err error) {
		keyPackage, err := joiner.BranchKeyPackage(inGroups(both))
		if err != nil {
			t.Fatal(err)
		}
		atFounder, welcome, err := founder.Branch(carry(t, joiner, founder, keyPackage), inGroups(both))
		if err != nil {
			t.Fatal(err)
		}
		atJoiner, err = joiner.JoinBranch(carry(t, founder, joiner, welcome))
		return atFounder, atJoiner, err
	}
	before := client.ConnectionState().Epoch
	for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
		for range 5 {
			var updates sync.WaitGroup
			for _, c := range ends {
				updates.Go(func() {
					for range 3 { // fewer than the epochs of which a branch can be joined
						if err := c.Update(t.Context()); err != nil {
							t.Error(err)
						}
					}
				})
			}
			atFounder, atJoiner, err := branch(ends[0], ends[1])
			updates.Wait()
			if errors.Is(err, channel.ErrBranchEpoch) {
				atFounder, atJoiner, err = branch(ends[0], ends[1])
			}
			if err != nil {
				t.Fatal(err)
			}
			message, err := atFounder.Protect([]byte("hello"), nil)
			if err != nil {
				t.Fatal(err)
			}
			received, err := atJoiner.Process(message)
			if err != nil {
				t.Fatal(err)
			}
			if data, ok := received.(*mls.ReceivedApplication); !ok || string(data.Data) != "hello" {
				t.Fatalf("received %v", received)
			}
		}
	}
	if after := client.ConnectionState().Epoch; after <= before {
		t.Errorf("epoch %d after the updates, %d before", after, before)
	}
}

// What does not come to a branch is told, and the connection lives on; without one there is none.
func TestABranchOfAConnectionIsRefused(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	both := pin(t, ic.Identity, rc.Identity)
	client, server := connect(t, ic, rc)
	stranger, err := mls.NewKeyPackage(inGroups(both).Config, mls.KeyPackageOptions{Suite: 1, Identity: newIdentity(t, "initiator")})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = client.Branch(stranger.Message(), inGroups(both)); !errors.Is(err, channel.ErrBranch) {
		t.Errorf("a stranger's key package: error %v, want %v", err, channel.ErrBranch)
	}
	keyPackage, err := server.BranchKeyPackage(inGroups(both))
	if err != nil {
		t.Fatal(err)
	}
	_, welcome, err := client.Branch(keyPackage, inGroups(both))
	if err != nil {
		t.Fatal(err)
	}
	server.ForgetBranches()
	if _, err := server.JoinBranch(welcome); !errors.Is(err, channel.ErrNoBranch) {
		t.Errorf("a branch that was forgotten: error %v, want %v", err, channel.ErrNoBranch)
	}
	update(t, client)
	if got := carry(t, client, server, []byte("still there")); string(got) != "still there" {
		t.Errorf("%q", got)
	}

	client.CloseWithError(0, "")
	client.ForgetBranches()
	_, err = client.BranchKeyPackage(inGroups(both))
	_, _, err2 := client.Branch(keyPackage, inGroups(both))
	_, err3 := client.JoinBranch(welcome)
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: error %v, want %v", err, net.ErrClosed)
		}
	}
}
