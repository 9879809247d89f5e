package grpcmend_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/mendlink/mendlink/grpcmend"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// A server and a client that know each other's keys. Handlers see who calls, and so does the client.
func ExampleNewCredentials() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	whoCalls := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if info, ok := grpcmend.FromContext(ctx); ok {
			fmt.Printf("bob: %s calls\n", info.ConnectionState().Peer.Credential.Identity)
		}
		return handler(ctx, request)
	}
	server := grpc.NewServer(
		grpc.Creds(grpcmend.NewCredentials(&netconn.Config{Identity: bob, Validator: only(alice)})),
		grpc.UnaryInterceptor(whoCalls),
	)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	defer server.Stop()

	conn, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(grpcmend.NewCredentials(&netconn.Config{Identity: alice, Validator: only(bob)})))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	var answered peer.Peer
	call := func() string {
		answer, err := grpc_health_v1.NewHealthClient(conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{}, grpc.Peer(&answered))
		if err != nil {
			log.Fatal(err)
		}
		return answer.Status.String()
	}
	fmt.Println("alice:", call())
	info := answered.AuthInfo.(*grpcmend.AuthInfo)
	if err := info.Update(context.Background()); err != nil { // also happens by itself from time to time
		log.Fatal(err)
	}
	fmt.Println("alice: epoch", info.ConnectionState().Epoch)
	fmt.Println("alice:", call())
	// Output:
	// bob: alice calls
	// alice: SERVING
	// alice: epoch 2
	// bob: alice calls
	// alice: SERVING
}

func newIdentity(name string) mls.Identity {
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		log.Fatal(err)
	}
	return id
}

// only returns a validator that accepts this peer and nobody else.
func only(peer mls.Identity) *identity.Pinned {
	pinned, err := identity.NewPinned(peer.Signer.Public())
	if err != nil {
		log.Fatal(err)
	}
	return pinned
}
