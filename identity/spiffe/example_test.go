package spiffe_test

import (
	"context"
	"log"
	"time"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/identity/spiffe"
	"github.com/mendlink/mendlink/netconn"
)

// It needs an agent, such as SPIRE's, at SPIFFE_ENDPOINT_SOCKET.
func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	source, err := spiffe.Open(ctx, spiffe.Options{Report: func(err error) { log.Print(err) }})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	names, err := identity.SPIFFE("spiffe://example.org/ns/prod/**")
	if err != nil {
		log.Fatal(err)
	}
	peers, err := identity.NewX509Validator(identity.X509Options{RootsFor: source.RootsFor, Names: names})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := netconn.Dial("tcp", "db.example:7400", &netconn.Config{Identities: source, Validator: peers})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
}
