package mls

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

// The observer stays as it was when it refuses a message.
func FuzzObserve(f *testing.F) {
	c := newCrowd(f, suite1, 3)
	for _, message := range exampleMessages(c) {
		f.Add(message)
	}
	info, err := c.members[0].g.GroupInfo(GroupInfoOptions{})
	if err != nil {
		f.Fatal(err)
	}
	cfg := c.members[1].cfg
	f.Fuzz(func(t *testing.T, message []byte) {
		o, err := NewObserver(cfg, info, nil)
		if err != nil {
			t.Fatal(err)
		}
		context, tree := bytes.Clone(o.encodedContext), o.RatchetTree()
		received, err := o.Process(message)
		if commit, ok := received.(*ObservedCommit); ok && commit.Observer().Epoch() != o.Epoch()+1 {
			t.Errorf("a commit leads from epoch %d to %d", o.Epoch(), commit.Observer().Epoch())
		}
		if _, isProposal := received.(*ReceivedProposal); isProposal != (len(o.proposals) > 0) {
			t.Errorf("received %T, and there are %d proposals (%v)", received, len(o.proposals), err)
		}
		wantEqual(t, "context", o.encodedContext, context)
		wantEqual(t, "tree", o.RatchetTree(), tree)
	})
}

// A GroupInfo comes from a stranger, and so does the tree.
func FuzzGroupInfo(f *testing.F) {
	c := newCrowd(f, suite1, 3)
	c.commit(2, CommitOptions{})
	for _, withoutTree := range []bool{false, true} {
		info, err := c.members[0].g.GroupInfo(GroupInfoOptions{WithoutTree: withoutTree})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(info, c.members[0].g.RatchetTree())
	}
	joiner := c.newClient()
	f.Fuzz(func(t *testing.T, info, tree []byte) { c.useGroupInfo(t, joiner, info, tree) })
}

// A hostile member signs any GroupInfo.
func FuzzSignedGroupInfo(f *testing.F) {
	c := newCrowd(f, suite1, 3)
	c.commit(2, CommitOptions{})
	signer := c.members[0].g
	info, err := signer.signGroupInfo(GroupInfoOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(marshal(info.context.extensions), marshal(info.extensions), uint64(5), uint32(0))
	senders := ExternalSenders(ExternalSender{SignatureKey: []byte("key"), Credential: BasicCredential(nil)})
	required := (&RequiredCapabilities{}).Extension()
	f.Add(marshal(Extensions{senders, required}), marshal(info.extensions.with(externalPub(nil))), uint64(0), uint32(1))
	joiner := c.newClient()
	f.Fuzz(func(t *testing.T, context, extensions []byte, epoch uint64, leaf uint32) {
		changed := *info
		changed.context.epoch, changed.signer = epoch, LeafIndex(leaf)
		r := wire.NewReader(context)
		if changed.context.extensions = readExtensions(r); r.Finish() != nil {
			return
		}
		r = wire.NewReader(extensions)
		if changed.extensions = readExtensions(r); r.Finish() != nil {
			return
		}
		var err error
		if changed.signature, err = c.suite.SignWithLabel(c.rand, signer.signer, "GroupInfoTBS", changed.toBeSigned()); err != nil {
			t.Fatal(err)
		}
		c.useGroupInfo(t, joiner, marshal(&mlsMessage{wireFormat: WireFormatGroupInfo, groupInfo: &changed}), nil)
	})
}

// useGroupInfo has an observer and a joiner take a GroupInfo. Whoever can join
// by it could have observed.
func (c *crowd) useGroupInfo(t *testing.T, joiner *client, info, tree []byte) {
	t.Helper()
	_, observed := NewObserver(joiner.cfg, info, tree)
	pending, err := JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id, RatchetTree: tree})
	if err != nil {
		return
	}
	if observed != nil {
		t.Errorf("a GroupInfo that an observer refuses (%v) is good enough to join", observed)
	}
	restored, err := RestoreGroup(joiner.cfg, joiner.id.Signer, mustMarshal(t, pending.Group()))
	if err != nil {
		t.Fatalf("the state of who joined does not come back: %v", err)
	}
	wantEqual(t, "epoch authenticator", restored.EpochAuthenticator(), pending.Group().EpochAuthenticator())
}

// A hostile client signs any key package. Where that is good enough to be added,
// all members can live with it.
func FuzzAddKeyPackage(f *testing.F) {
	c := newCrowd(f, suite1, 2)
	for _, o := range []LeafOptions{{}, {Capabilities: Capabilities{Extensions: []ExtensionType{0xF000}}, Extensions: Extensions{{Type: 0xF000}}}} {
		k := c.invite(o).KeyPackage
		f.Add(marshal(k))
	}
	hostile := c.invited[0].id
	c.invited = nil
	before := mustMarshal(f, c.members[0].g)
	f.Fuzz(func(t *testing.T, encoded []byte) {
		c := *c
		c.t = t
		k := new(KeyPackage)
		if unmarshal(encoded, k) != nil {
			return
		}
		wantEqual(t, "key package", marshal(k), encoded)
		k.LeafNode.SignatureKey = must(encodedSignatureKey(c.suite, hostile.Signer))
		c.signKeyPackage(k, hostile, true)
		unverified, err := ParseKeyPackage(marshal(&mlsMessage{wireFormat: WireFormatKeyPackage, keyPackage: k}))
		if err != nil {
			t.Fatal(err)
		}
		verified, err := unverified.Verify(c.members[0].cfg)
		if err != nil {
			return
		}
		committer, err := RestoreGroup(c.members[0].cfg, c.members[0].id.Signer, before)
		if err != nil {
			t.Fatal(err)
		}
		pending, err := committer.Commit(CommitOptions{Proposals: []Proposal{&Add{KeyPackage: verified}}})
		if err != nil {
			wantEqual(t, "state", mustMarshal(t, committer), before)
			return
		}
		received, err := c.members[1].clone(t).Process(pending.Message())
		if err != nil {
			t.Fatalf("one member adds the key package, another refuses it: %v", err)
		}
		next := received.(*ReceivedCommit).Group()
		wantEqual(t, "epoch authenticator", next.EpochAuthenticator(), pending.Group().EpochAuthenticator())
		if _, err := next.GroupInfo(GroupInfoOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := mustParseTree(t, next.RatchetTree()).verifyMembers(c.suite, nil, nil); err != nil {
			t.Fatalf("nobody can join any more: %v", err)
		}
	})
}
