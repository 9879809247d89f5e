package main

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
)

// receive processes proposals and returns them. It may get one again, with another
// commit or after a failure: a member can decrypt a message only once.
func (st *state) receive(messages [][]byte) ([]mls.Proposal, error) {
	var list []mls.Proposal
	for i, message := range messages {
		p, ok := st.proposals[string(message)]
		if !ok {
			if _, err := expect(mls.ContentProposal, message); err != nil {
				return nil, fmt.Errorf("proposal %d: %w", i, err)
			}
			received, err := st.group.Process(message)
			if err != nil {
				return nil, fmt.Errorf("proposal %d: %w", i, err)
			}
			p = received.(*mls.ReceivedProposal).Proposal
			st.proposals[string(message)] = p
		}
		list = append(list, p)
	}
	return list, nil
}

// checkReferences returns an error unless a commit refers to exactly the listed
// proposals. A group commits all that wait and fit together.
func checkReferences(p *mls.PendingCommit, listed []mls.Proposal) error {
	var covered []mls.Proposal
	for _, c := range p.Proposals() {
		if !c.ByReference {
			continue
		}
		if !slices.Contains(listed, c.Proposal) {
			return status.Errorf(codes.FailedPrecondition,
				"a proposal of type %v that was sent in this epoch is missing in by_reference", c.Proposal.ProposalType())
		}
		covered = append(covered, c.Proposal)
	}
	for i, proposal := range listed {
		if !slices.Contains(covered, proposal) {
			return status.Errorf(codes.InvalidArgument,
				"proposal %d, of type %v, is not for a commit of this member with the others", i, proposal.ProposalType())
		}
	}
	return nil
}

// commit makes a commit that takes the place of one that is pending.
func (s *server) commit(r *pb.CommitRequest) (*state, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	listed, err := st.receive(r.GetByReference())
	if err != nil {
		return nil, err
	}
	options := mls.CommitOptions{
		OmitPath: !r.GetForcePath(), WireFormat: st.wireFormat, WithoutTree: r.GetExternalTree(),
	}
	for i, d := range r.GetByValue() {
		p, err := st.client.proposal(d, st.group)
		if err != nil {
			return nil, fmt.Errorf("proposal %d by value: %w", i, err)
		}
		options.Proposals = append(options.Proposals, p)
	}
	pending, err := st.group.Commit(options)
	if err != nil {
		return nil, err
	}
	if err := checkReferences(pending, listed); err != nil {
		pending.Erase()
		return nil, err
	}
	st.setPending(pending)
	return st, nil
}

func committed(p *mls.PendingCommit, externalTree bool) *pb.CommitResponse {
	return &pb.CommitResponse{Commit: p.Message(), Welcome: p.Welcome(), RatchetTree: treeApart(p, externalTree)}
}

// treeApart returns the new epoch's tree, if it is not in the Welcome.
func treeApart(p *mls.PendingCommit, externalTree bool) []byte {
	if !externalTree {
		return nil
	}
	return p.RatchetTree()
}

func (s *server) Commit(_ context.Context, r *pb.CommitRequest) (*pb.CommitResponse, error) {
	st, err := s.commit(r)
	if err != nil {
		return nil, err
	}
	return committed(st.pending, r.GetExternalTree()), nil
}

// mergePending returns the state to which a member's own commit leads.
func (s *server) mergePending(id uint32) (*state, error) {
	st, err := find[*state](&s.ids, id)
	if err != nil {
		return nil, err
	}
	if st.pending == nil {
		return nil, status.Error(codes.FailedPrecondition, "there is no pending commit")
	}
	next := st.pending.Group()
	st.pending = nil
	return s.follow(st, next), nil
}

func (s *server) HandlePendingCommit(_ context.Context, r *pb.HandlePendingCommitRequest) (*pb.HandleCommitResponse, error) {
	next, err := s.mergePending(r.GetStateId())
	if err != nil {
		return nil, err
	}
	return entered(next), nil
}

// handleCommit returns the state to which somebody else's commit leads.
func (s *server) handleCommit(r *pb.HandleCommitRequest) (*state, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	if _, err := st.receive(r.GetProposal()); err != nil {
		return nil, err
	}
	if _, err := expect(mls.ContentCommit, r.GetCommit()); err != nil {
		return nil, err
	}
	received, err := st.group.Process(r.GetCommit())
	if err != nil {
		return nil, err
	}
	next := received.(*mls.ReceivedCommit).Group()
	if next == nil {
		return nil, status.Error(codes.FailedPrecondition, "the commit removes this member")
	}
	return s.follow(st, next), nil
}

func (s *server) HandleCommit(_ context.Context, r *pb.HandleCommitRequest) (*pb.HandleCommitResponse, error) {
	next, err := s.handleCommit(r)
	if err != nil {
		return nil, err
	}
	return entered(next), nil
}

func entered(next *state) *pb.HandleCommitResponse {
	return &pb.HandleCommitResponse{StateId: next.id, EpochAuthenticator: next.group.EpochAuthenticator()}
}
