package netconn_test

import (
	"fmt"
	"io"
	"log"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

// Many small writes share records and system calls. Where it matters, Flush says that
// no more comes for now.
func ExampleConn_Flush() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", &netconn.Config{Identity: bob, Validator: only(alice)})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	lines := make(chan string)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		lines <- fmt.Sprintf("%s%v", text, err)
	}()

	conn, err := netconn.Dial("tcp", listener.Addr().String(), &netconn.Config{
		Identity:      alice,
		Validator:     only(bob),
		CoalesceDelay: 5 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 3 {
		fmt.Fprintf(conn, "line %d\n", i) // returns at once
	}
	if err := conn.Flush(); err != nil { // now they are with the transport
		log.Fatal(err)
	}
	fmt.Fprintln(conn, "the end")
	if err := conn.Close(); err != nil { // sends what is kept back
		log.Fatal(err)
	}
	fmt.Println(<-lines)
	// Output:
	// line 0
	// line 1
	// line 2
	// the end
	// <nil>
}
