package tunnel

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// revocation is the line that revokes the certificate in a file.
func revocation(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		t.Fatalf("%s does not begin with a certificate", path)
	}
	return fmt.Appendf(nil, "certificate %x\n", sha256.Sum256(block.Bytes))
}

// What becomes of a link whose peer is refused is up to the configuration that is in force, and not the one that the link
// began with.
func TestAReloadDecidesAboutLinksThatThereAre(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		server, client := e.startBoth(t, nil) // drop
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "before")
		_, stranger := testbed.Key(t, "stranger")
		become := func(refused string) {
			changed := e.server.Forwards[0]
			changed.Peers = &config.Peers{Fingerprints: []string{stranger}, Refused: refused}
			reload(t, server, with(e.server, changed))
		}
		become(config.Warn)
		testbed.Eventually(t, "the refusal is counted", func() bool { return statusOf(server).PeerRefusals > 0 })
		testbed.SayAndHear(t, c, "it was warned of, and goes on")
		become(config.Drop)
		wantReset(t, c)
		testbed.Eventually(t, "the link is gone", func() bool { return len(statusOf(server).Links) == 0 })
	})
}

// A certificate that is revoked on disk costs its links, with nobody saying anything to the process, within twice
// files_every: a look has to notice the change, and the next one to find the same. The time is judged with
// -certificates.within. With warn the link goes on, and comes back no more.
func TestACertificateIsRevokedWhileAConnectionLives(t *testing.T) {
	for _, refused := range []string{config.Drop, config.Warn} {
		transports(t, func(t *testing.T, transport string) {
			t.Parallel() // files are looked at every second
			e, authority, _, clientFile := certifiedEnds(t, transport)
			revoked := filepath.Join(t.TempDir(), "revoked")
			testbed.Write(t, revoked, []byte("# nothing yet\n"))
			server := &e.server.Forwards[0]
			server.Peers.Revoked, server.Peers.Refused, server.FilesEvery = []string{revoked}, refused, time.Second
			e.client.Forwards[0].FilesEvery = time.Second
			atServer, atClient := e.startBoth(t, nil)
			c := testbed.Dial(t, "tcp", addressOf(atClient, "client"))
			testbed.SayAndHear(t, c, "before")
			line, began := revocation(t, clientFile), time.Now()
			testbed.Write(t, revoked, line)
			if refused == config.Drop {
				wantReset(t, c)
			}
			testbed.Eventually(t, "the refusal is counted", func() bool { return statusOf(atServer).PeerRefusals > 0 })
			took := time.Since(began)
			t.Logf("%s over %s: %v after it was revoked; files are looked at each %v", refused, transport, took.Round(time.Millisecond), server.FilesEvery)
			if *certificateWithin > 0 && took > *certificateWithin {
				t.Errorf("want %v", *certificateWithin)
			}
			if refused == config.Warn {
				testbed.SayAndHear(t, c, "after")
				c.Close()
				if transport == config.QUIC {
					atClient.Drain(ended) // its link would live on
					atClient = start(t, e.client, Options{})
				}
			}
			wantTurnedAway(t, addressOf(atClient, "client"))
			if s := statusOf(atServer); s.HandshakesFull != 1 || s.HandshakesResumed != 0 {
				t.Errorf("the server says %+v", s)
			}
			// Another certificate of the same name is as good as the first one was.
			authority.Issue(t, clientFile, "spiffe://example.org/client")
			testbed.Eventually(t, "the client is let in again", func() bool {
				c, err := net.Dial("tcp", addressOf(atClient, "client"))
				if err != nil {
					return false // turned away so soon that it was not there yet
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(testbed.HangBound))
				return testbed.Exchange(c, "with another certificate") == nil
			})
		})
	}
}
