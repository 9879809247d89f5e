package main

import (
	"context"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls"
)

// A transaction is a client that waits to be let into a group.
type transaction struct {
	client     *client
	keyPackage *mls.KeyPackageBundle
}

func (*transaction) kind() string { return "transaction" }

func (t *transaction) erase() { t.keyPackage.Erase() }

func (s *server) CreateGroup(_ context.Context, r *pb.CreateGroupRequest) (*pb.CreateGroupResponse, error) {
	suite, err := s.lookup(r.GetCipherSuite())
	if err != nil {
		return nil, err
	}
	c := s.newClient(r.GetIdentity())
	identity, err := c.newIdentity(suite)
	if err != nil {
		return nil, err
	}
	group, err := mls.NewGroup(c.cfg, mls.GroupOptions{
		Suite: suite.ID(), Identity: identity, GroupID: given(r.GetGroupId()),
	})
	if err != nil {
		return nil, err
	}
	st := s.addState(&state{client: c, group: group, wireFormat: wireFormat(r.GetEncryptHandshake())})
	return &pb.CreateGroupResponse{StateId: st.id}, nil
}

// given returns a group ID that is the empty one if the request has none: nil
// stands for a random one.
func given(groupID []byte) []byte { return append([]byte{}, groupID...) }

func (s *server) CreateKeyPackage(_ context.Context, r *pb.CreateKeyPackageRequest) (*pb.CreateKeyPackageResponse, error) {
	suite, err := s.lookup(r.GetCipherSuite())
	if err != nil {
		return nil, err
	}
	c := s.newClient(r.GetIdentity())
	bundle, private, err := c.newOpenKeyPackage(suite)
	if err != nil {
		return nil, err
	}
	return &pb.CreateKeyPackageResponse{
		TransactionId:  s.ids.add(&transaction{c, bundle}),
		KeyPackage:     bundle.Message(),
		InitPriv:       private.init,
		EncryptionPriv: private.encryption,
		SignaturePriv:  private.signature,
	}, nil
}

// JoinGroup ends a transaction, if it succeeds.
func (s *server) JoinGroup(_ context.Context, r *pb.JoinGroupRequest) (*pb.JoinGroupResponse, error) {
	t, err := find[*transaction](&s.ids, r.GetTransactionId())
	if err != nil {
		return nil, err
	}
	group, err := mls.Join(t.client.cfg, r.GetWelcome(), t.keyPackage, mls.JoinOptions{RatchetTree: r.GetRatchetTree()})
	if err != nil {
		return nil, err
	}
	s.ids.remove(r.GetTransactionId())
	st := s.addState(&state{client: t.client, group: group, wireFormat: wireFormat(r.GetEncryptHandshake())})
	return &pb.JoinGroupResponse{StateId: st.id, EpochAuthenticator: group.EpochAuthenticator()}, nil
}
