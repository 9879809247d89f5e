package main

import (
	"context"
	"fmt"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// The types of proposals, as a ProposalDescription names them. An Update cannot be
// described: it is never in a commit by value, nor from outside.
const (
	typeAdd                    = "add"
	typeRemove                 = "remove"
	typeExternalPSK            = "externalPSK"
	typeResumptionPSK          = "resumptionPSK"
	typeGroupContextExtensions = "groupContextExtensions"
	typeReInit                 = "reinit"
)

// A view is what a proposal is about: an *mls.Group, or an *mls.Observer for one
// from outside.
type view interface {
	GroupID() []byte
	Members() []mls.Member
}

// proposal returns the proposal that d describes.
func (c *client) proposal(d *pb.ProposalDescription, about view) (mls.Proposal, error) {
	switch t := string(d.GetProposalType()); t {
	case typeAdd:
		keyPackage, err := c.parseKeyPackage(d.GetKeyPackage())
		return &mls.Add{KeyPackage: keyPackage}, err
	case typeRemove:
		leaf, err := leafOf(d.GetRemovedId(), about)
		return &mls.Remove{Removed: leaf}, err
	case typeExternalPSK:
		return &mls.PreSharedKey{PSK: externalPSK(d.GetPskId())}, nil
	case typeResumptionPSK:
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{
			Type: mls.PSKResumption, Usage: mls.ResumptionApplication, Group: about.GroupID(), Epoch: d.GetEpochId(),
		}}, nil
	case typeGroupContextExtensions:
		list, err := extensions(d.GetExtensions())
		return &mls.GroupContextExtensions{Extensions: list}, err
	case typeReInit:
		return reInit(d)
	default:
		return nil, fmt.Errorf("proposal type %q is not known", t)
	}
}

func externalPSK(id []byte) mls.PreSharedKeyID {
	return mls.PreSharedKeyID{Type: mls.PSKExternal, ID: id}
}

func reInit(d *pb.ProposalDescription) (mls.Proposal, error) {
	suite, err := codePoint[ciphersuite.ID](d.GetCipherSuite())
	if err != nil {
		return nil, err
	}
	list, err := extensions(d.GetExtensions())
	return &mls.ReInit{GroupID: d.GetGroupId(), Version: mls.MLS10, CipherSuite: suite, Extensions: list}, err
}

// leafOf returns where the member with an identity is.
func leafOf(identity []byte, about view) (mls.LeafIndex, error) {
	for _, m := range about.Members() {
		if string(m.Leaf.Credential.Identity) == string(identity) {
			return m.Index, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", mls.ErrNoSuchMember, identity)
}

// propose has a member send the proposal that d describes.
func (s *server) propose(id uint32, d *pb.ProposalDescription) (*pb.ProposalResponse, error) {
	st, err := find[*state](&s.ids, id)
	if err != nil {
		return nil, err
	}
	p, err := st.client.proposal(d, st.group)
	if err != nil {
		return nil, err
	}
	message, err := st.group.Propose(p, mls.ProposeOptions{WireFormat: st.wireFormat})
	return &pb.ProposalResponse{Proposal: message}, err
}

func (s *server) AddProposal(_ context.Context, r *pb.AddProposalRequest) (*pb.ProposalResponse, error) {
	return s.propose(r.GetStateId(), &pb.ProposalDescription{
		ProposalType: []byte(typeAdd), KeyPackage: r.GetKeyPackage(),
	})
}

func (s *server) UpdateProposal(_ context.Context, r *pb.UpdateProposalRequest) (*pb.ProposalResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	message, err := st.group.ProposeUpdate(mls.LeafChanges{}, mls.ProposeOptions{WireFormat: st.wireFormat})
	return &pb.ProposalResponse{Proposal: message}, err
}

func (s *server) RemoveProposal(_ context.Context, r *pb.RemoveProposalRequest) (*pb.ProposalResponse, error) {
	return s.propose(r.GetStateId(), &pb.ProposalDescription{
		ProposalType: []byte(typeRemove), RemovedId: r.GetRemovedId(),
	})
}

func (s *server) ExternalPSKProposal(_ context.Context, r *pb.ExternalPSKProposalRequest) (*pb.ProposalResponse, error) {
	return s.propose(r.GetStateId(), &pb.ProposalDescription{
		ProposalType: []byte(typeExternalPSK), PskId: r.GetPskId(),
	})
}

func (s *server) ResumptionPSKProposal(_ context.Context, r *pb.ResumptionPSKProposalRequest) (*pb.ProposalResponse, error) {
	return s.propose(r.GetStateId(), &pb.ProposalDescription{
		ProposalType: []byte(typeResumptionPSK), EpochId: r.GetEpochId(),
	})
}

func (s *server) GroupContextExtensionsProposal(_ context.Context, r *pb.GroupContextExtensionsProposalRequest) (*pb.ProposalResponse, error) {
	return s.propose(r.GetStateId(), &pb.ProposalDescription{
		ProposalType: []byte(typeGroupContextExtensions), Extensions: r.GetExtensions(),
	})
}

func (s *server) ReInitProposal(_ context.Context, r *pb.ReInitProposalRequest) (*pb.ProposalResponse, error) {
	return s.propose(r.GetStateId(), &pb.ProposalDescription{
		ProposalType: []byte(typeReInit), CipherSuite: r.GetCipherSuite(), GroupId: r.GetGroupId(), Extensions: r.GetExtensions(),
	})
}
