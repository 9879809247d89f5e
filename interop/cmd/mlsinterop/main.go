// Command mlsinterop lets the MLS working group's test runner, or whoever speaks
// its gRPC protocol, drive Mendlink in groups with other implementations.
//
//	mlsinterop [-addr HOST:PORT] [-padding N] [-grease=false]
//
// It prints the address that it listens at and serves until it is interrupted.
// Whoever can connect gets at all keys: that is what the protocol is for. So the
// address is a loopback one unless another is asked for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"

	"github.com/mendlink/mendlink/interop/internal/mlsclient"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// maxMessage bounds what a request can make the server allocate: a tree of a
// thousand members in the largest cipher suite has some ten million octets.
const maxMessage = 32 << 20

// run serves until ctx is done and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mlsinterop", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:50051", "`address` to listen at")
	var o options
	flags.UintVar(&o.padding, "padding", 0, "pad the plaintexts of PrivateMessages to multiples of `N` octets")
	flags.BoolVar(&o.grease, "grease", true, "put values that mean nothing into leaves (RFC 9420, Section 13.5)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "mlsinterop: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		fmt.Fprintf(stderr, "mlsinterop: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "listening at %v\n", listener.Addr())
	server := newGRPCServer(newServer(o))
	stopped := context.AfterFunc(ctx, server.GracefulStop)
	defer stopped()
	if err := server.Serve(listener); err != nil {
		fmt.Fprintf(stderr, "mlsinterop: %v\n", err)
		return 1
	}
	return 0
}

func newGRPCServer(s *server) *grpc.Server {
	g := grpc.NewServer(grpc.UnaryInterceptor(s.intercept), grpc.MaxRecvMsgSize(maxMessage))
	mlsclient.RegisterMLSClientServer(g, s)
	return g
}
