package bolt

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

// linkConfig is that of one end of a link. The processes have their keys by heart.
func linkConfig(t testing.TB, own, peer string, store channel.Store) *netconn.Config {
	t.Helper()
	signer := func(name string) crypto.Signer {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(name), ed25519.SeedSize)[:ed25519.SeedSize])
	}
	pinned, err := identity.NewPinned(signer(peer).Public())
	if err != nil {
		t.Fatal(err)
	}
	return &netconn.Config{
		Identity:  identity.New(signer(own), own),
		Validator: pinned,
		Suites:    []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519},
		Store:     store,
		PeerName:  peer,
	}
}

// A responder that is killed again and again, and has its sessions in a file,
// resumes each time: it never has to begin anew.
func TestAKilledResponderResumesItsSession(t *testing.T) {
	if path := os.Getenv("BOLT_TEST_KILLED_RESPONDER"); path != "" {
		respondUntilKilled(t, path)
		return
	}
	path := newPath(t)
	config := linkConfig(t, "initiator", "responder", channel.NewMemoryStore(0))
	rng := rand.New(rand.NewPCG(5, 6))
	var session channel.SessionID
	trips := 0
	for round := range *kills / 4 {
		cmd, address := startResponder(t, path)
		conn, err := dialLink(t, address, config)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		state := conn.ConnectionState()
		if resumed := round > 0; state.Resumed != resumed || resumed && state.SessionID != session {
			t.Fatalf("after kill %d: session %v, resumed: %t; the one before was %v", round, state.SessionID, state.Resumed, session)
		}
		session = state.SessionID
		// The first exchange confirms the session, which the responder keeps from then on.
		if err := exchange(conn); err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		time.AfterFunc(time.Duration(rng.IntN(15_000))*time.Microsecond, func() { cmd.Process.Kill() })
		for exchange(conn) == nil {
			trips++
		}
		conn.Close()
		if err := cmd.Wait(); cmd.ProcessState.Exited() {
			t.Fatalf("the responder ended before it was killed: %v", err)
		}
	}
	t.Logf("%d kills, %d updates and exchanges between them", *kills/4, trips)
}

// dialLink connects, also while the machine is slow.
func dialLink(t *testing.T, address string, config *netconn.Config) (*netconn.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := (&netconn.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*netconn.Conn), nil
}

// exchange updates the keys and has something echoed.
func exchange(conn *netconn.Conn) error {
	conn.SetDeadline(time.Now().Add(time.Minute))
	echo := make(chan error, 1)
	go func() { // an update is confirmed when somebody reads
		_, err := io.ReadFull(conn, make([]byte, 5))
		echo <- err
	}()
	_, err := conn.Write([]byte("hello"))
	if err != nil {
		conn.Close()
	}
	err = errors.Join(err, conn.Update(context.Background()))
	return errors.Join(err, <-echo)
}

// startResponder starts a process that serves a link, and returns its address.
func startResponder(t *testing.T, path string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAKilledResponderResumesItsSession$")
	cmd.Env = append(os.Environ(), "BOLT_TEST_KILLED_RESPONDER="+path)
	out := startChild(t, cmd)
	t.Cleanup(func() { cmd.Process.Kill() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the responder does not say its address: %v", err)
	}
	return cmd, strings.TrimSpace(address)
}

func respondUntilKilled(t *testing.T, path string) {
	endWithParent()
	s, err := Open(path, &Config{Keys: keyring(t, 1), LockTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := netconn.NewListener(l, linkConfig(t, "responder", "initiator", s))
	fmt.Println(l.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(conn, conn)
		conn.Close()
	}
}
