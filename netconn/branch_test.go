package netconn

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// sendFramed and receiveFramed carry an octet string from end to end.
func sendFramed(t testing.TB, c *Conn, data []byte) {
	t.Helper()
	if _, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...)); err != nil {
		t.Error(err)
	}
}

func receiveFramed(t testing.TB, c *Conn) []byte {
	t.Helper()
	var size [4]byte
	_, err := io.ReadFull(c, size[:])
	data := make([]byte, binary.BigEndian.Uint32(size[:]))
	if err == nil {
		_, err = io.ReadFull(c, data)
	}
	if err != nil {
		t.Error(err)
	}
	return data
}

// inGroups are the options of branches that take in whoever v accepts.
func inGroups(v mls.AuthenticationService) channel.BranchOptions {
	return channel.BranchOptions{Config: &mls.Config{AuthenticationService: v, Now: time.Now}}
}

// mustTalk checks that two groups are states of members of one group.
func mustTalk(t testing.TB, a, b *mls.Group) {
	t.Helper()
	for _, pair := range [][2]*mls.Group{{a, b}, {b, a}} {
		message, err := pair[0].Protect([]byte("hello"), nil)
		if err != nil {
			t.Fatal(err)
		}
		received, err := pair[1].Process(message)
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := received.(*mls.ReceivedApplication); !ok || string(data.Data) != "hello" {
			t.Fatalf("received %v", received)
		}
	}
}

// While both ends update their keys, either makes groups of the connection, over the connection.
func TestAConnectionBranches(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	both := pin(t, ic.Identity, rc.Identity)
	for _, resumed := range []bool{false, true} {
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		if s := client.ConnectionState(); s.Resumed != resumed {
			t.Fatalf("resumed: %t, want %t", s.Resumed, resumed)
		}
		before := client.ConnectionState().Epoch
		for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
			joiner, founder := ends[0], ends[1]
			for range 5 {
				var updates sync.WaitGroup
				sent := make(chan struct{}) // the key package and the Welcome
				for _, c := range ends {
					updates.Go(func() {
						for range 3 { // fewer than the epochs of which a branch can be joined
							if err := c.Update(t.Context()); err != nil {
								t.Error(err)
							}
						}
						<-sent
						sendFramed(t, c, []byte("done"))
					})
				}
				keyPackage, err := joiner.BranchKeyPackage(inGroups(both))
				if err != nil {
					t.Fatal(err)
				}
				sendFramed(t, joiner, keyPackage)
				atFounder, welcome, err := founder.Branch(receiveFramed(t, founder), inGroups(both))
				if err != nil {
					t.Fatal(err)
				}
				sendFramed(t, founder, welcome)
				close(sent)
				atJoiner, err := joiner.JoinBranch(receiveFramed(t, joiner))
				if err != nil {
					t.Fatal(err)
				}
				mustTalk(t, atFounder, atJoiner)
				// Updates go on as long as both ends read.
				for _, c := range ends {
					updates.Go(func() {
						if got := receiveFramed(t, c); string(got) != "done" {
							t.Errorf("%q", got)
						}
					})
				}
				updates.Wait()
			}
		}
		exchange(t, client, server)
		if after := client.ConnectionState().Epoch; after <= before {
			t.Errorf("epoch %d after the updates, %d before", after, before)
		}
		client.Close()
		server.Close()
	}
}

// What does not come to a branch is told, and the connection lives on; without one there is none.
func TestABranchOfAConnectionIsRefused(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	both := pin(t, ic.Identity, rc.Identity)
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)

	stranger, err := mls.NewKeyPackage(inGroups(both).Config, mls.KeyPackageOptions{Suite: 1, Identity: newIdentity(t, "initiator")})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Branch(stranger.Message(), inGroups(both))
	if op, ok := errors.AsType[*net.OpError](err); !errors.Is(err, channel.ErrBranch) || !ok || op.Op != "branch" {
		t.Errorf("a stranger's key package: error %v, want %v", err, channel.ErrBranch)
	}
	if _, err := client.JoinBranch([]byte("?")); !errors.Is(err, channel.ErrNoBranch) {
		t.Errorf("a Welcome that nobody waits for: error %v, want %v", err, channel.ErrNoBranch)
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
	roundTrip(t, client)
	update(t, client)

	client.Close()
	client.ForgetBranches()
	_, err = client.BranchKeyPackage(inGroups(both))
	_, _, err2 := client.Branch(keyPackage, inGroups(both))
	_, err3 := client.JoinBranch(welcome)
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: error %v, want %v", err, net.ErrClosed)
		}
	}
	never := Client(nil, nil)
	never.ForgetBranches()
	if _, err := never.BranchKeyPackage(inGroups(both)); err == nil {
		t.Error("a Conn without a Config makes a key package")
	}
}
