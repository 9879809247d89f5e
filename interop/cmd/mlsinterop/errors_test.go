package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
)

// methods returns the RPCs of the service.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	list := pb.File_mls_client_proto.Services().ByName("MLSClient").Methods()
	if list.Len() != 34 {
		t.Fatalf("the service has %d methods, want 34", list.Len())
	}
	var all []protoreflect.MethodDescriptor
	for i := range list.Len() {
		all = append(all, list.Get(i))
	}
	return all
}

// newMessage returns an empty message of a type.
func newMessage(t *testing.T, d protoreflect.MessageDescriptor) protoreflect.Message {
	t.Helper()
	messageType, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return messageType.New()
}

// invoke does an RPC that is known by its descriptor.
func invoke(t *testing.T, conn *grpc.ClientConn, method protoreflect.MethodDescriptor, request protoreflect.Message) error {
	t.Helper()
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	return conn.Invoke(t.Context(), path, request.Interface(), newMessage(t, method.Output()).Interface())
}

// idFields returns the fields of a request that hold ids.
func idFields(d protoreflect.MessageDescriptor) (ids []protoreflect.FieldDescriptor) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if strings.HasSuffix(string(f.Name()), "_id") && f.Kind() == protoreflect.Uint32Kind {
			ids = append(ids, f)
		}
	}
	return ids
}

func TestEmptyRequests(t *testing.T) {
	_, conn := serve(t, options{})
	for _, method := range methods(t) {
		want := codes.InvalidArgument
		switch {
		case method.Name() == "Name" || method.Name() == "SupportedCiphersuites":
			want = codes.OK
		case len(idFields(method.Input())) > 0:
			want = codes.NotFound
		}
		err := invoke(t, conn, method, newMessage(t, method.Input()))
		if got := status.Code(err); got != want {
			t.Errorf("%s: %v, want code %v", method.Name(), err, want)
		}
	}
}

// TestIDsOfOtherKinds gives each RPC the ids of what is there, but not of the kind
// that it is for.
func TestIDsOfOtherKinds(t *testing.T) {
	_, conn := serve(t, options{})
	s := newStage(t, conn, 1, false)
	alice := s.create("alice")
	bob := new(actor)
	s.keyPackage(bob)
	signer := s.addSigner(alice, "service")
	wrong := map[string]uint32{
		"state_id": bob.transaction, "reinit_id": signer.signer, "transaction_id": alice.state,
		"signer_id": alice.state, "state_or_transaction_id": signer.signer,
	}
	for _, method := range methods(t) {
		ids := idFields(method.Input())
		if len(ids) == 0 {
			continue
		}
		request := newMessage(t, method.Input())
		for _, f := range ids {
			request.Set(f, protoreflect.ValueOfUint32(wrong[string(f.Name())]))
		}
		if err := invoke(t, conn, method, request); status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, want code %v", method.Name(), err, codes.NotFound)
		}
	}
	s.group = []*actor{alice}
	s.commit(alice, commit{})
}

// TestGarbage puts octets that are no message, or not the right one, where one
// belongs. The group goes on as if nothing had been said.
func TestGarbage(t *testing.T) {
	_, conn := serve(t, options{})
	s := newStage(t, conn, 1, true)
	s.createWith("alice", "bob")
	alice, bob := s.group[0], s.group[1]
	carol := &actor{name: "carol"}
	keyPackage := s.keyPackage(carol)
	signer := s.addSigner(alice, "service")
	closed := closedState(s)

	messages := map[string][]byte{
		"key_package": keyPackage, "group_info": s.groupInfo(alice, false).GroupInfo, "ratchet_tree": s.groupInfo(alice, true).RatchetTree,
		"ciphertext": s.say(alice, "hello").ciphertext,
	}
	commits := call(s, s.rpc.Commit, &pb.CommitRequest{
		StateId: alice.state, ByValue: []*pb.ProposalDescription{byValue("add", &pb.ProposalDescription{KeyPackage: keyPackage})},
	})
	messages["commit"], messages["welcome"] = commits.Commit, commits.Welcome
	// Each of these is a field of some request. The proposal comes last, since it
	// keeps bob from sending application data until it is committed.
	proposal := s.update(bob)
	messages["proposal"], messages["by_reference"], messages["key_packages"] = proposal, proposal, keyPackage
	messages["external_sender"] = call(s, s.rpc.CreateExternalSigner, &pb.CreateExternalSignerRequest{CipherSuite: 1}).ExternalSender

	ids := map[string]uint32{
		"state_id": alice.state, "transaction_id": carol.transaction, "signer_id": signer.signer, "reinit_id": closed.state,
	}
	random := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for _, method := range methods(t) {
		for i := range method.Input().Fields().Len() {
			field := method.Input().Fields().Get(i)
			right, ok := messages[string(field.Name())]
			if !ok || field.Name() == "ratchet_tree" { // which is looked at only if the rest is right
				continue
			}
			for _, octets := range garbage(random, right, messages, string(field.Name())) {
				request := newMessage(t, method.Input())
				for _, f := range idFields(method.Input()) {
					request.Set(f, protoreflect.ValueOfUint32(ids[string(f.Name())]))
				}
				if field.IsList() {
					request.Mutable(field).List().Append(protoreflect.ValueOfBytes(octets))
				} else {
					request.Set(field, protoreflect.ValueOfBytes(octets))
				}
				if err := invoke(t, conn, method, request); status.Code(err) != codes.InvalidArgument {
					t.Errorf("%s with %s %x: %v, want code %v", method.Name(), field.Name(), octets, err, codes.InvalidArgument)
				}
				tried++
			}
		}
	}
	if tried < 200 {
		t.Errorf("only %d requests were made", tried)
	}
	s.commit(alice, commit{references: [][]byte{proposal}, values: []*pb.ProposalDescription{byValue("add", &pb.ProposalDescription{KeyPackage: keyPackage})}, joiners: []*actor{carol}})
	s.talk()
}

