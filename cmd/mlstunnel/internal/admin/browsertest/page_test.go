package browsertest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/admin"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/tunnel"
	"github.com/mendlink/mendlink/mls"
)

// startBoth starts a server and a client in one process, which know each other by certificates and rekey all the time.
func startBoth(t *testing.T, transport string) *tunnel.Tunnel {
	t.Helper()
	authority := testbed.NewAuthority(t)
	end := func(name, role, peer, to string) config.Forward {
		file := filepath.Join(t.TempDir(), name+".pem")
		authority.Issue(t, file, "spiffe://example.org/"+name)
		return config.Forward{Name: name, Role: role, Transport: transport, Listen: "127.0.0.1:0", Forward: to,
			Identity: &config.Identity{Certificate: file, Key: file}, Rekey: &config.Rekey{Every: 200 * time.Millisecond},
			Peers: &config.Peers{Roots: []string{authority.File}, Names: []string{"spiffe://example.org/" + peer}}}
	}
	file := func(forwards ...config.Forward) *config.File {
		c := &config.File{Admin: "127.0.0.1:0", Forwards: forwards}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	server := end("server", config.Server, "client", testbed.Echo(t))
	both, err := tunnel.Start(file(server), tunnel.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { both.Drain(testbed.Ended()) })
	client := end("client", config.Client, "server", both.Forward("server").Addr().String())
	if err := both.Reload(file(server, client)); err != nil {
		t.Fatal(err)
	}
	return both
}

func TestThePageShowsLinksAsTheyLive(t *testing.T) {
	for _, transport := range []string{config.TCP, config.QUIC} {
		t.Run(transport, func(t *testing.T) {
			both := startBoth(t, transport)
			p := open(t, both.Admin())
			c := testbed.Dial(t, "tcp", both.Forward("client").Addr().String())
			var first []card
			testbed.Eventually(t, "both ends of the link are shown, and have healed", func() bool {
				testbed.SayAndHear(t, c, "hello")
				first = p.cards()
				shown := len(first) == 2
				for _, c := range first {
					shown = shown && number(t, c.Rows["rekeys"]) > 0 && c.Rows["connections"] == "1"
				}
				return shown
			})
			if health := p.text("#health"); health != "all is well" {
				t.Errorf("the page says %q", health)
			}
			status := both.Status()
			for i, peer := range []string{"client", "server"} {
				link, rows := status.Forwards[i].Links[0], first[i].Rows
				for row, want := range map[string]string{"peer": link.Peer, "name": "spiffe://example.org/" + peer, "address": link.Remote, "suite": link.Suite,
					"session": link.Session[:16], "connections": "1"} {
					if rows[row] != want {
						t.Errorf("%s of the %s is %q, want %q", row, peer, rows[row], want)
					}
				}
				// The certificate is valid for an hour, of which this takes some minutes at the most, and the link is new.
				for row, want := range map[string]string{"identity ends": "in 5", "age of the keys": " s", "last heal": " s ago", "up": " s", "data": " received"} {
					if !strings.Contains(rows[row], want) {
						t.Errorf("%s of the %s is %q, want %q in it", row, peer, rows[row], want)
					}
				}
				if first[i].Forward != status.Forwards[i].Name || first[i].Title != fmt.Sprint("Link ", link.ID) || first[i].Steps == 0 || first[i].Wide < 100 ||
					!strings.HasPrefix(first[i].Plot, "Epochs over time: from ") {
					t.Errorf("got %+v", first[i])
				}
			}
			// A selection stays while numbers change, so that a fingerprint can be copied.
			eval[chromedp.Void](p, `getSelection().selectAllChildren(document.querySelector('.link dd code'))`)
			testbed.Eventually(t, "the numbers of both ends have changed", func() bool {
				testbed.SayAndHear(t, c, strings.Repeat("x", 4096))
				now := p.cards()
				changed := len(now) == 2
				for i := range now {
					for _, row := range []string{"epoch", "rekeys", "data"} {
						changed = changed && now[i].Rows[row] != first[i].Rows[row]
					}
					changed = changed && now[i].Steps > first[i].Steps && now[i].Plot != first[i].Plot && now[i].Rows["peer"] == first[i].Rows["peer"]
				}
				return changed
			})
			if selected := eval[string](p, `getSelection().toString()`); selected != first[0].Rows["peer"] {
				t.Errorf("%q is selected, want %q", selected, first[0].Rows["peer"])
			}
			if n := number(t, p.cards()[0].Rows["epoch"]); uint64(n) > both.Status().Forwards[0].Links[0].Epoch {
				t.Errorf("epoch %d is shown, which has not begun", n)
			}
			if transport == config.TCP {
				c.Close()
				testbed.Eventually(t, "no link is shown any more", func() bool { return len(p.cards()) == 0 })
				next := testbed.Dial(t, "tcp", both.Forward("client").Addr().String())
				testbed.Eventually(t, "the resumption is shown, of the link and among the handshakes", func() bool {
					testbed.SayAndHear(t, next, "again")
					cards := p.cards()
					return len(cards) == 2 && strings.HasSuffix(cards[0].Rows["up"], ", resumed") && strings.HasSuffix(cards[1].Rows["up"], ", resumed") &&
						strings.Contains(p.text("main section"), "handshakes: 1 full, 1 resumed, 0 failed")
				})
			}
		})
	}
}

// number returns that at the beginning of a text.
func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.Fields(text + " ")[0])
	if err != nil {
		t.Fatalf("%q does not begin with a number", text)
	}
	return n
}

