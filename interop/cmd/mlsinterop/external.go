package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
)

// ExternalJoin returns a state that counts once the group has accepted the commit.
func (s *server) ExternalJoin(_ context.Context, r *pb.ExternalJoinRequest) (*pb.ExternalJoinResponse, error) {
	c := s.newClient(r.GetIdentity())
	group, err := mls.NewObserver(c.cfg, r.GetGroupInfo(), r.GetRatchetTree())
	if err != nil {
		return nil, err
	}
	options := mls.ExternalJoinOptions{RatchetTree: r.GetRatchetTree()}
	if options.Identity, err = c.newIdentity(group.Suite()); err != nil {
		return nil, err
	}
	if r.GetRemovePrior() {
		options.Resync = func(leaf *mls.LeafNode) bool { return string(leaf.Credential.Identity) == string(c.identity) }
	}
	for _, psk := range r.GetPsks() {
		if err := c.storePSK(psk.GetPskId(), psk.GetPskSecret()); err != nil {
			return nil, err
		}
		options.PSKs = append(options.PSKs, externalPSK(psk.GetPskId()))
	}
	pending, err := mls.JoinExternal(c.cfg, r.GetGroupInfo(), options)
	if err != nil {
		return nil, err
	}
	st := s.addState(&state{client: c, group: pending.Group(), wireFormat: wireFormat(r.GetEncryptHandshake())})
	return &pb.ExternalJoinResponse{
		StateId: st.id, Commit: pending.Message(), EpochAuthenticator: st.group.EpochAuthenticator(),
	}, nil
}

func (s *server) NewMemberAddProposal(_ context.Context, r *pb.NewMemberAddProposalRequest) (*pb.NewMemberAddProposalResponse, error) {
	c := s.newClient(r.GetIdentity())
	group, err := mls.NewObserver(c.cfg, r.GetGroupInfo(), nil)
	if err != nil {
		return nil, err
	}
	bundle, private, err := c.newOpenKeyPackage(group.Suite())
	if err != nil {
		return nil, err
	}
	message, err := bundle.ProposeJoin(c.cfg, group.GroupID(), group.Epoch(), nil)
	if err != nil {
		return nil, err
	}
	return &pb.NewMemberAddProposalResponse{
		TransactionId:  s.ids.add(&transaction{c, bundle}),
		Proposal:       message,
		InitPriv:       private.init,
		EncryptionPriv: private.encryption,
		SignaturePriv:  private.signature,
	}, nil
}

// An externalSigner proposes to groups whose external_senders have it.
type externalSigner struct {
	client   *client
	identity mls.Identity
}

func (*externalSigner) kind() string { return "external signer" }

func (*externalSigner) erase() {}

func (s *server) CreateExternalSigner(_ context.Context, r *pb.CreateExternalSignerRequest) (*pb.CreateExternalSignerResponse, error) {
	suite, err := s.lookup(r.GetCipherSuite())
	if err != nil {
		return nil, err
	}
	c := s.newClient(r.GetIdentity())
	identity, err := c.newIdentity(suite)
	if err != nil {
		return nil, err
	}
	key, err := suite.SignaturePublicKey(identity.Signer.Public())
	if err != nil {
		return nil, err
	}
	// The extension is a vector, here of one.
	list := mls.ExternalSenders(mls.ExternalSender{SignatureKey: key, Credential: identity.Credential}).Data
	return &pb.CreateExternalSignerResponse{
		SignerId: s.ids.add(&externalSigner{c, identity}), ExternalSender: wire.NewReader(list).Opaque(),
	}, nil
}

func (s *server) AddExternalSigner(_ context.Context, r *pb.AddExternalSignerRequest) (*pb.ProposalResponse, error) {
	st, err := find[*state](&s.ids, r.GetStateId())
	if err != nil {
		return nil, err
	}
	list, err := withExternalSender(st.group.Extensions(), r.GetExternalSender())
	if err != nil {
		return nil, err
	}
	message, err := st.group.Propose(&mls.GroupContextExtensions{Extensions: list}, mls.ProposeOptions{WireFormat: st.wireFormat})
	return &pb.ProposalResponse{Proposal: message}, err
}

// withExternalSender returns a group's extensions with one external sender more, at
// the end: the others keep their indices. RFC 9420, Section 12.1.8.1.
func withExternalSender(extensions mls.Extensions, sender []byte) (mls.Extensions, error) {
	r := wire.NewReader(sender)
	r.Opaque() // signature_key
	r.Uint16() // credential_type
	r.Opaque() // identity, or what other types have in its place
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("decoding an external sender: %w", err)
	}
	var w wire.Writer
	before, _ := extensions.Find(mls.ExtensionExternalSenders)
	w.Opaque(slices.Concat(wire.NewReader(before).Opaque(), sender))
	others := slices.DeleteFunc(slices.Clone(extensions), func(x mls.Extension) bool { return x.Type == mls.ExtensionExternalSenders })
	return append(others, mls.Extension{Type: mls.ExtensionExternalSenders, Data: w.Data()}), nil
}

func (s *server) ExternalSignerProposal(_ context.Context, r *pb.ExternalSignerProposalRequest) (*pb.ProposalResponse, error) {
	signer, err := find[*externalSigner](&s.ids, r.GetSignerId())
	if err != nil {
		return nil, err
	}
	cfg := signer.client.cfg
	group, err := mls.NewObserver(cfg, r.GetGroupInfo(), r.GetRatchetTree())
	if err != nil {
		return nil, err
	}
	p, err := signer.client.proposal(r.GetDescription(), group)
	if err != nil {
		return nil, err
	}
	message, err := mls.ProposeAsExternalSender(cfg, mls.ExternalProposalOptions{
		Suite: group.Suite().ID(), GroupID: group.GroupID(), Epoch: group.Epoch(),
		Index: r.GetSignerIndex(), Signer: signer.identity.Signer,
	}, p)
	return &pb.ProposalResponse{Proposal: message}, err
}
