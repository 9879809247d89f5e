package netconn_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/mendlink/mendlink/netconn"
)

// An HTTP server and a client need nothing but the listener and the dialer. For HTTP/2
// both set Protocols to unencrypted HTTP/2, as TLS is not what encrypts it.
func ExampleListener_http() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", &netconn.Config{Identity: bob, Validator: only(alice)})
	if err != nil {
		log.Fatal(err)
	}
	var http2 http.Protocols
	http2.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Protocols: &http2,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello over %s", r.Proto)
		}),
	}
	go server.Serve(listener)
	defer server.Close()

	dialer := &netconn.Dialer{Config: &netconn.Config{Identity: alice, Validator: only(bob)}}
	client := &http.Client{Transport: &http.Transport{Protocols: &http2, DialContext: dialer.DialContext}}
	defer client.CloseIdleConnections()
	// The scheme is http: https would ask for TLS within.
	resp, err := client.Get("http://" + listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s, %v\n", body, err)
	// Output:
	// hello over HTTP/2.0, <nil>
}
