package grpcmend

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// pingPong sends messages of size octets and receives one as large after each.
func pingPong(client testgrpc.TestServiceClient, ctx context.Context, messages, size int) error {
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for i := range messages {
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: int32(size)}},
			Payload:            interop.ClientNewPayload(testgrpc.PayloadType_COMPRESSABLE, size),
		}); err != nil {
			return err
		}
		got, err := stream.Recv()
		if err != nil {
			return err
		}
		if len(got.Payload.Body) != size {
			return fmt.Errorf("message %d: %d octets came back, want %d", i, len(got.Payload.Body), size)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if got, err := stream.Recv(); err == nil {
		return fmt.Errorf("%d octets too many", len(got.Payload.Body))
	}
	return nil
}

func TestMessageOfManyRecords(t *testing.T) {
	cc, _ := newPair(t)
	const size = 3 << 20 // gRPC takes at most 4 MiB unless it is told to
	got, err := testgrpc.NewTestServiceClient(cc).UnaryCall(testContext(t), &testgrpc.SimpleRequest{
		ResponseSize: size,
		Payload:      &testgrpc.Payload{Body: bytes.Repeat([]byte("request "), size/8)},
	})
	if err != nil || len(got.Payload.Body) != size {
		t.Errorf("got %d octets, %v", len(got.GetPayload().GetBody()), err)
	}
}

func TestTooLargeMessageFailsAloneOnItsConnection(t *testing.T) {
	cc, _ := newPair(t)
	ctx := testContext(t)
	before := authInfo(t, ctx, cc)
	_, err := testgrpc.NewTestServiceClient(cc).UnaryCall(ctx, &testgrpc.SimpleRequest{
		Payload: &testgrpc.Payload{Body: make([]byte, 5<<20)},
	})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", err)
	}
	if authInfo(t, ctx, cc).conn != before.conn {
		t.Error("the connection was replaced")
	}
}

// A deadline ends its call, and not the connection.
func TestDeadlineLeavesTheConnectionAlone(t *testing.T) {
	cc, _ := newPair(t)
	ctx := testContext(t)
	before := authInfo(t, ctx, cc)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	stream, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(short)
	if err == nil {
		_, err = stream.Recv() // nothing was asked for
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
	if authInfo(t, ctx, cc).conn != before.conn {
		t.Error("the connection was replaced")
	}
}

// GracefulStop lets calls end and sends the client elsewhere.
func TestGracefulStopLetsCallsEnd(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	server := grpc.NewServer(grpc.Creds(NewCredentials(serverConfig)))
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	listener := &watchedListener{Listener: listen(t), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Stop()

	cc, _ := dial(t, clientConfig, listener.Addr().String())
	ctx := testContext(t)
	info := authInfo(t, ctx, cc)
	stream, err := testgrpc.NewTestServiceClient(cc).StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		t.Helper()
		if err := stream.Send(&testgrpc.StreamingInputCallRequest{Payload: &testgrpc.Payload{Body: make([]byte, 1000)}}); err != nil {
			t.Fatal(err)
		}
	}
	send()
	authInfo(t, ctx, cc) // behind it, so that the server has the stream
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.GracefulStop()
	}()
	<-listener.closed
	send()
	if err := info.Update(ctx); err != nil {
		t.Error(err)
	}
	send()
	if sum, err := stream.CloseAndRecv(); err != nil || sum.AggregatedPayloadSize != 3000 {
		t.Errorf("got %v, %v; want 3000", sum, err)
	}
	<-stopped
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A watchedListener says when it is closed.
type watchedListener struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

func (l *watchedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
