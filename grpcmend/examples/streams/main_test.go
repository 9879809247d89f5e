package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/grpcmend"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// testContext bounds what a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestRun runs the whole program.
func TestRun(t *testing.T) {
	if err := run(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// liar answers something else.
type liar struct{}

func (liar) whoAmI(context.Context) (*text, error) { return wrapperspb.String("liar"), nil }
func (liar) echo(stream *echoServer) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		if err := stream.Send(wrapperspb.Bytes([]byte("something else"))); err != nil {
			return err
		}
	}
}

// TestVerdictsCanFail shows that the program would notice a server that gets things wrong.
func TestVerdictsCanFail(t *testing.T) {
	ends, err := newEnds()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(grpcmend.NewCredentials(ends.server)))
	server.RegisterService(&description, liar{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	ends.client.Store = nil
	wire, ctx := new(wire), testContext(t)
	cc, err := grpc.NewClient("passthrough:///"+listener.Addr().String(),
		grpc.WithTransportCredentials(grpcmend.NewCredentials(ends.client)),
		grpc.WithContextDialer(wire.dial))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := showPeer(ctx, cc); err == nil {
		t.Error("a wrong name was taken")
	}
	info, _, err := call(ctx, cc)
	if err != nil {
		t.Fatal(err)
	}
	if err := showStreams(ctx, cc, info); err == nil {
		t.Error("wrong messages were taken")
	}
	if err := showCut(ctx, cc, wire, info); err == nil {
		t.Error("there is no Store, and a session was resumed")
	}
	if err := showStranger(ctx, ends.client, listener.Addr().String()); err == nil {
		t.Error("the client was taken for a stranger")
	}
}
