package quicmls_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Each stream of a connection is a net.Conn, and the connection is their net.Listener. So net/http
// speaks HTTP/1.1 over as many streams as there are requests at a time, none of which
// waits for another's lost packets, and all of which change their keys at once.
func ExampleConn_Listener() {
	ctx := context.Background()
	alice, bob := pair()
	defer alice.CloseWithError(0, "")

	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "you asked for %s", r.URL.Path)
	})}
	go server.Serve(bob.Listener())
	defer server.Close()

	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			stream, err := alice.OpenStreamSync(ctx)
			if err != nil {
				return nil, err
			}
			return stream.NetConn(), nil
		},
	}}
	defer client.CloseIdleConnections()
	get := func(path string) string {
		// The host does not matter, the connection is there already. The scheme is http:
		// https would ask for TLS within.
		resp, err := client.Get("http://bob" + path)
		if err != nil {
			log.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		return string(body)
	}

	answers := make([]string, 4)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = get(fmt.Sprintf("/%d", i)) })
	}
	wg.Go(func() {
		if err := alice.Update(ctx); err != nil {
			log.Fatal(err)
		}
	})
	wg.Wait()
	for _, a := range answers {
		fmt.Println(a)
	}
	// Output:
	// you asked for /0
	// you asked for /1
	// you asked for /2
	// you asked for /3
}

// Code that wants a net.Conn gets one. CloseWrite ends one direction, Close both.
func ExampleStream_NetConn() {
	ctx := context.Background()
	alice, bob := pair()
	defer alice.CloseWithError(0, "")
	listener := bob.Listener()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()

	stream, err := alice.OpenStreamSync(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var conn net.Conn = stream.NetConn()
	defer conn.Close()
	io.WriteString(conn, "hello")
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s, %v\n", answer, err)
	// Output:
	// hello, <nil>
}
