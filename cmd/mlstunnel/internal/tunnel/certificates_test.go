package tunnel

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

var (
	certificateLife   = flag.Duration("certificates.life", 0, "how long certificates are valid in tests of that; an hour by default, and 15 seconds where they run out")
	certificateEvery  = flag.Duration("certificates.every", 0, "how often TestCertificatesAreReplacedUnderLoad replaces them; at once by default")
	certificateFor    = flag.Duration("certificates.for", 0, "how long it does that; once by default")
	certificateLinks  = flag.Int("certificates.links", 20, "on how many links")
	certificateWithin = flag.Duration("certificates.within", 0, "by when all links have to have rotated after a file's change was noticed; not judged by default")
)

// A moment is a line of the log, with the forward and the key that it is about.
type moment struct {
	at                    time.Time
	worked                time.Duration // CPU time of the process until then
	message, forward, key string
}

// A recorder is a log that remembers who showed what when.
type recorder struct {
	forward string
	mu      *sync.Mutex // guards what all points to
	all     *[]moment
}

func newRecorder() recorder { return recorder{mu: new(sync.Mutex), all: new([]moment)} }

func (r recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r recorder) WithGroup(string) slog.Handler            { return r }

func (r recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "forward" {
			r.forward = a.Value.String()
		}
	}
	return r
}

func (r recorder) Handle(_ context.Context, record slog.Record) error {
	m := moment{record.Time, worked(), record.Message, r.forward, ""}
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "fingerprint" || a.Key == "peer" {
			m.key = a.Value.String()
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.all = append(*r.all, m)
	return nil
}

// with returns what was logged with that message, and a key if it is not empty, from a time on.
func (r recorder) with(message, key string, from time.Time) []moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []moment
	for _, m := range *r.all {
		if m.message == message && (key == "" || m.key == key) && !m.at.Before(from) {
			some = append(some, m)
		}
	}
	return some
}

// worked returns the CPU time of the process.
func worked() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it takes no other argument
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A rotation is how long after its forward's notice of a new certificate a link had rotated, and how much the
// process had worked by then.
type rotation struct{ took, worked time.Duration }

// rotations returns those to a new certificate, the quickest first.
func (r recorder) rotations(key string, from time.Time) []rotation {
	noticed := make(map[string]moment)
	for _, m := range r.with("own identity", key, from) {
		noticed[m.forward] = m
	}
	var all []rotation
	for _, m := range r.with("own identity rotated in the living link", "", from) {
		if before, ok := noticed[m.forward]; ok && !m.at.Before(before.at) {
			all = append(all, rotation{m.at.Sub(before.at), m.worked - before.worked})
		}
	}
	slices.SortFunc(all, func(a, b rotation) int { return cmp.Compare(a.took, b.took) })
	return all
}

// total adds up the forwards of a tunnel.
func total(t *Tunnel) (sum links.ForwardStatus) {
	for _, f := range t.Status().Forwards {
		sum.HandshakesFull += f.HandshakesFull
		sum.HandshakesResumed += f.HandshakesResumed
		sum.HandshakesFailed += f.HandshakesFailed
		sum.PeerRotations += f.PeerRotations
		sum.PeerRefusals += f.PeerRefusals
		sum.Links = append(sum.Links, f.Links...)
	}
	return sum
}

