package main

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/mendlink/mendlink/grpcmend"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The service, as protoc would write it down from
//
//	service Echo {
//	  rpc WhoAmI(google.protobuf.Empty) returns (google.protobuf.StringValue);
//	  rpc Echo(stream google.protobuf.BytesValue) returns (stream google.protobuf.BytesValue);
//	}
const (
	serviceName  = "mendlink.examples.Echo"
	whoAmIMethod = "/" + serviceName + "/WhoAmI"
	echoMethod   = "/" + serviceName + "/Echo"
)

type (
	text       = wrapperspb.StringValue
	message    = wrapperspb.BytesValue
	echoServer = grpc.GenericServerStream[message, message]
	echoClient = grpc.GenericClientStream[message, message]
)

// service is what the server implements.
type service interface {
	whoAmI(ctx context.Context) (*text, error)
	echo(stream *echoServer) error
}

var description = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*service)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "WhoAmI",
		Handler: func(s any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(new(emptypb.Empty)); err != nil {
				return nil, err
			}
			return s.(service).whoAmI(ctx)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Echo",
		ClientStreams: true,
		ServerStreams: true,
		Handler: func(s any, stream grpc.ServerStream) error {
			return s.(service).echo(&echoServer{ServerStream: stream})
		},
	}},
}

// whoAmI asks the server whom it takes the client for.
func whoAmI(ctx context.Context, cc *grpc.ClientConn, opts ...grpc.CallOption) (string, error) {
	name := new(text)
	err := cc.Invoke(ctx, whoAmIMethod, new(emptypb.Empty), name, opts...)
	return name.GetValue(), err
}

// openEcho opens a stream on which each message comes back.
func openEcho(ctx context.Context, cc *grpc.ClientConn) (*echoClient, error) {
	stream, err := cc.NewStream(ctx, &description.Streams[0], echoMethod)
	return &echoClient{ClientStream: stream}, err
}

// An echo is the service.
type echo struct{}

// whoAmI says who asks. The handshake has authenticated it: no token is needed.
func (echo) whoAmI(ctx context.Context) (*text, error) {
	info, ok := grpcmend.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "not over Mendlink")
	}
	return wrapperspb.String(string(info.ConnectionState().Peer.Credential.Identity)), nil
}

// updateEach is the number of messages after which the server updates its keys.
const updateEach = 32

// echo sends back what it receives.
func (echo) echo(stream *echoServer) error {
	info, ok := grpcmend.FromContext(stream.Context())
	if !ok {
		return status.Error(codes.Unauthenticated, "not over Mendlink")
	}
	var updates sync.WaitGroup
	defer updates.Wait()
	for n := 1; ; n++ {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n%updateEach == 0 {
			// If this fails, the connection is gone, and the stream with it.
			updates.Go(func() { info.Update(stream.Context()) })
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}
