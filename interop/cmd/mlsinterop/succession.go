package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
)

// found makes the group that continues another, by Group.Branch or
// Group.ReInitialize.
func (c *client) found(by func(mls.SuccessorOptions) (*mls.PendingCommit, error), o mls.SuccessorOptions, keyPackages [][]byte) (*mls.PendingCommit, error) {
	for i, message := range keyPackages {
		k, err := c.parseKeyPackage(message)
		if err != nil {
			return nil, fmt.Errorf("key package %d: %w", i, err)
		}
		o.KeyPackages = append(o.KeyPackages, k)
	}
	return by(o)
}

func founded(st *state, p *mls.PendingCommit, externalTree bool) *pb.CreateSubgroupResponse {
	return &pb.CreateSubgroupResponse{
		StateId: st.id, Welcome: p.Welcome(), RatchetTree: treeApart(p, externalTree),
		EpochAuthenticator: st.group.EpochAuthenticator(),
	}
}

// CreateBranch leaves the state of the group that branches. The commit always has
// a path.
func (s *server) CreateBranch(_ context.Context, r *pb.CreateBranchRequest) (*pb.CreateSubgroupResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	list, err := extensions(r.GetExtensions())
	if err != nil {
		return nil, err
	}
	o := mls.SuccessorOptions{GroupID: given(r.GetGroupId()), Extensions: list, WithoutTree: r.GetExternalTree()}
	pending, err := st.client.found(st.group.Branch, o, r.GetKeyPackages())
	if err != nil {
		return nil, err
	}
	branch := s.addState(&state{client: st.client, group: pending.Group(), wireFormat: st.wireFormat})
	return founded(branch, pending, r.GetExternalTree()), nil
}

// HandleBranch ends a transaction, if it succeeds, and leaves the state of the group
// that branches.
func (s *server) HandleBranch(_ context.Context, r *pb.HandleBranchRequest) (*pb.HandleBranchResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	t, err := find[*transaction](&s.ids, r.GetTransactionId())
	if err != nil {
		return nil, err
	}
	group, err := mls.Join(st.client.cfg, r.GetWelcome(), t.keyPackage, mls.JoinOptions{
		RatchetTree: r.GetRatchetTree(), Previous: st.group,
	})
	if err != nil {
		return nil, err
	}
	s.ids.remove(r.GetTransactionId())
	branch := s.addState(&state{client: st.client, group: group, wireFormat: st.wireFormat})
	return &pb.HandleBranchResponse{StateId: branch.id, EpochAuthenticator: group.EpochAuthenticator()}, nil
}

// ReInitCommit is Commit for a commit that closes the group.
func (s *server) ReInitCommit(_ context.Context, r *pb.CommitRequest) (*pb.CommitResponse, error) {
	st, err := s.commit(r)
	if err != nil {
		return nil, err
	}
	if st.pending.Group().ReInit() == nil {
		st.setPending(nil)
		return nil, status.Error(codes.InvalidArgument, "the commit has no ReInit proposal")
	}
	return committed(st.pending, r.GetExternalTree()), nil
}

func (s *server) HandlePendingReInitCommit(_ context.Context, r *pb.HandlePendingCommitRequest) (*pb.HandleReInitCommitResponse, error) {
	closed, err := s.mergePending(r.GetStateId())
	if err != nil {
		return nil, err
	}
	return s.prepareSuccessor(closed)
}

func (s *server) HandleReInitCommit(_ context.Context, r *pb.HandleCommitRequest) (*pb.HandleReInitCommitResponse, error) {
	closed, err := s.handleCommit(r)
	if err != nil {
		return nil, err
	}
	return s.prepareSuccessor(closed)
}

// prepareSuccessor makes the key package with which a member of a closed group
// enters the one that takes its place. The id of the closed group's state is the
// reinit_id.
func (s *server) prepareSuccessor(closed *state) (*pb.HandleReInitCommitResponse, error) {
	r := closed.group.ReInit()
	if r == nil {
		return nil, status.Error(codes.InvalidArgument, "the commit has no ReInit proposal")
	}
	suite, err := s.suites.Lookup(r.CipherSuite)
	if err != nil {
		return nil, err
	}
	if closed.successor, err = closed.client.newKeyPackage(suite); err != nil {
		return nil, err
	}
	return &pb.HandleReInitCommitResponse{
		ReinitId: closed.id, KeyPackage: closed.successor.Message(), EpochAuthenticator: closed.group.EpochAuthenticator(),
	}, nil
}

// findClosed returns the state of a group that was closed by a ReInit.
func (s *server) findClosed(reinitID uint32) (*state, error) {
	st, err := find[*state](&s.ids, reinitID)
	if err == nil && st.successor == nil {
		err = status.Errorf(codes.FailedPrecondition, "the group of state %d is not closed", reinitID)
	}
	return st, err
}

// ReInitWelcome makes the group that takes the place of a closed one. The commit
// always has a path.
func (s *server) ReInitWelcome(_ context.Context, r *pb.ReInitWelcomeRequest) (*pb.CreateSubgroupResponse, error) {
	closed, err := s.findClosed(r.GetReinitId())
	if err != nil {
		return nil, err
	}
	suite, err := s.suites.Lookup(closed.group.ReInit().CipherSuite)
	if err != nil {
		return nil, err
	}
	o := mls.SuccessorOptions{WithoutTree: r.GetExternalTree()}
	if o.Identity, err = closed.client.newIdentity(suite); err != nil {
		return nil, err
	}
	pending, err := closed.client.found(closed.group.ReInitialize, o, r.GetKeyPackage())
	if err != nil {
		return nil, err
	}
	return founded(s.follow(closed, pending.Group()), pending, r.GetExternalTree()), nil
}

func (s *server) HandleReInitWelcome(_ context.Context, r *pb.HandleReInitWelcomeRequest) (*pb.JoinGroupResponse, error) {
	closed, err := s.findClosed(r.GetReinitId())
	if err != nil {
		return nil, err
	}
	group, err := mls.Join(closed.client.cfg, r.GetWelcome(), closed.successor, mls.JoinOptions{
		RatchetTree: r.GetRatchetTree(), Previous: closed.group,
	})
	if err != nil {
		return nil, err
	}
	next := s.follow(closed, group)
	return &pb.JoinGroupResponse{StateId: next.id, EpochAuthenticator: group.EpochAuthenticator()}, nil
}
