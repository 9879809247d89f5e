// Package grpcmend lets gRPC run over Mendlink: it gives the transport credentials
// that [google.golang.org/grpc] takes in place of those of TLS.
//
//	config := &netconn.Config{Identity: self, Validator: peers}
//
//	server := grpc.NewServer(grpc.Creds(grpcmend.NewCredentials(config)))
//	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(grpcmend.NewCredentials(config)))
//
// Both ends are authenticated by the Validator of the other. A handler finds its peer
// with [FromContext]. Keys of a connection are renewed as Config.Rekey asks, and calls
// on it do not notice. If there is a Config.Store, a connection that was cut is
// replaced by one that resumes its session.
//
// A peer that is refused makes calls fail with codes.Unavailable and the reason. gRPC
// tries again, with its usual backoff, as the peer may be another one by then.
//
// The name of the server, gRPC's authority, is not verified: who may be
// the peer is the Validator's decision alone. So grpc.CallAuthority is refused.
package grpcmend
