package main

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
)

// pastEpochs is the number of epochs that a state keeps beside its own, to read
// messages that a commit has overtaken.
const pastEpochs = 3

// A state is a member's view of one epoch. A commit, made or handled, leaves it as
// it is and leads to another state with an id of its own.
type state struct {
	id         uint32
	client     *client
	group      *mls.Group
	wireFormat mls.WireFormat          // of proposals and commits
	proposals  map[string]mls.Proposal // received ones, by their message
	pending    *mls.PendingCommit      // the member's own, nil if there is none
	successor  *mls.KeyPackageBundle   // set where the group was closed by a ReInit
	previous   *state                  // of the epoch before, nil if it is forgotten
}

func (*state) kind() string { return "state" }

func (st *state) erase() {
	st.group.Erase()
	st.setPending(nil)
	if st.successor != nil {
		st.successor.Erase()
	}
}

// setPending puts a commit in the place of one that will not be used.
func (st *state) setPending(p *mls.PendingCommit) {
	if st.pending != nil {
		st.pending.Erase()
	}
	st.pending = p
}

// wireFormat returns the format of handshake messages in a group.
func wireFormat(encrypt bool) mls.WireFormat {
	if encrypt {
		return mls.WireFormatPrivateMessage
	}
	return mls.WireFormatPublicMessage
}

// addState gives a new state its id.
func (s *server) addState(st *state) *state {
	st.proposals = make(map[string]mls.Proposal)
	st.id = s.ids.add(st)
	return st
}

// follow returns the state to which g leads from st, and forgets what is too long
// past.
func (s *server) follow(st *state, g *mls.Group) *state {
	st.setPending(nil)
	next := s.addState(&state{client: st.client, group: g, wireFormat: st.wireFormat, previous: st})
	last := next
	for range pastEpochs {
		if last = last.previous; last.previous == nil {
			return next
		}
	}
	s.ids.remove(last.previous.id)
	last.previous = nil
	return next
}

// Free forgets a state and what led to it: of each actor, the runner frees the
// last one only.
func (s *server) Free(_ context.Context, r *pb.FreeRequest) (*pb.FreeResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	for ; st != nil; st = st.previous {
		s.ids.remove(st.id)
	}
	return new(pb.FreeResponse), nil
}

func (s *server) GroupInfo(_ context.Context, r *pb.GroupInfoRequest) (*pb.GroupInfoResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	message, err := st.group.GroupInfo(mls.GroupInfoOptions{WithoutTree: r.GetExternalTree()})
	if err != nil {
		return nil, err
	}
	response := &pb.GroupInfoResponse{GroupInfo: message}
	if r.GetExternalTree() {
		response.RatchetTree = st.group.RatchetTree()
	}
	return response, nil
}

func (s *server) StateAuth(_ context.Context, r *pb.StateAuthRequest) (*pb.StateAuthResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	return &pb.StateAuthResponse{StateAuthSecret: st.group.EpochAuthenticator()}, nil
}

func (s *server) Export(_ context.Context, r *pb.ExportRequest) (*pb.ExportResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	secret, err := st.group.Export(r.GetLabel(), r.GetContext(), int(r.GetKeyLength()))
	if err != nil {
		return nil, err
	}
	return &pb.ExportResponse{ExportedSecret: secret}, nil
}

func (s *server) Protect(_ context.Context, r *pb.ProtectRequest) (*pb.ProtectResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	message, err := st.group.Protect(r.GetPlaintext(), r.GetAuthenticatedData())
	if err != nil {
		return nil, err
	}
	return &pb.ProtectResponse{Ciphertext: message}, nil
}

func (s *server) Unprotect(_ context.Context, r *pb.UnprotectRequest) (*pb.UnprotectResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	header, err := expect(mls.ContentApplication, r.GetCiphertext())
	if err != nil {
		return nil, err
	}
	received, err := st.at(header).group.Process(r.GetCiphertext())
	if err != nil {
		return nil, err
	}
	message := received.(*mls.ReceivedApplication)
	return &pb.UnprotectResponse{AuthenticatedData: message.AuthenticatedData, Plaintext: message.Data}, nil
}

// at returns the state that a message is for, if it is remembered, and st itself
// otherwise, which says what is wrong.
func (st *state) at(h mls.Header) *state {
	for past := st; past != nil; past = past.previous {
		if past.group.Epoch() == h.Epoch && bytes.Equal(past.group.GroupID(), h.GroupID) {
			return past
		}
	}
	return st
}

// expect reads a message's header and checks what it says of the content, so that
// what is taken for something else does not use up keys.
func expect(want mls.ContentType, message []byte) (mls.Header, error) {
	header, err := mls.ParseHeader(message)
	if err == nil && header.ContentType != want {
		err = fmt.Errorf("the message holds content of type %v, not %v", header.ContentType, want)
	}
	return header, err
}

// StorePSK takes the id of a state or of a transaction.
func (s *server) StorePSK(_ context.Context, r *pb.StorePSKRequest) (*pb.StorePSKResponse, error) {
	var c *client
	switch e := s.ids.entries[r.GetStateOrTransactionId()].(type) {
	case *state:
		c = e.client
	case *transaction:
		c = e.client
	default:
		return nil, status.Errorf(codes.NotFound, "there is no state or transaction with the id %d", r.GetStateOrTransactionId())
	}
	return new(pb.StorePSKResponse), c.storePSK(r.GetPskId(), r.GetPskSecret())
}
