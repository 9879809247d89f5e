package grpcmend

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// An inspector is a service that keeps what the server knows of its peer.
type inspector struct {
	testgrpc.UnimplementedTestServiceServer
	seen chan *AuthInfo
}

func (i *inspector) EmptyCall(ctx context.Context, _ *testgrpc.Empty) (*testgrpc.Empty, error) {
	info, ok := FromContext(ctx)
	if !ok {
		return nil, errors.New("no AuthInfo in the context")
	}
	i.seen <- info
	return &testgrpc.Empty{}, nil
}

func TestBothEndsKnowTheirPeer(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	service := &inspector{seen: make(chan *AuthInfo, 2)}
	cc, _ := dial(t, clientConfig, serve(t, serverConfig, service))
	ctx := testContext(t)

	client := authInfo(t, ctx, cc)
	server := <-service.seen
	for name, c := range map[string]struct {
		info *AuthInfo
		peer string
	}{"client": {client, "server"}, "server": {server, "client"}} {
		state := c.info.ConnectionState()
		if got := string(state.Peer.Credential.Identity); got != c.peer {
			t.Errorf("%s: peer %q, want %q", name, got, c.peer)
		}
		if err := credentials.CheckSecurityLevel(c.info, credentials.PrivacyAndIntegrity); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.info.SecurityLevel != credentials.PrivacyAndIntegrity || c.info.AuthType() != "mendlink" || state.Epoch != 1 {
			t.Errorf("%s: level %v, type %q, epoch %d", name, c.info.SecurityLevel, c.info.AuthType(), state.Epoch)
		}
		if v, ok := c.info.GetSecurityValue().(*credentials.OtherChannelzSecurityValue); !ok || !strings.Contains(v.Name, state.Suite.String()) {
			t.Errorf("%s: channelz value %v does not name the suite", name, v)
		}
	}
	if client.ConnectionState().SessionID != server.ConnectionState().SessionID {
		t.Error("the ends are in different sessions")
	}

	// Both ends follow the epoch, and export the same.
	if err := errors.Join(client.Update(ctx), server.Update(ctx)); err != nil {
		t.Fatal(err)
	}
	authInfo(t, ctx, cc) // so that both have seen all that was sent before
	a, errA := client.ExportKeyingMaterial("EXPERIMENTAL-grpcmend-test", nil, 32)
	b, errB := server.ExportKeyingMaterial("EXPERIMENTAL-grpcmend-test", nil, 32)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("exported %x, %v and %x, %v", a, errA, b, errB)
	}
	if c, s := client.ConnectionState().Epoch, server.ConnectionState().Epoch; c != 3 || s != 3 {
		t.Errorf("epochs %d and %d after two updates, want 3", c, s)
	}
}

func TestFromContextOfAnotherCall(t *testing.T) {
	if info, ok := FromContext(t.Context()); ok {
		t.Errorf("got %v from an empty context", info)
	}
}

// Credentials that must not be sent in the clear are sent over Mendlink.
func TestPerRPCCredentialsAreSecureEnough(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	cc, _ := dial(t, clientConfig, serve(t, serverConfig, interop.NewTestServer()), grpc.WithPerRPCCredentials(token{}))
	authInfo(t, testContext(t), cc)
}

type token struct{}

func (token) RequireTransportSecurity() bool { return true }
func (token) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, ok := credentials.RequestInfoFromContext(ctx)
	if !ok {
		return nil, errors.New("no RequestInfo")
	}
	return map[string]string{"authorization": "token"}, credentials.CheckSecurityLevel(info.AuthInfo, credentials.PrivacyAndIntegrity)
}

func TestWrongPeerIsUnavailableWithReason(t *testing.T) {
	stranger := newIdentity(t, "stranger")
	for name, c := range map[string]struct {
		adapt  func(client, server *netconn.Config)
		reason string
	}{
		"the client refuses the server": {
			func(client, server *netconn.Config) { client.Validator = pin(t, stranger) },
			identity.ErrUnknownPeer.Error(),
		},
		"the server refuses the client": {
			func(client, server *netconn.Config) { server.Validator = pin(t, stranger) },
			"the peer ended the handshake",
		},
		"the client has no identity": {
			func(client, server *netconn.Config) { *client = netconn.Config{} },
			"needs an Identity",
		},
	} {
		t.Run(name, func(t *testing.T) {
			clientConfig, serverConfig := newConfigs(t)
			c.adapt(clientConfig, serverConfig)
			cc, _ := dial(t, clientConfig, serve(t, serverConfig, interop.NewTestServer()))
			_, err := testgrpc.NewTestServiceClient(cc).EmptyCall(testContext(t), &testgrpc.Empty{})
			if got := status.Convert(err); got.Code() != codes.Unavailable || !strings.Contains(got.Message(), c.reason) {
				t.Errorf("got %v, want Unavailable because %q", err, c.reason)
			}
		})
	}
}

// A client that does not speak Mendlink gets nowhere.
func TestPlaintextClientIsRefused(t *testing.T) {
	_, serverConfig := newConfigs(t)
	addr := serve(t, serverConfig, interop.NewTestServer())
	cc, _ := dial(t, nil, addr, grpc.WithTransportCredentials(insecureCredentials))
	_, err := testgrpc.NewTestServiceClient(cc).EmptyCall(testContext(t), &testgrpc.Empty{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

// An authority that nobody has verified cannot be claimed for a single call.
func TestCallAuthorityIsRefused(t *testing.T) {
	cc, _ := newPair(t)
	ctx := testContext(t)
	authInfo(t, ctx, cc)
	_, err := testgrpc.NewTestServiceClient(cc).EmptyCall(ctx, &testgrpc.Empty{}, grpc.CallAuthority("other.example"))
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}
