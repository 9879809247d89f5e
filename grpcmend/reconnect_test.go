package grpcmend

import (
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

func TestCutConnectionIsResumed(t *testing.T) {
	cc, wires := newPair(t)
	ctx := testContext(t)
	first := authInfo(t, ctx, cc).ConnectionState()
	epoch := first.Epoch
	for i := range 5 {
		wires.cut()
		info := awaitOther(t, cc, first.SessionID, epoch)
		if err := info.Update(ctx); err != nil {
			t.Fatalf("after cut %d: %v", i, err)
		}
		epoch = info.ConnectionState().Epoch
	}
}

// awaitOther makes calls until one goes over a resumed connection, whose epoch is a
// later one. Calls on the connection that was cut may fail.
func awaitOther(t *testing.T, cc *grpc.ClientConn, session channel.SessionID, after uint64) *AuthInfo {
	t.Helper()
	ctx := testContext(t)
	client := testgrpc.NewTestServiceClient(cc)
	for ctx.Err() == nil {
		if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}, grpc.WaitForReady(true)); err != nil {
			if status.Code(err) != codes.Unavailable {
				t.Fatal(err)
			}
			continue
		}
		info := authInfo(t, ctx, cc)
		state := info.ConnectionState()
		if !state.Resumed || state.SessionID != session || state.Epoch <= after {
			t.Fatalf("resumed %v, epoch %d after %d, the same session: %v", state.Resumed, state.Epoch, after, state.SessionID == session)
		}
		return info
	}
	t.Fatal(ctx.Err())
	return nil
}

// What a cut does to a stream is told to it, and the channel goes on.
func TestStreamOfACutConnectionFails(t *testing.T) {
	cc, wires := newPair(t)
	ctx := testContext(t)
	before := authInfo(t, ctx, cc).ConnectionState()
	stream, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&testgrpc.StreamingOutputCallRequest{
		ResponseParameters: []*testgrpc.ResponseParameters{{Size: 10}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	wires.cut()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	awaitOther(t, cc, before.SessionID, before.Epoch)
}

// Two channels with the same credentials have a connection each. Neither may resume the
// session of the other while that is in use, as this would end it.
func TestConnectionsOfOneCredentialsDoNotEndEachOther(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	addr := serve(t, serverConfig, interop.NewTestServer())
	creds := grpc.WithTransportCredentials(NewCredentials(clientConfig))
	one, wiresOfOne := dial(t, clientConfig, addr, creds)
	other, wiresOfOther := dial(t, clientConfig, addr, creds)
	ctx := testContext(t)
	a, b := authInfo(t, ctx, one), authInfo(t, ctx, other)
	if a.ConnectionState().SessionID == b.ConnectionState().SessionID {
		t.Error("both are in one session")
	}
	for range 3 {
		for _, info := range []*AuthInfo{a, b} {
			if err := info.Update(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a.conn != authInfo(t, ctx, one).conn || b.conn != authInfo(t, ctx, other).conn {
		t.Error("a connection was replaced")
	}
	// Both are resumed, each its own.
	wiresOfOne.cut()
	awaitOther(t, one, a.ConnectionState().SessionID, a.ConnectionState().Epoch)
	wiresOfOther.cut()
	awaitOther(t, other, b.ConnectionState().SessionID, b.ConnectionState().Epoch)
}

// The policy of either end puts fresh keys in while messages flow, and neither notices.
func TestPolicyUnderLoad(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	clientConfig.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: 64 << 10}
	serverConfig.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: 64 << 10}
	cc, _ := dial(t, clientConfig, serve(t, serverConfig, interop.NewTestServer()))
	ctx := testContext(t)
	info := authInfo(t, ctx, cc)
	client := testgrpc.NewTestServiceClient(cc)
	for info.ConnectionState().Epoch < 4 && !t.Failed() {
		const streams, messages, size = 8, 8, 32 << 10
		done := make(chan error, streams)
		for range streams {
			go func() { done <- pingPong(client, ctx, messages, size) }()
		}
		for range streams {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}