// garbage returns octets that are not what a field is for.
func garbage(random *rand.Rand, right []byte, messages map[string][]byte, field string) [][]byte {
	noise := make([]byte, 100)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	list := [][]byte{{}, {0}, {0, 1, 0, 2}, noise, right[:len(right)-1], append(slices.Clone(right), 0)}
	for range 5 {
		if field == "external_sender" { // nothing vouches for that before a commit
			break
		}
		at := 4 + random.IntN(len(right)-4)
		list = append(list, slices.Concat(right[:at], []byte{right[at] ^ byte(1+random.IntN(255))}, right[at+1:]))
	}
	for name, other := range messages {
		if !bytes.Equal(other, right) && name != field {
			list = append(list, other)
		}
	}
	return list
}

// closedState returns somebody's state of another group, which a ReInit has closed.
func closedState(s *stage) *actor {
	other := *s
	a := other.create("dave")
	proposal := other.propose(a, byValue("reinit", &pb.ProposalDescription{GroupId: []byte("next"), CipherSuite: s.suite}))
	call(s, s.rpc.ReInitCommit, &pb.CommitRequest{StateId: a.state, ByReference: [][]byte{proposal}})
	a.state = call(s, s.rpc.HandlePendingReInitCommit, &pb.HandlePendingCommitRequest{StateId: a.state}).ReinitId
	return a
}

