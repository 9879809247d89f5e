// Package mlsclient is the gRPC protocol by which the MLS working group's test
// runner drives an implementation of MLS. It is generated from mls_client.proto,
// and committed, so that nothing but Go is needed to build what uses it. To
// generate it again, with protoc and the two plugins for Go in the PATH:
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//	go generate ./internal/mlsclient
//
// The server's interface asks for all methods: without one, a server does not
// compile.
package mlsclient

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative,require_unimplemented_servers=false mls_client.proto
