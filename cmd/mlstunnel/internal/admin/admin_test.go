package admin

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/mls"
)

// filled is a registry with a server that has two links, one of them with a peer whose name wants to be a script.
func filled() (*links.Registry, *links.Forward) {
	r := links.New()
	f := r.Add("postgres", "server", "tcp", ":7000", func() links.Self {
		return links.Self{Target: "127.0.0.1:5432", Fingerprint: "SHA256:self", Expiry: time.Unix(2000000000, 0)}
	})
	leaf := &mls.LeafNode{SignatureKey: make([]byte, 32), Credential: mls.BasicCredential([]byte("<script>alert(1)</script>"))}
	for i := range 2 {
		l := f.Begin("192.0.2.1:1234")
		l.Established(channel.SessionID{byte(i)}, "SUITE", 1, i == 1, leaf)
		l.Opened()
		l.Sent(10)
		l.Received(20)
		l.Trace().Epoch(channel.SessionID{}, 2, true)
		l.Trace().Event(channel.SessionID{}, channel.Updated{Epoch: 2, Own: true})
		l.Trace().Epoch(channel.SessionID{}, 3, false)
		l.Trace().Event(channel.SessionID{}, channel.Updated{Epoch: 3})
	}
	f.Begin("192.0.2.2:99").Failed()
	return r, f
}

func get(t *testing.T, r *links.Registry, path, host string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Host = host
	w := httptest.NewRecorder()
	handler(r).ServeHTTP(w, request)
	return w
}

func TestMetricsSayWhatHappened(t *testing.T) {
	r, _ := filled()
	const labels = `forward="postgres",role="server",transport="tcp"`
	want := `
# HELP mlstunnel_bytes_total Application data by direction: to_peer or from_peer.
# TYPE mlstunnel_bytes_total counter
mlstunnel_bytes_total{direction="from_peer",` + labels + `} 40
mlstunnel_bytes_total{direction="to_peer",` + labels + `} 20
# HELP mlstunnel_connections Forwarded connections that are open.
# TYPE mlstunnel_connections gauge
mlstunnel_connections{` + labels + `} 2
# HELP mlstunnel_handshakes_total Handshakes by result: full, resumed or failed.
# TYPE mlstunnel_handshakes_total counter
mlstunnel_handshakes_total{` + labels[:len(`forward="postgres"`)] + `,result="failed",role="server",transport="tcp"} 1
mlstunnel_handshakes_total{` + labels[:len(`forward="postgres"`)] + `,result="full",role="server",transport="tcp"} 1
mlstunnel_handshakes_total{` + labels[:len(`forward="postgres"`)] + `,result="resumed",role="server",transport="tcp"} 1
# HELP mlstunnel_links Secure connections that are up.
# TYPE mlstunnel_links gauge
mlstunnel_links{` + labels + `} 2
# HELP mlstunnel_up 1 if the forward can serve connections and all its files are in force.
# TYPE mlstunnel_up gauge
mlstunnel_up{` + labels + `} 1
# HELP mlstunnel_updates_total Confirmed updates by who made them: own or peer. An update heals the end that makes it.
# TYPE mlstunnel_updates_total counter
mlstunnel_updates_total{by="own",` + labels + `} 2
mlstunnel_updates_total{by="peer",` + labels + `} 2
`
	if err := testutil.CollectAndCompare(collector{r}, strings.NewReader(want), "mlstunnel_bytes_total", "mlstunnel_connections", "mlstunnel_handshakes_total",
		"mlstunnel_links", "mlstunnel_up", "mlstunnel_updates_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(collector{r}); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}

func TestAForwardAndItsSuccessorAreNoContradiction(t *testing.T) {
	r, _ := filled()
	r.Add("postgres", "server", "tcp", ":7001", func() links.Self { return links.Self{} })
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collector{r})
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
}

func TestStatusHasEachLink(t *testing.T) {
	r, f := filled()
	var s links.Status
	if err := json.Unmarshal(get(t, r, "/status.json", "localhost:9470").Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Forwards) != 1 || len(s.Forwards[0].Links) != 2 {
		t.Fatalf("got %+v", s)
	}
	l := s.Forwards[0].Links[1]
	if l.Epoch != 3 || len(l.Epochs) != 3 || !l.Resumed || l.UpdatesOwn != 1 || l.UpdatesPeer != 1 || l.Streams != 1 || l.BytesToPeer != 10 || l.BytesFromPeer != 20 ||
		l.LastHeal == nil || l.Name != `"<script>alert(1)</script>"` || l.Peer != channel.Fingerprint(make([]byte, 32)) || l.Expires != nil {
		t.Errorf("got %+v", l)
	}
	l2 := f.Begin("x")
	l2.Established(channel.SessionID{9}, "SUITE", 1, false, nil)
	for epoch := range uint64(1000) {
		l2.Trace().Epoch(channel.SessionID{}, epoch, true)
	}
	if n := len(r.Snapshot().Forwards[0].Links[2].Epochs); n != 120 {
		t.Errorf("a link remembers %d epochs, want 120", n)
	}
	l2.End()
	if n := len(r.Snapshot().Forwards[0].Links); n != 2 {
		t.Errorf("after its end there are %d links, want 2", n)
	}
}

func TestHealthNamesTheProblem(t *testing.T) {
	r, f := filled()
	if w := get(t, r, "/healthz", "127.0.0.1"); w.Code != http.StatusOK || w.Body.String() != "ok\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	f.SetProblem(errors.New("the server is away"))
	if w := get(t, r, "/healthz", "127.0.0.1"); w.Code != http.StatusServiceUnavailable || w.Body.String() != "postgres: the server is away\n" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	f.SetProblem(nil)
	if w := get(t, r, "/healthz", "127.0.0.1"); w.Code != http.StatusOK {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	r, _ := filled()
	w := get(t, r, "/", "[::1]:9470")
	if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") == "" {
		t.Fatalf("got %d, %v", w.Code, w.Header())
	}
	text := w.Body.String()
	elsewhere := regexp.MustCompile(`(?i)(src|href)=["'](https?:)?//|url\(|@import|innerHTML|document\.write|insertAdjacent`)
	if found := elsewhere.FindString(text); found != "" {
		t.Errorf("the page has %q", found)
	}
	for _, want := range []string{`lang="en"`, `name="viewport"`, "<title>mlstunnel</title>", `role="status"`, "aria-label"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	// What the page reads has to be in the answer.
	status := get(t, r, "/status.json", "localhost").Body.String()
	for _, m := range regexp.MustCompile(`\b(?:link|forward|status)\.([a-z_]+)\b`).FindAllStringSubmatch(text, -1) {
		if m[1] != "json" && !strings.Contains(status, `"`+m[1]+`":`) {
			t.Errorf("the page reads %s, which status.json does not have", m[0])
		}
	}
}

func TestOtherNamesAndMethodsAreRefused(t *testing.T) {
	r, _ := filled()
	if w := get(t, r, "/status.json", "rebound.example:9470"); w.Code != http.StatusMisdirectedRequest || strings.Contains(w.Body.String(), "postgres") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	w := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/status.json", nil)
	request.Host = "localhost"
	handler(r).ServeHTTP(w, request)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d for a POST", w.Code)
	}
}

func TestServeAnswersUntilClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := filled()
	s := Serve(l, r)
	answer, err := http.Get(s.URL() + "healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "ok\n" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	s.Close()
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it listens after Close")
	}
}