// Certificates that live shortly are replaced in the files of both ends again and again, while all links carry data.
// In full, as docs/operations.md has the figures of it:
//
//	go test ./internal/tunnel -run ReplacedUnderLoad/tcp -v -timeout 20m -certificates.life 2m -certificates.every 1m -certificates.for 6m -certificates.links 200
func TestCertificatesAreReplacedUnderLoad(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		t.Parallel() // files are looked at every few seconds
		life, many := cmp.Or(*certificateLife, time.Hour), *certificateLinks
		e, authority, serverFile, clientFile := certifiedEnds(t, transport)
		files := map[string]string{"server": serverFile, "client": clientFile}
		issue := func(end string) string {
			return authority.IssueFor(t, files[end], "spiffe://example.org/"+end, life)
		}
		issue("server")
		issue("client")
		logs := map[string]recorder{"server": newRecorder(), "client": newRecorder()}
		server := start(t, e.server, Options{Log: slog.New(logs["server"])})
		// Over QUIC a client has one link, so there are many clients.
		front := e.client.Forwards[0]
		front.Forward = addressOf(server, "server")
		clients := []config.Forward{front}
		if transport == config.QUIC {
			clients = nil
			for i := range many {
				front.Name = fmt.Sprint("client-", i)
				clients = append(clients, front)
			}
		}
		client := start(t, &config.File{Admin: "off", Forwards: clients}, Options{Log: slog.New(logs["client"])})

		var exchanges atomic.Int64
		var carrying sync.WaitGroup
		over := make(chan struct{})
		for i := range many {
			c := testbed.Dial(t, "tcp", addressOf(client, clients[i%len(clients)].Name))
			testbed.SayAndHear(t, c, "the first words of a connection")
			carrying.Go(func() {
				for {
					select {
					case <-over:
						return
					case <-time.After(100 * time.Millisecond):
					}
					c.SetDeadline(time.Now().Add(testbed.HangBound))
					if err := testbed.Exchange(c, strings.Repeat("x", 1024)); err != nil {
						t.Errorf("a connection was lost: %v", err)
						return
					}
					exchanges.Add(1)
				}
			})
		}
		failed := total(client).HandshakesFailed // a server that many come to at once sends some away, and they come again
		began, rounds := time.Now(), 0
		for next := began; ; {
			now := time.Now()
			keys := map[string]string{"server": issue("server"), "client": issue("client")}
			for end, other := range map[string]string{"server": "client", "client": "server"} {
				testbed.Eventually(t, "all links have rotated, and the peers have seen it", func() bool {
					return len(logs[end].rotations(keys[end], now)) >= many && len(logs[other].with("the peer shows another identity", keys[end], now)) >= many
				})
				all := logs[end].rotations(keys[end], now)
				half, last := all[len(all)/2], all[len(all)-1]
				t.Logf("round %d, %s: half of %d links had rotated %v after the file's change was noticed, all of them after %v, with %v of CPU time", rounds, end, many,
					half.took.Round(time.Millisecond), last.took.Round(time.Millisecond), last.worked.Round(time.Millisecond))
				if *certificateWithin > 0 && last.took > *certificateWithin {
					t.Errorf("the last link rotated after %v, want %v", last.took, *certificateWithin)
				}
			}
			rounds++
			next = next.Add(*certificateEvery)
			if next.Sub(began) >= *certificateFor {
				break
			}
			time.Sleep(time.Until(next))
		}
		time.Sleep(time.Until(began.Add(*certificateFor))) // those of before have run out by then
		close(over)
		carrying.Wait()
		for end, tunnel := range map[string]*Tunnel{"server": server, "client": client} {
			s := total(tunnel)
			if end == "client" {
				s.HandshakesFailed -= failed
			}
			if s.HandshakesFull+s.HandshakesResumed != uint64(many) || s.HandshakesFailed+s.PeerRefusals != 0 || s.PeerRotations != uint64(rounds*many) || len(s.Links) != many {
				t.Errorf("after %d rounds the %s has %d links, from %d handshakes (%d failed), with %d rotations of peers and %d refusals", rounds, end, len(s.Links),
					s.HandshakesFull+s.HandshakesResumed, s.HandshakesFailed, s.PeerRotations, s.PeerRefusals)
			}
		}
		t.Logf("%d exchanges in %v on %d connections, none lost", exchanges.Load(), time.Since(began).Round(time.Second), many)
	})
}