// TestRefusals asks for what cannot be. The group goes on as if it had not been
// asked.
func TestRefusals(t *testing.T) {
	_, conn := serve(t, options{})
	s := newStage(t, conn, 1, false)
	s.createWith("alice", "bob", "carol")
	alice, bob := s.group[0], s.group[1]
	closed := closedState(s)
	const noSuite = 0x7A7A
	const wide = 0x10001
	const invalid, early = codes.InvalidArgument, codes.FailedPrecondition

	// Requests that name what there is not.
	for _, suite := range []uint32{0, noSuite, wide} {
		refused(s, invalid, s.rpc.CreateGroup, &pb.CreateGroupRequest{CipherSuite: suite})
		refused(s, invalid, s.rpc.CreateKeyPackage, &pb.CreateKeyPackageRequest{CipherSuite: suite})
		refused(s, invalid, s.rpc.CreateExternalSigner, &pb.CreateExternalSignerRequest{CipherSuite: suite})
	}
	refused(s, invalid, s.rpc.ReInitProposal, &pb.ReInitProposalRequest{StateId: alice.state, CipherSuite: wide})
	refused(s, invalid, s.rpc.ReInitProposal, &pb.ReInitProposalRequest{
		StateId: alice.state, CipherSuite: 1, Extensions: []*pb.Extension{noSenders, noSenders},
	})
	refused(s, invalid, s.rpc.RemoveProposal, &pb.RemoveProposalRequest{StateId: alice.state, RemovedId: []byte("nobody")})
	for _, x := range []*pb.Extension{{ExtensionType: wide}, {ExtensionType: 3, ExtensionData: []byte{1}}} {
		refused(s, invalid, s.rpc.GroupContextExtensionsProposal, &pb.GroupContextExtensionsProposalRequest{StateId: alice.state, Extensions: []*pb.Extension{x}})
		refused(s, invalid, s.rpc.CreateBranch, &pb.CreateBranchRequest{StateId: alice.state, Extensions: []*pb.Extension{x}})
	}
	refused(s, invalid, s.rpc.Export, &pb.ExportRequest{StateId: alice.state, KeyLength: 255*32 + 1})
	refused(s, invalid, s.rpc.Export, &pb.ExportRequest{StateId: alice.state, KeyLength: 1<<32 - 1})
	refused(s, invalid, s.rpc.ExternalJoin, &pb.ExternalJoinRequest{
		GroupInfo: s.groupInfo(alice, false).GroupInfo, Identity: []byte("nobody"), RemovePrior: true,
	})
	for _, d := range []*pb.ProposalDescription{
		byValue("update", new(pb.ProposalDescription)), byValue("externalPSK", &pb.ProposalDescription{PskId: []byte("unknown")}), resumption(100),
	} {
		refused(s, invalid, s.rpc.Commit, &pb.CommitRequest{StateId: alice.state, ByValue: []*pb.ProposalDescription{d}})
	}

	// Requests at the wrong time.
	refused(s, early, s.rpc.HandlePendingCommit, &pb.HandlePendingCommitRequest{StateId: alice.state})
	refused(s, early, s.rpc.HandlePendingReInitCommit, &pb.HandlePendingCommitRequest{StateId: alice.state})
	refused(s, early, s.rpc.ReInitWelcome, &pb.ReInitWelcomeRequest{ReinitId: alice.state})
	refused(s, early, s.rpc.HandleReInitWelcome, &pb.HandleReInitWelcomeRequest{ReinitId: alice.state})
	refused(s, early, s.rpc.Protect, &pb.ProtectRequest{StateId: closed.state})
	refused(s, early, s.rpc.UpdateProposal, &pb.UpdateProposalRequest{StateId: closed.state})
	refused(s, early, s.rpc.CreateBranch, &pb.CreateBranchRequest{StateId: closed.state})
	refused(s, invalid, s.rpc.ReInitCommit, &pb.CommitRequest{StateId: alice.state})
	refused(s, early, s.rpc.HandlePendingCommit, &pb.HandlePendingCommitRequest{StateId: alice.state})

	// A commit that is handled by the RPC for another kind leaves no key package.
	made := call(s, s.rpc.Commit, &pb.CommitRequest{StateId: alice.state})
	refused(s, invalid, s.rpc.HandleReInitCommit, &pb.HandleCommitRequest{StateId: bob.state, Commit: made.Commit})
	refused(s, invalid, s.rpc.HandleCommit, &pb.HandleCommitRequest{StateId: alice.state, Commit: made.Commit})

	// A commit refers to what it is told to, and to all that waits.
	removal := s.propose(bob, removal(alice))
	refused(s, early, s.rpc.Commit, &pb.CommitRequest{StateId: bob.state})
	refused(s, early, s.rpc.Protect, &pb.ProtectRequest{StateId: bob.state})
	update := s.update(bob)
	refused(s, invalid, s.rpc.Commit, &pb.CommitRequest{StateId: bob.state, ByReference: [][]byte{removal, update}})
	made = call(s, s.rpc.Commit, &pb.CommitRequest{StateId: bob.state, ByReference: [][]byte{removal}})
	refused(s, invalid, s.rpc.HandleCommit, &pb.HandleCommitRequest{StateId: alice.state, Commit: made.Commit})
	refused(s, early, s.rpc.HandleCommit, &pb.HandleCommitRequest{StateId: alice.state, Commit: made.Commit, Proposal: [][]byte{removal}})
	refused(s, invalid, s.rpc.Commit, &pb.CommitRequest{StateId: alice.state, ByReference: [][]byte{removal}})

	s.commit(bob, commit{references: [][]byte{removal}, gone: []*actor{alice}})
	s.talk()
	s.free(append(s.group, alice)...)
	refused(s, codes.NotFound, s.rpc.Free, &pb.FreeRequest{StateId: alice.state})
}

// TestRepeatedProposals gives a member the same encrypted proposals again, after a
// commit that failed and with one that takes the place of another.
func TestRepeatedProposals(t *testing.T) {
	_, conn := serve(t, options{})
	s := newStage(t, conn, 1, true)
	s.createWith("alice", "bob", "carol")
	alice, bob, carol := s.group[0], s.group[1], s.group[2]
	proposals := [][]byte{s.update(bob), s.propose(alice, contextExtensions(noCapabilities))}
	call(s, s.rpc.Commit, &pb.CommitRequest{StateId: alice.state, ByReference: proposals})
	refused(s, codes.InvalidArgument, s.rpc.HandleCommit, &pb.HandleCommitRequest{StateId: carol.state, Proposal: proposals, Commit: proposals[0]})
	s.commit(alice, commit{references: proposals, path: true})
	s.talk()
}
