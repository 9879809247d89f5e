// Streams runs gRPC over Mendlink.
//
// A client asks who it is, and holds several streams on one connection, while both ends put
// fresh keys into it. Then the connection is cut: calls on it fail, gRPC dials again, and
// the session is resumed. At the end somebody whom the server does not know is
// refused.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mendlink/mendlink/grpcmend"
	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: calls and streams, rekeyed from both ends, cut, resumed, and a stranger refused")
}

func run(ctx context.Context) error {
	ends, err := newEnds()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.Creds(grpcmend.NewCredentials(ends.server)))
	server.RegisterService(&description, echo{})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = show(ctx, ends, listener.Addr().String())
	server.Stop()
	return errors.Join(err, <-served)
}

func show(ctx context.Context, ends *ends, addr string) error {
	wire := new(wire)
	cc, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(grpcmend.NewCredentials(ends.client)),
		grpc.WithContextDialer(wire.dial))
	if err != nil {
		return err
	}
	defer cc.Close()
	info, err := showPeer(ctx, cc)
	if err != nil {
		return err
	}
	if err := showStreams(ctx, cc, info); err != nil {
		return err
	}
	if err := showCut(ctx, cc, wire, info); err != nil {
		return err
	}
	return showStranger(ctx, ends.stranger, addr)
}

// showPeer makes the first call and returns what is known of its connection.
func showPeer(ctx context.Context, cc *grpc.ClientConn) (*grpcmend.AuthInfo, error) {
	info, name, err := call(ctx, cc)
	if err != nil {
		return nil, err
	}
	if name != "client" {
		return nil, fmt.Errorf("the server takes the client for %q", name)
	}
	log.Printf("the server knows who calls, %q, and the client who answers: %q", name, info.ConnectionState().Peer.Credential.Identity)
	return info, nil
}

// call asks for the own name, and also returns what is known of the connection.
func call(ctx context.Context, cc *grpc.ClientConn) (*grpcmend.AuthInfo, string, error) {
	var p peer.Peer
	name, err := whoAmI(ctx, cc, grpc.Peer(&p), grpc.WaitForReady(true))
	if err != nil {
		return nil, "", err
	}
	info, ok := p.AuthInfo.(*grpcmend.AuthInfo)
	if !ok {
		return nil, "", fmt.Errorf("the connection's AuthInfo is a %T", p.AuthInfo)
	}
	return info, name, nil
}

const (
	streams     = 8
	messages    = 64
	messageSize = 32 << 10
	ownUpdates  = 8
)

// showStreams holds several streams at once, while the client updates its keys and the
// server does too.
func showStreams(ctx context.Context, cc *grpc.ClientConn, info *grpcmend.AuthInfo) error {
	errs := make(chan error, streams+1)
	var all sync.WaitGroup
	for number := range streams {
		all.Go(func() { errs <- talk(ctx, cc, byte(number)) })
	}
	all.Go(func() {
		for range ownUpdates {
			if err := info.Update(ctx); err != nil {
				errs <- err
				return
			}
		}
		errs <- nil
	})
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	// The server waits for its updates before it ends a stream.
	want := uint64(1 + ownUpdates + 1)
	epoch := info.ConnectionState().Epoch
	if epoch < want {
		return fmt.Errorf("epoch %d, want %d at the least", epoch, want)
	}
	log.Printf("%d streams at once, %d MiB each way, epoch %d", streams, streams*messages*messageSize>>20, epoch)
	return nil
}

// talk sends messages on a stream of its own and sees that they come back.
func talk(ctx context.Context, cc *grpc.ClientConn, number byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream, whatever happens
	stream, err := openEcho(ctx, cc)
	if err != nil {
		return err
	}
	want := bytes.Repeat([]byte{number}, messageSize)
	for range messages {
		if err := stream.Send(wrapperspb.Bytes(want)); err != nil {
			return err
		}
		got, err := stream.Recv()
		if err != nil {
			return err
		}
		if !bytes.Equal(got.GetValue(), want) {
			return fmt.Errorf("stream %d: another message came back", number)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("stream %d: got %w at the end", number, err)
	}
	return nil
}

// showCut cuts the connection in the middle of a stream.
func showCut(ctx context.Context, cc *grpc.ClientConn, wire *wire, before *grpcmend.AuthInfo) error {
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := openEcho(streamCtx, cc)
	if err != nil {
		return err
	}
	if err := stream.Send(wrapperspb.Bytes([]byte("hello"))); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	wire.cut()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		return fmt.Errorf("the stream of a connection that was cut: got %w", err)
	}
	// A call that gRPC has begun on the old connection fails as well; it is up to the
	// application to make it again.
	info, _, err := call(ctx, cc)
	for status.Code(err) == codes.Unavailable && ctx.Err() == nil {
		info, _, err = call(ctx, cc)
	}
	if err != nil {
		return err
	}
	old, state := before.ConnectionState(), info.ConnectionState()
	if !state.Resumed || state.SessionID != old.SessionID || state.Epoch <= old.Epoch {
		return fmt.Errorf("resumed %v, epoch %d after %d", state.Resumed, state.Epoch, old.Epoch)
	}
	log.Printf("the connection was cut and the session resumed: epoch %d", state.Epoch)
	return nil
}

// showStranger calls as somebody whom the server does not know.
func showStranger(ctx context.Context, config *netconn.Config, addr string) error {
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(grpcmend.NewCredentials(config)))
	if err != nil {
		return err
	}
	defer cc.Close()
	_, err = whoAmI(ctx, cc)
	if status.Code(err) != codes.Unavailable {
		return fmt.Errorf("a stranger: got %w, want Unavailable", err)
	}
	log.Printf("a stranger is refused: %s", status.Convert(err).Message())
	return nil
}

// A wire is the network between the ends, which can be cut.
type wire struct {
	mu   sync.Mutex
	conn *net.TCPConn // the last one that was dialled
}

func (w *wire) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = conn.(*net.TCPConn)
	return conn, nil
}

// cut breaks the connection without a goodbye.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn.SetLinger(0)
	w.conn.Close()
}
