package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A server plays any number of clients. The methods for the RPCs return errors of
// package mls as they are; intercept makes gRPC's of them.
type server struct {
	options
	suites *ciphersuite.Registry

	mu  sync.Mutex // held throughout each RPC
	ids idSpace
}

var _ pb.MLSClientServer = (*server)(nil)

type options struct {
	padding uint // pads plaintexts to multiples of it, 0 for none
	grease  bool
}

func newServer(o options) *server {
	return &server{options: o, suites: ciphersuite.Default(), ids: idSpace{entries: make(map[uint32]entry)}}
}

// intercept runs one RPC at a time, since a Group is not for several goroutines
// at once.
func (s *server) intercept(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	response, err := handle(ctx, request)
	if err != nil {
		return nil, statusOf(err)
	}
	return response, nil
}

// outOfTurn are the errors about what is asked for at the wrong time.
var outOfTurn = []error{
	mls.ErrErased, mls.ErrInactive, mls.ErrNotClosed, mls.ErrPendingProposals, mls.ErrTooManyProposals,
}

// statusOf returns a gRPC status with the text of err.
func statusOf(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, e := range outOfTurn {
		if errors.Is(err, e) {
			return status.Error(codes.FailedPrecondition, err.Error())
		}
	}
	return status.Error(codes.InvalidArgument, err.Error())
}

func (s *server) Name(context.Context, *pb.NameRequest) (*pb.NameResponse, error) {
	return &pb.NameResponse{Name: "Mendlink"}, nil
}

func (s *server) SupportedCiphersuites(context.Context, *pb.SupportedCiphersuitesRequest) (*pb.SupportedCiphersuitesResponse, error) {
	r := new(pb.SupportedCiphersuitesResponse)
	for _, id := range s.suites.IDs() {
		r.Ciphersuites = append(r.Ciphersuites, uint32(id))
	}
	return r, nil
}

// lookup returns the cipher suite with a code point.
func (s *server) lookup(id uint32) (*ciphersuite.Suite, error) {
	point, err := codePoint[ciphersuite.ID](id)
	if err != nil {
		return nil, err
	}
	return s.suites.Lookup(point)
}

// codePoint returns a code point, which the protocol has in a wider integer.
func codePoint[T ~uint16](n uint32) (T, error) {
	if n > 0xFFFF {
		return 0, fmt.Errorf("%#x is not a code point: it has more than two octets", n)
	}
	return T(n), nil
}

// extensions returns extensions that a request describes.
func extensions(described []*pb.Extension) (mls.Extensions, error) {
	var list mls.Extensions
	for _, x := range described {
		t, err := codePoint[mls.ExtensionType](x.GetExtensionType())
		if err != nil {
			return nil, err
		}
		list = append(list, mls.Extension{Type: t, Data: x.GetExtensionData()})
	}
	return list, nil
}
