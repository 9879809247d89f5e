package grpcmend

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// interopCases are those of gRPC's interoperability tests that are about the transport
// and not about some way to log in. If one fails, it ends the test binary: they are
// made for a program.
//
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
var interopCases = []struct {
	name string
	run  func(context.Context, *grpc.ClientConn)
}{
	{"empty_unary", onService(interop.DoEmptyUnaryCall)},
	{"large_unary", onService(interop.DoLargeUnaryCall)},
	{"client_streaming", onService(interop.DoClientStreaming)},
	{"server_streaming", onService(interop.DoServerStreaming)},
	{"ping_pong", onService(interop.DoPingPong)},
	{"empty_stream", onService(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", onService(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", onService(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", onService(interop.DoCancelAfterFirstResponse)},
	{"custom_metadata", onService(interop.DoCustomMetadata)},
	{"status_code_and_message", onService(interop.DoStatusCodeAndMessage)},
	{"special_status_message", onService(interop.DoSpecialStatusMessage)},
	{"unimplemented_method", interop.DoUnimplementedMethod},
	{"unimplemented_service", func(ctx context.Context, cc *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
	}},
}

func onService(run func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn) {
	return func(ctx context.Context, cc *grpc.ClientConn) { run(ctx, testgrpc.NewTestServiceClient(cc)) }
}

func TestInterop(t *testing.T) {
	cc, _ := newPair(t)
	ctx := testContext(t)
	for _, c := range interopCases {
		t.Run(c.name, func(t *testing.T) { c.run(ctx, cc) })
	}
}

// All cases at once on one connection, whose client keeps putting in fresh keys.
func TestInteropWhileKeysChange(t *testing.T) {
	cc, _ := newPair(t)
	ctx := testContext(t)
	info := authInfo(t, ctx, cc)
	stop := keepUpdating(t, info)
	t.Run("all", func(t *testing.T) {
		for range 3 {
			for _, c := range interopCases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(ctx, cc)
				})
			}
		}
	})
	updates := stop()
	if got := info.ConnectionState().Epoch; updates == 0 || got != 1+updates {
		t.Errorf("epoch %d after %d updates", got, updates)
	}
	if after := authInfo(t, ctx, cc); after.conn != info.conn {
		t.Error("the calls went over several connections")
	}
}

// keepUpdating updates the connection's keys until stop is called, and at least once. stop
// returns the number of updates.
func keepUpdating(t testing.TB, info *AuthInfo) (stop func() uint64) {
	stopped, done := make(chan struct{}), make(chan uint64, 1)
	ctx := testContext(t)
	go func() {
		var n uint64
		defer func() { done <- n }()
		for {
			if err := info.Update(ctx); err != nil {
				t.Errorf("update %d: %v", n, err)
				return
			}
			n++
			select {
			case <-stopped:
				return
			default:
			}
		}
	}()
	return func() uint64 {
		close(stopped)
		return <-done
	}
}