// serve serves the page of a registry.
func serve(t *testing.T, r *links.Registry) *admin.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := admin.Serve(l, r)
	t.Cleanup(s.Close)
	return s
}

func TestThePageShowsTwoHundredLinks(t *testing.T) {
	const many = 200
	r := links.New()
	f := r.Add("postgres", "server", "tcp", ":7000", func() links.Self { return links.Self{Target: "127.0.0.1:5432", Fingerprint: "SHA256:self"} })
	all := make([]*links.Link, many)
	for i := range all {
		all[i] = f.Begin(fmt.Sprint("192.0.2.1:", i))
		// A peer chooses its own name.
		leaf := &mls.LeafNode{SignatureKey: fmt.Appendf(nil, "%032d", i), Credential: mls.BasicCredential([]byte("<img src=http://192.0.2.1/><script>alert(1)</script>"))}
		all[i].Established(channel.SessionID{byte(i)}, "SUITE", 1, false, leaf)
		for epoch := range uint64(300) { // more than is kept
			all[i].Trace().Epoch(channel.SessionID{}, epoch+2, true)
		}
	}
	p := open(t, serve(t, r).URL())
	testbed.Eventually(t, "all links are shown", func() bool { return len(p.cards()) == many })
	for i, c := range p.cards() {
		if c.Title != fmt.Sprint("Link ", all[i].ID()) || c.Rows["epoch"] != "301" || c.Rows["name"] != `"<img src=http://192.0.2.1/><script>alert(1)</script>"` || c.Rows["last heal"] != "not yet" {
			t.Fatalf("got %+v", c)
		}
	}
	for _, l := range all {
		l.Trace().Event(channel.SessionID{}, channel.Updated{Epoch: 302, Own: true})
		l.Trace().Epoch(channel.SessionID{}, 302, true)
		l.Sent(2048)
	}
	all[0].End()
	testbed.Eventually(t, "one is gone and all others have changed", func() bool {
		cards := p.cards()
		for i, c := range cards {
			if c.Title != fmt.Sprint("Link ", all[i+1].ID()) || c.Rows["epoch"] != "302" || c.Rows["rekeys"] != "1 own, 0 of the peer" || !strings.HasPrefix(c.Rows["data"], "2.0 KiB sent") ||
				!strings.HasSuffix(c.Rows["last heal"], " s ago") {
				return false
			}
		}
		return len(cards) == many-1
	})
	// Nothing sticks out of the page, on a wide screen or on a telephone.
	for _, width := range []int64{1280, 360} {
		p.resize(width, 800)
		if eval[bool](p, `document.documentElement.scrollWidth > innerWidth`) {
			t.Errorf("with %d pixels it has to be scrolled sideways", width)
		}
	}
}

func TestThePageShowsWhatIsWrong(t *testing.T) {
	r := links.New()
	f := r.Add("postgres", "client", "quic", "127.0.0.1:5432", func() links.Self {
		return links.Self{Fingerprint: "SHA256:self", Expiry: time.Now().Add(-time.Minute - time.Second/2)}
	})
	s := serve(t, r)
	p := open(t, s.URL())
	testbed.Eventually(t, "all is well", func() bool { return p.text("#health") == "all is well" })
	if text := p.text("main"); !strings.Contains(text, "No link is up.") || !strings.Contains(text, "identity ends: expired 6") {
		t.Errorf("got %q", text)
	}
	f.SetProblem(errors.New("the server is away"))
	testbed.Eventually(t, "the problem is shown", func() bool {
		return p.text("#health") == "one problem" && p.text("#problems") == "postgres: the server is away"
	})
	f.SetProblem(nil)
	testbed.Eventually(t, "it has passed", func() bool { return p.text("#health") == "all is well" && p.text("#problems") == "" })
}
