package tunnel

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// certifiedEnds know each other by certificates of one authority, which are in the files server and client.
func certifiedEnds(t *testing.T, transport string) (e *ends, authority *testbed.Authority, server, client string) {
	authority = testbed.NewAuthority(t)
	server, client = filepath.Join(t.TempDir(), "server.pem"), filepath.Join(t.TempDir(), "client.pem")
	authority.Issue(t, server, "spiffe://example.org/server")
	authority.Issue(t, client, "spiffe://example.org/client")
	peers := func(name string) *config.Peers {
		return &config.Peers{Roots: []string{authority.File}, Names: []string{"spiffe://example.org/" + name}}
	}
	return newEnds(transport, testbed.Echo(t), config.Identity{Certificate: server, Key: server}, config.Identity{Certificate: client, Key: client},
		peers("client"), peers("server")), authority, server, client
}

func TestCertificatesChangeOnDiskWhileAConnectionLives(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		t.Parallel() // files are looked at every few seconds
		e, authority, serverFile, clientFile := certifiedEnds(t, transport)
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "with the first certificates")
		for range 2 {
			serverPrint := authority.Issue(t, serverFile, "spiffe://example.org/server")
			clientPrint := authority.Issue(t, clientFile, "spiffe://example.org/client")
			testbed.Eventually(t, "each end sees the other's new certificate", func() bool {
				if err := testbed.Exchange(c, "meanwhile"); err != nil { // what is not read is not seen
					t.Fatal(err)
				}
				return statusOf(client).Links[0].Peer == serverPrint && statusOf(server).Links[0].Peer == clientPrint
			})
		}
		testbed.SayAndHear(t, c, "with the third certificates")
		s := statusOf(client)
		if s.Connections != 1 || s.HandshakesFull+s.HandshakesResumed != 1 || s.PeerRotations != 2 || s.Links[0].Name != "spiffe://example.org/server" || s.Links[0].Expires == nil {
			t.Errorf("the client says %+v", s)
		}
	})
}

func TestAPeerThatIsNotKnownGetsNothing(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		reached := make(chan struct{}, 100)
		e := pinnedEnds(t, transport, testbed.Service(t, func(*net.TCPConn) { reached <- struct{}{} }))
		_, stranger := testbed.Key(t, "stranger")
		e.server.Forwards[0].Peers = &config.Peers{Fingerprints: []string{stranger}}
		server, client := e.startBoth(t, nil)
		wantTurnedAway(t, addressOf(client, "client"))
		testbed.Eventually(t, "the refusal is counted", func() bool { return statusOf(server).PeerRefusals > 0 && statusOf(server).HandshakesFailed > 0 })
		if s := statusOf(server); s.HandshakesFull != 0 || len(s.Links) != 0 || len(reached) != 0 {
			t.Errorf("the service was reached %d times, and the server says %+v", len(reached), s)
		}
		if client.Status().Healthy() {
			t.Error("the client is healthy though the server refuses it")
		}
		testbed.Eventually(t, "the client counts all handshakes that fail, also those by which it looks for the server", func() bool { return statusOf(client).HandshakesFailed > 1 })
	})
}
