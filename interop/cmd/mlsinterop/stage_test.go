package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
)

// serve starts a server for a test and returns it with a connection to it.
func serve(t *testing.T, o options) (*server, *grpc.ClientConn) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	s := newServer(o)
	g := newGRPCServer(s)
	served := make(chan error)
	go func() { served <- g.Serve(listener) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return s, conn
}

// A stage is where a script is played. Its methods do one step with everybody who
// takes part in it, as the working group's runner would, and end the test if
// anything fails. After each step all members have to agree.
type stage struct {
	*testing.T
	rpc       pb.MLSClientClient
	suite     uint32
	encrypt   bool
	group     []*actor // the members
	psksSoFar int
}

// An actor has the ids that the server gave to it.
type actor struct {
	name        string
	state       uint32
	transaction uint32
	signer      uint32
}

func newStage(t *testing.T, conn *grpc.ClientConn, suite uint32, encrypt bool) *stage {
	return &stage{T: t, rpc: pb.NewMLSClientClient(conn), suite: suite, encrypt: encrypt}
}

// call does an RPC, which has to succeed.
func call[Q, R any](s *stage, rpc func(context.Context, Q, ...grpc.CallOption) (R, error), request Q) R {
	s.Helper()
	response, err := rpc(s.Context(), request)
	if err != nil {
		s.Fatalf("%T: %v", request, err)
	}
	return response
}

// refused does an RPC, which has to fail.
func refused[Q, R any](s *stage, want codes.Code, rpc func(context.Context, Q, ...grpc.CallOption) (R, error), request Q) {
	s.Helper()
	if _, err := rpc(s.Context(), request); status.Code(err) != want {
		s.Errorf("%T: %v, want an error with code %v", request, err, want)
	}
}

func (s *stage) create(name string) *actor {
	s.Helper()
	a := &actor{name: name}
	a.state = call(s, s.rpc.CreateGroup, &pb.CreateGroupRequest{
		GroupId: []byte("group of " + name), CipherSuite: s.suite, EncryptHandshake: s.encrypt, Identity: []byte(name),
	}).StateId
	s.group = []*actor{a}
	return a
}

// createWith creates a group of several members by one commit.
func (s *stage) createWith(name string, others ...string) []*actor {
	s.Helper()
	a := s.create(name)
	joiners, adds := s.invite(others...)
	s.commit(a, commit{values: adds, joiners: joiners})
	return s.group
}

func (s *stage) keyPackage(a *actor) []byte {
	s.Helper()
	r := call(s, s.rpc.CreateKeyPackage, &pb.CreateKeyPackageRequest{CipherSuite: s.suite, Identity: []byte(a.name)})
	a.transaction = r.TransactionId
	return r.KeyPackage
}

// invite brings in actors and describes the proposals that add them.
func (s *stage) invite(names ...string) (joiners []*actor, adds []*pb.ProposalDescription) {
	s.Helper()
	for _, name := range names {
		a := &actor{name: name}
		joiners = append(joiners, a)
		adds = append(adds, byValue("add", &pb.ProposalDescription{KeyPackage: s.keyPackage(a)}))
	}
	return joiners, adds
}

// byValue returns d with its type.
func byValue(proposalType string, d *pb.ProposalDescription) *pb.ProposalDescription {
	d.ProposalType = []byte(proposalType)
	return d
}

func removal(a *actor) *pb.ProposalDescription {
	return byValue("remove", &pb.ProposalDescription{RemovedId: []byte(a.name)})
}

// propose has a member send the proposal that d describes.
func (s *stage) propose(by *actor, d *pb.ProposalDescription) []byte {
	s.Helper()
	var r *pb.ProposalResponse
	switch string(d.ProposalType) {
	case "add":
		r = call(s, s.rpc.AddProposal, &pb.AddProposalRequest{StateId: by.state, KeyPackage: d.KeyPackage})
	case "remove":
		r = call(s, s.rpc.RemoveProposal, &pb.RemoveProposalRequest{StateId: by.state, RemovedId: d.RemovedId})
	case "externalPSK":
		r = call(s, s.rpc.ExternalPSKProposal, &pb.ExternalPSKProposalRequest{StateId: by.state, PskId: d.PskId})
	case "resumptionPSK":
		r = call(s, s.rpc.ResumptionPSKProposal, &pb.ResumptionPSKProposalRequest{StateId: by.state, EpochId: d.EpochId})
	case "groupContextExtensions":
		r = call(s, s.rpc.GroupContextExtensionsProposal, &pb.GroupContextExtensionsProposalRequest{StateId: by.state, Extensions: d.Extensions})
	case "reinit":
		r = call(s, s.rpc.ReInitProposal, &pb.ReInitProposalRequest{
			StateId: by.state, CipherSuite: d.CipherSuite, GroupId: d.GroupId, Extensions: d.Extensions,
		})
	}
	return r.GetProposal()
}