// A certificate that nobody replaces in time has its links dropped or warned of, as the other end has it.
func TestACertificateThatRunsOut(t *testing.T) {
	t.Parallel() // it takes a while
	life := cmp.Or(*certificateLife, 15*time.Second)
	type expiring struct {
		name, refused  string
		server, client *Tunnel
		c              net.Conn
		issue          func(life time.Duration) (fingerprint string)
	}
	var cases []*expiring // all at once, as they take the same time
	for _, refused := range []string{config.Drop, config.Warn} {
		for _, transport := range []string{config.TCP, config.QUIC} {
			e, authority, serverFile, _ := certifiedEnds(t, transport)
			e.client.Forwards[0].Peers.Refused = refused
			c := &expiring{name: refused + " over " + transport, refused: refused, issue: func(life time.Duration) string {
				return authority.IssueFor(t, serverFile, "spiffe://example.org/server", life)
			}}
			c.issue(life)
			c.server, c.client = e.startBoth(t, nil)
			c.c = testbed.Dial(t, "tcp", addressOf(c.client, "client"))
			c.c.SetDeadline(time.Now().Add(life + 2*testbed.HangBound))
			testbed.SayAndHear(t, c.c, "while it is valid")
			cases = append(cases, c)
		}
	}
	time.Sleep(life)
	for _, c := range cases {
		if c.refused == config.Drop {
			wantReset(t, c.c)
		}
		testbed.Eventually(t, c.name+": the client refuses the server", func() bool { return statusOf(c.client).PeerRefusals > 0 })
		testbed.Eventually(t, c.name+": the server says that its certificate has run out", func() bool {
			return strings.Contains(strings.Join(c.server.Status().Problems(), "\n"), "nothing has taken its place")
		})
	}
	next := make(map[*expiring]string)
	for _, c := range cases {
		next[c] = c.issue(time.Hour)
	}
	for _, c := range cases {
		if c.refused == config.Drop {
			testbed.Eventually(t, c.name+": the server has another certificate", func() bool { return statusOf(c.server).Fingerprint == next[c] && c.server.Status().Healthy() })
			c.c = testbed.Dial(t, "tcp", addressOf(c.client, "client"))
		}
		testbed.Eventually(t, c.name+": the client sees another certificate", func() bool {
			testbed.SayAndHear(t, c.c, "go on")
			return statusOf(c.client).Links[0].Peer == next[c]
		})
		if s := statusOf(c.client); (s.HandshakesFull+s.HandshakesResumed == 1) != (c.refused == config.Warn) {
			t.Errorf("%s: the client made %d handshakes", c.name, s.HandshakesFull+s.HandshakesResumed)
		}
	}
}

// With warn a link goes on whose peer is taken out, and heals; a new one is refused.
func TestAPeerThatIsTakenOutIsWarnedOf(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		e.server.Forwards[0].Peers.Refused = config.Warn
		e.server.Rekey = &config.Rekey{Every: 100 * time.Millisecond}
		e.client.Rekey = e.server.Rekey
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "hello")
		_, stranger := testbed.Key(t, "stranger")
		changed := e.server.Forwards[0]
		changed.Peers = &config.Peers{Fingerprints: []string{stranger}, Refused: config.Warn}
		reload(t, server, with(e.server, changed))
		testbed.Eventually(t, "the refusal is counted", func() bool { return statusOf(server).PeerRefusals > 0 })
		before := statusOf(server)
		testbed.Eventually(t, "both ends heal", func() bool {
			testbed.SayAndHear(t, c, "still there")
			s := statusOf(server)
			return s.UpdatesOwn > before.UpdatesOwn+2 && s.UpdatesPeer > before.UpdatesPeer+2
		})
		if transport == config.TCP {
			wantTurnedAway(t, addressOf(client, "client"))
		}
		if s := statusOf(server); len(s.Links) != 1 || s.HandshakesFull != 1 {
			t.Errorf("the server says %+v", s)
		}
	})
}
