package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

// upgradeName is what the connection can be upgraded to: each line comes back.
const upgradeName = "lines"

// hashTrailer carries the hash of a body behind it, when it is known.
const hashTrailer = "Content-Sha256"

// newServer returns a server of what this example shows. It speaks HTTP/1.1 and HTTP/2.
// Which of them a client wants shows in its first octets, as it does without TLS: net/http
// asks only a *tls.Conn for the protocol that was negotiated.
func newServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /peer", servePeer)
	mux.HandleFunc("POST /hash", serveHash)
	mux.HandleFunc("GET /data", serveData)
	mux.HandleFunc("POST /echo", serveEcho)
	mux.HandleFunc("GET /lines", serveLines)
	return &http.Server{
		Handler:           mux,
		Protocols:         protocols(1, 2),
		ConnContext:       withConn,
		ReadHeaderTimeout: 30 * time.Second, // bounds the handshake too, which is part of the first Read
	}
}

// protocols returns the set of these versions of HTTP, none of which relies on TLS.
func protocols(versions ...int) *http.Protocols {
	p := new(http.Protocols)
	for _, v := range versions {
		if v == 1 {
			p.SetHTTP1(true)
		} else {
			p.SetUnencryptedHTTP2(true) // TLS does not encrypt it; netconn does
		}
	}
	return p
}

type connKey struct{}

// withConn lets handlers find their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the secure channel that a request came over.
func connOf(r *http.Request) *netconn.Conn {
	return r.Context().Value(connKey{}).(*netconn.Conn)
}

// servePeer says who asks. The handshake has authenticated it: no cookie, no token.
func servePeer(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s", connOf(r).ConnectionState().Peer.Credential.Identity)
}

// serveHash answers with the hash of the request's body, as a body and as a trailer.
func serveHash(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	if _, err := io.Copy(h, r.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sum := hex.EncodeToString(h.Sum(nil))
	w.Header().Set("Trailer", hashTrailer)
	io.WriteString(w, sum)
	w.Header().Set(hashTrailer, sum)
}

// serveData sends as many octets as the query's n says, and updates its keys
// when half of them are out.
func serveData(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "n has to be a number", http.StatusBadRequest)
		return
	}
	h := sha256.New()
	body := io.MultiWriter(w, h)
	w.Header().Set("Trailer", hashTrailer)
	data := newData()
	if _, err := io.CopyN(body, data, n/2); err != nil {
		return // the client is gone
	}
	http.NewResponseController(w).Flush()
	if err := connOf(r).Update(r.Context()); err != nil {
		panic(http.ErrAbortHandler) // so that the client sees a body that is cut
	}
	if _, err := io.CopyN(body, data, n-n/2); err != nil {
		return
	}
	w.Header().Set(hashTrailer, hex.EncodeToString(h.Sum(nil)))
}

// serveEcho sends back each part of the request's body as it comes.
func serveEcho(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex() // for HTTP/1.1; HTTP/2 always is
	control.Flush()            // the client waits for the header before it sends
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// serveLines upgrades the connection: afterwards it carries lines, not HTTP.
func serveLines(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != upgradeName {
		w.Header().Set("Upgrade", upgradeName)
		http.Error(w, "only by upgrade", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 has no upgrade
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{}) // there may be one of the server's
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", upgradeName)
	for rw.Flush() == nil {
		line, err := rw.ReadSlice('\n')
		if err != nil {
			return
		}
		rw.Write(line)
	}
}