func (s *stage) update(by *actor) []byte {
	s.Helper()
	return call(s, s.rpc.UpdateProposal, &pb.UpdateProposalRequest{StateId: by.state}).Proposal
}

// psk gives a new PSK to actors and describes a proposal to use it.
func (s *stage) psk(actors ...*actor) *pb.ProposalDescription {
	s.Helper()
	psk := s.newPSK()
	for _, a := range actors {
		id := a.state
		if id == 0 {
			id = a.transaction
		}
		call(s, s.rpc.StorePSK, &pb.StorePSKRequest{StateOrTransactionId: id, PskId: psk.PskId, PskSecret: psk.PskSecret})
	}
	return byValue("externalPSK", &pb.ProposalDescription{PskId: psk.PskId})
}

func (s *stage) newPSK() *pb.PreSharedKey {
	s.psksSoFar++
	return &pb.PreSharedKey{PskId: fmt.Appendf(nil, "PSK %d", s.psksSoFar), PskSecret: fmt.Appendf(nil, "secret %d", s.psksSoFar)}
}

func resumption(epoch uint64) *pb.ProposalDescription {
	return byValue("resumptionPSK", &pb.ProposalDescription{EpochId: epoch})
}

// A commit is what one holds and what it does.
type commit struct {
	references [][]byte
	values     []*pb.ProposalDescription
	path       bool
	treeApart  bool
	joiners    []*actor
	gone       []*actor
}

// commit has a member make a commit, all others handle it and the joiners join.
func (s *stage) commit(by *actor, c commit) {
	s.Helper()
	made := call(s, s.rpc.Commit, &pb.CommitRequest{
		StateId: by.state, ByReference: c.references, ByValue: c.values, ForcePath: c.path, ExternalTree: c.treeApart,
	})
	if (len(made.RatchetTree) > 0) != c.treeApart {
		s.Fatalf("the tree apart has %d octets; asked for: %v", len(made.RatchetTree), c.treeApart)
	}
	if (len(made.Welcome) > 0) != (len(c.joiners) > 0) {
		s.Fatalf("the Welcome has %d octets for %d joiners", len(made.Welcome), len(c.joiners))
	}
	merged := call(s, s.rpc.HandlePendingCommit, &pb.HandlePendingCommitRequest{StateId: by.state})
	by.state = merged.StateId
	s.group = slices.DeleteFunc(s.group, func(a *actor) bool { return slices.Contains(c.gone, a) })
	for _, a := range s.group {
		if a != by {
			r := call(s, s.rpc.HandleCommit, &pb.HandleCommitRequest{StateId: a.state, Proposal: c.references, Commit: made.Commit})
			s.entered(a, r.StateId, r.EpochAuthenticator, merged.EpochAuthenticator)
		}
	}
	for _, a := range c.joiners {
		r := call(s, s.rpc.JoinGroup, &pb.JoinGroupRequest{
			TransactionId: a.transaction, Welcome: made.Welcome, EncryptHandshake: s.encrypt, Identity: []byte(a.name), RatchetTree: made.RatchetTree,
		})
		s.entered(a, r.StateId, r.EpochAuthenticator, merged.EpochAuthenticator)
		s.group = append(s.group, a)
	}
	s.agree()
}

// entered takes an actor's new state.
func (s *stage) entered(a *actor, id uint32, authenticator, want []byte) {
	s.Helper()
	if id == a.state {
		s.Fatalf("%s: the new state has the id of the old one", a.name)
	}
	if len(want) == 0 || !bytes.Equal(authenticator, want) {
		s.Fatalf("%s: the epoch authenticator is %x, want %x", a.name, authenticator, want)
	}
	a.state, a.transaction = id, 0
}

