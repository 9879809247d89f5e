// Package admin serves what people and programs want to know about a running tunnel: a status page, the same as JSON,
// metrics, and health. All that can be done there is to have keys replaced before their time.
package admin

import (
	"context"
	"embed"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

//go:embed page.html
var page embed.FS

// A Server answers on a listener, from [Serve] to [Server.Close].
type Server struct {
	http     *http.Server
	listener net.Listener
	done     chan struct{}
}

// Serve begins to answer.
func Serve(l net.Listener, registry *links.Registry) *Server {
	s := &Server{listener: l, done: make(chan struct{})}
	s.http = &http.Server{Handler: handler(registry), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		defer close(s.done)
		s.http.Serve(l) // ends with Close
	}()
	return s
}

// URL returns where the page is.
func (s *Server) URL() string {
	if s.listener.Addr().Network() == "unix" {
		return "unix:" + s.listener.Addr().String()
	}
	return "http://" + s.listener.Addr().String() + "/"
}

// Close lets answers end that are under way, for a moment.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}

func handler(registry *links.Registry) http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{registry}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:")
		http.ServeFileFS(w, r, page, "page.html")
	})
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		json.NewEncoder(w).Encode(registry.Snapshot()) // its error is the reader's, who is gone
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if problems := registry.Snapshot().Problems(); len(problems) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, strings.Join(problems, "\n")+"\n")
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.Handle("POST /rekey", &rekeyer{registry: registry})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	// A page from elsewhere in a browser here has no business to post anything.
	return localNames(http.NewCrossOriginProtection().Handler(mux))
}

// localNames refuses requests for names other than that of this machine: else a page in a browser here could read all
// by having its own name stand for the loopback address.
func localNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
			http.Error(w, "this is not a name of the admin listener", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