// agree checks that all members are in the same epoch, by what they derive from it.
func (s *stage) agree() {
	s.Helper()
	var authenticator, exported []byte
	for i, a := range s.group {
		gotAuthenticator := call(s, s.rpc.StateAuth, &pb.StateAuthRequest{StateId: a.state}).StateAuthSecret
		gotExported := call(s, s.rpc.Export, &pb.ExportRequest{StateId: a.state, Label: "label", Context: []byte("context"), KeyLength: 42}).ExportedSecret
		if i == 0 {
			authenticator, exported = gotAuthenticator, gotExported
		}
		if len(gotAuthenticator) == 0 || !bytes.Equal(gotAuthenticator, authenticator) {
			s.Fatalf("%s has the epoch authenticator %x, and %s %x", a.name, gotAuthenticator, s.group[0].name, authenticator)
		}
		if len(gotExported) != 42 || !bytes.Equal(gotExported, exported) {
			s.Fatalf("%s exports %x, and %s %x", a.name, gotExported, s.group[0].name, exported)
		}
	}
}

// A spoken message is one that was sent, with what is to come out.
type spoken struct{ ciphertext, data, authenticated []byte }

func (s *stage) say(by *actor, text string) spoken {
	s.Helper()
	m := spoken{data: []byte(text), authenticated: []byte("about " + text)}
	m.ciphertext = call(s, s.rpc.Protect, &pb.ProtectRequest{
		StateId: by.state, Plaintext: m.data, AuthenticatedData: m.authenticated,
	}).Ciphertext
	return m
}

func (s *stage) hear(by *actor, m spoken) {
	s.Helper()
	r := call(s, s.rpc.Unprotect, &pb.UnprotectRequest{StateId: by.state, Ciphertext: m.ciphertext})
	if !bytes.Equal(r.Plaintext, m.data) || !bytes.Equal(r.AuthenticatedData, m.authenticated) {
		s.Fatalf("%s read %q with %q, want %q with %q", by.name, r.Plaintext, r.AuthenticatedData, m.data, m.authenticated)
	}
}

// talk has each member say something to all others.
func (s *stage) talk() {
	s.Helper()
	for _, from := range s.group {
		m := s.say(from, from.name+" says hello")
		for _, to := range s.group {
			if to != from {
				s.hear(to, m)
			}
		}
	}
}

// groupInfo returns a GroupInfo, and the tree if it is to be apart.
func (s *stage) groupInfo(by *actor, treeApart bool) *pb.GroupInfoResponse {
	s.Helper()
	r := call(s, s.rpc.GroupInfo, &pb.GroupInfoRequest{StateId: by.state, ExternalTree: treeApart})
	if (len(r.RatchetTree) > 0) != treeApart {
		s.Fatalf("the tree apart has %d octets; asked for: %v", len(r.RatchetTree), treeApart)
	}
	return r
}

// externalJoin has an actor enter, who may be a member and then takes the place of
// the leaf that it has.
func (s *stage) externalJoin(joiner, informant *actor, treeApart bool, psks ...*pb.PreSharedKey) {
	s.Helper()
	prior := slices.Index(s.group, joiner)
	info := s.groupInfo(informant, treeApart)
	joined := call(s, s.rpc.ExternalJoin, &pb.ExternalJoinRequest{
		GroupInfo: info.GroupInfo, RatchetTree: info.RatchetTree, EncryptHandshake: s.encrypt,
		Identity: []byte(joiner.name), RemovePrior: prior >= 0, Psks: psks,
	})
	if prior >= 0 {
		s.group = slices.Delete(s.group, prior, prior+1)
	}
	for _, a := range s.group {
		r := call(s, s.rpc.HandleCommit, &pb.HandleCommitRequest{StateId: a.state, Commit: joined.Commit})
		s.entered(a, r.StateId, r.EpochAuthenticator, joined.EpochAuthenticator)
	}
	joiner.state = joined.StateId
	s.group = append(s.group, joiner)
	s.agree()
}

// addSigner has a member admit an external signer.
func (s *stage) addSigner(by *actor, name string) *actor {
	s.Helper()
	signer := &actor{name: name}
	r := call(s, s.rpc.CreateExternalSigner, &pb.CreateExternalSignerRequest{CipherSuite: s.suite, Identity: []byte(name)})
	signer.signer = r.SignerId
	proposal := call(s, s.rpc.AddExternalSigner, &pb.AddExternalSignerRequest{StateId: by.state, ExternalSender: r.ExternalSender}).Proposal
	s.commit(by, commit{references: [][]byte{proposal}})
	return signer
}

func (s *stage) proposeFromOutside(signer *actor, index uint32, informant *actor, d *pb.ProposalDescription) []byte {
	s.Helper()
	info := s.groupInfo(informant, true)
	return call(s, s.rpc.ExternalSignerProposal, &pb.ExternalSignerProposalRequest{
		SignerId: signer.signer, SignerIndex: index, GroupInfo: info.GroupInfo, RatchetTree: info.RatchetTree, Description: d,
	}).Proposal
}

// reinitialize has one member commit a ReInit and another make the group that takes
// the place of this one.
func (s *stage) reinitialize(proposal []byte, committer, welcomer *actor, path, treeApart bool) {
	s.Helper()
	proposals := [][]byte{proposal}
	made := call(s, s.rpc.ReInitCommit, &pb.CommitRequest{StateId: committer.state, ByReference: proposals, ForcePath: path})
	closed := call(s, s.rpc.HandlePendingReInitCommit, &pb.HandlePendingCommitRequest{StateId: committer.state})
	reinitIDs, keyPackages := make(map[*actor]uint32), make(map[*actor][]byte)
	for _, a := range s.group {
		r := closed
		if a != committer {
			r = call(s, s.rpc.HandleReInitCommit, &pb.HandleCommitRequest{StateId: a.state, Proposal: proposals, Commit: made.Commit})
		}
		s.entered(a, r.ReinitId, r.EpochAuthenticator, closed.EpochAuthenticator)
		reinitIDs[a] = r.ReinitId
		if a != welcomer {
			keyPackages[a] = r.KeyPackage
		}
	}
	s.agree()
	request := &pb.ReInitWelcomeRequest{ReinitId: reinitIDs[welcomer], ForcePath: path, ExternalTree: treeApart}
	for _, a := range s.group {
		if a != welcomer {
			request.KeyPackage = append(request.KeyPackage, keyPackages[a])
		}
	}
	welcome := call(s, s.rpc.ReInitWelcome, request)
	for _, a := range s.group {
		if a == welcomer {
			s.entered(a, welcome.StateId, welcome.EpochAuthenticator, welcome.EpochAuthenticator)
			continue
		}
		r := call(s, s.rpc.HandleReInitWelcome, &pb.HandleReInitWelcomeRequest{
			ReinitId: reinitIDs[a], Welcome: welcome.Welcome, RatchetTree: welcome.RatchetTree,
		})
		s.entered(a, r.StateId, r.EpochAuthenticator, welcome.EpochAuthenticator)
	}
	s.agree()
}

// branch returns a stage with the group that some members, the first of which makes
// it, found beside this one.
func (s *stage) branch(members []*actor, extensions []*pb.Extension, treeApart bool) *stage {
	s.Helper()
	beside := *s
	beside.group = nil
	var keyPackages [][]byte
	for _, a := range members {
		twin := &actor{name: a.name}
		beside.group = append(beside.group, twin)
		if a != members[0] {
			keyPackages = append(keyPackages, s.keyPackage(twin))
		}
	}
	made := call(s, s.rpc.CreateBranch, &pb.CreateBranchRequest{
		StateId: members[0].state, GroupId: []byte("branch"), Extensions: extensions, KeyPackages: keyPackages, ExternalTree: treeApart,
	})
	beside.group[0].state = made.StateId
	for i, twin := range beside.group[1:] {
		r := call(s, s.rpc.HandleBranch, &pb.HandleBranchRequest{
			StateId: members[i+1].state, TransactionId: twin.transaction, Welcome: made.Welcome, RatchetTree: made.RatchetTree,
		})
		s.entered(twin, r.StateId, r.EpochAuthenticator, made.EpochAuthenticator)
	}
	beside.agree()
	return &beside
}

// free ends a script as the runner does.
func (s *stage) free(actors ...*actor) {
	s.Helper()
	for _, a := range actors {
		call(s, s.rpc.Free, &pb.FreeRequest{StateId: a.state})
	}
}
