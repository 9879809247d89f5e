package mls

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/internal/wire"
)

// vectorSeeds returns some structures of the official vectors by name.
func vectorSeeds(f *testing.F) map[string][]hexBytes {
	var cases []map[string]hexBytes
	testvectors.Load(f, "messages", &cases)
	seeds := make(map[string][]hexBytes)
	for _, c := range cases[:4] {
		for name, data := range c {
			if len(data) < 4096 {
				seeds[name] = append(seeds[name], data)
			}
		}
	}
	return seeds
}

// What decodes encodes to the same octets: there is one encoding of a message.
func FuzzMessage(f *testing.F) {
	for name, list := range vectorSeeds(f) {
		for _, data := range list {
			if name == "private_message" || bytes.HasPrefix([]byte(name), []byte("mls_")) || bytes.HasPrefix([]byte(name), []byte("public_")) {
				f.Add([]byte(data))
			}
		}
	}
	for _, send := range newTargetedCrowd(f, suite1, 3).members[0].g.targetedSenders() {
		f.Add(must(send()))
	}
	c := emptyCrowd(f, suite1)
	joiner := c.newClient()
	last, err := NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: suite1, Identity: joiner.id, LastResort: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(last.Message())
	for _, message := range oneSignatureMessages(newOneSignatureCrowd(f, suite1, 3)) {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m mlsMessage
		if unmarshal(data, &m) != nil {
			return
		}
		if m.publicMessage != nil {
			m.publicMessage.content.body = nil // it is to be encoded anew
		}
		wantEqual(t, "encoded message", marshal(&m), data)
		h, err := ParseHeader(data)
		if (err == nil) != (m.publicMessage != nil || m.privateMessage != nil || m.targetedMessage != nil || m.multiTargetedMessage != nil) {
			t.Errorf("header %+v, %v", h, err)
		}
		if k, err := ParseKeyPackage(data); (err == nil) != (m.keyPackage != nil) {
			t.Errorf("key package %+v, %v", k, err)
		} else if err == nil {
			if marked, err := k.keyPackage.LastResort(); marked && err != nil {
				t.Errorf("of last resort, %v", err)
			}
		}
	})
}

func FuzzParseTree(f *testing.F) {
	for _, data := range vectorSeeds(f)["ratchet_tree"] {
		f.Add([]byte(data))
	}
	c := newCrowd(f, suite1, 3)
	f.Add(c.members[0].g.RatchetTree())
	c.commit(2, CommitOptions{})
	f.Add(c.members[0].g.RatchetTree())
	c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 1}}})
	f.Add(c.members[0].g.RatchetTree())
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := parseTree(data)
		if err != nil {
			return
		}
		wantEqual(t, "encoded tree", encodeTree(tree), data)
		if len(tree.nodes) > 2*len(data) || len(tree.nodes) != int(tree.size.Nodes()) {
			t.Errorf("%d nodes out of %d octets", len(tree.nodes), len(data))
		}
		// A hostile tree gets as far as this before anything is known of it.
		tree.rootHash(c.suite)
		_ = tree.verifyIntegrity(c.suite, []byte("group"), nil)
		_ = tree.verifyMembers(c.suite, nil, nil)
	})
}

func FuzzRestoreGroup(f *testing.F) {
	c := newCrowd(f, suite1, 3)
	m := c.members[1]
	f.Add(mustMarshal(f, m.g))
	if _, err := m.g.Protect(nil, nil); err != nil {
		f.Fatal(err)
	}
	c.proposeUpdate(1, LeafChanges{})
	c.propose(0, &Remove{Removed: 2})
	f.Add(mustMarshal(f, m.g))
	c.commit(0, CommitOptions{})
	c.checkMessages()
	m.g.EraseExporterSecret()
	f.Add(mustMarshal(f, m.g))
	f.Fuzz(func(t *testing.T, state []byte) {
		g, err := RestoreGroup(m.cfg, m.id.Signer, state)
		if err != nil {
			return
		}
		again, err := RestoreGroup(m.cfg, m.id.Signer, mustMarshal(t, g))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "state", mustMarshal(t, again), mustMarshal(t, g))
	})
}

func FuzzProcess(f *testing.F) {
	c := emptyCrowd(f, suite1)
	c.configure = func(cfg *Config) { cfg.TargetedMessages, cfg.OneSignature = true, true }
	c.found(GroupOptions{})
	c.add(0, 2)
	for _, message := range slices.Concat(exampleMessages(c), oneSignatureMessages(c)) {
		f.Add(message)
	}
	for _, send := range c.members[0].g.targetedSenders() {
		f.Add(must(send()))
	}
	before := mustMarshal(f, c.members[1].g)
	f.Fuzz(func(t *testing.T, message []byte) {
		g, err := RestoreGroup(c.members[1].cfg, c.members[1].id.Signer, before)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Process(message); err != nil {
			wantEqual(t, "state", mustMarshal(t, g), before)
		}
	})
}

// exampleMessages returns messages of member 0 to member 1 of every kind.
func exampleMessages(c *crowd) [][]byte {
	c.t.Helper()
	add := c.invite(LeafOptions{})
	c.invited = nil
	var messages [][]byte
	keep := func(message []byte, err error) {
		if err != nil {
			c.t.Fatal(err)
		}
		messages = append(messages, message)
	}
	g := c.members[0].clone(c.t)
	keep(g.Protect([]byte("data"), []byte("more")))
	for _, format := range []WireFormat{WireFormatPublicMessage, WireFormatPrivateMessage} {
		for _, p := range []Proposal{
			add, &Remove{Removed: 2}, &GroupContextExtensions{}, &ReInit{Version: MLS10, CipherSuite: suite1},
			c.applicationPSK(0x8001, "key"),
		} {
			keep(g.Propose(p, ProposeOptions{WireFormat: format}))
		}
		keep(g.ProposeUpdate(LeafChanges{}, ProposeOptions{WireFormat: format}))
		pending, err := g.Commit(CommitOptions{Proposals: []Proposal{add}, WithoutPending: true, WireFormat: format})
		if err != nil {
			c.t.Fatal(err)
		}
		keep(pending.Message(), nil)
	}
	message, _ := c.externalCommit(nil, nil)
	keep(message, nil)
	return messages
}

// A hostile member signs anything that decodes.
func FuzzProcessSignedContent(f *testing.F) {
	c := newCrowd(f, suite1, 3)
	for _, message := range exampleMessages(c) {
		var m mlsMessage
		mustUnmarshal(f, message, &m)
		if m.publicMessage == nil || m.publicMessage.content.sender.Type != SenderMember {
			continue
		}
		var body wire.Writer
		m.publicMessage.content.encodeBody(&body)
		f.Add(uint8(m.publicMessage.content.contentType), body.Data())
	}
	before := mustMarshal(f, c.members[1].g)
	f.Fuzz(func(t *testing.T, contentType uint8, body []byte) {
		g, err := RestoreGroup(c.members[1].cfg, c.members[1].id.Signer, before)
		if err != nil {
			t.Fatal(err)
		}
		sender := c.members[0].g
		a := sender.newContent(ContentType(contentType), WireFormatPublicMessage, nil)
		r := wire.NewReader(body)
		a.content.decodeBody(r)
		if r.Finish() != nil || a.content.proposal == nil && a.content.commit == nil {
			return
		}
		a.auth.confirmationTag = make([]byte, c.suite.HashSize())
		message, err := sender.signAndProtect(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Process(message); err != nil {
			wantEqual(t, "state", mustMarshal(t, g), before)
		}
	})
}

func FuzzJoin(f *testing.F) {
	c := newCrowd(f, suite1, 2)
	add := c.invite(LeafOptions{})
	joiner := c.invited[0]
	for _, withoutTree := range []bool{false, true} {
		pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{add}, WithoutTree: withoutTree})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pending.Welcome(), pending.RatchetTree())
	}
	initKey, encryptionKey := joiner.bundle.initKey.Bytes(), joiner.bundle.encryptionKey.Bytes()
	f.Fuzz(func(t *testing.T, welcome, tree []byte) {
		b := &KeyPackageBundle{keyPackage: joiner.bundle.keyPackage, identity: joiner.id}
		var err error
		if b.initKey, err = c.suite.ParseHPKEPrivateKey(initKey); err != nil {
			t.Fatal(err)
		}
		if b.encryptionKey, err = c.suite.ParseHPKEPrivateKey(encryptionKey); err != nil {
			t.Fatal(err)
		}
		g, err := Join(joiner.cfg, welcome, b, JoinOptions{RatchetTree: tree})
		if err != nil {
			if b.initKey.Bytes() == nil || b.encryptionKey.Bytes() == nil {
				t.Errorf("the key package is used up by a failure: %v", err)
			}
			return
		}
		if g.OwnLeaf() != 2 {
			t.Errorf("own leaf is %d", g.OwnLeaf())
		}
	})
}

// A hostile inviter encrypts what it likes to the new member.
func FuzzJoinWithGroupInfo(f *testing.F) {
	c := newCrowd(f, suite1, 2)
	add := c.invite(LeafOptions{})
	joiner := c.invited[0]
	for _, omitPath := range []bool{false, true} {
		pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{add}, OmitPath: omitPath})
		if err != nil {
			f.Fatal(err)
		}
		var m mlsMessage
		mustUnmarshal(f, pending.Welcome(), &m)
		secrets, err := m.welcome.openSecrets(c.suite, joiner.bundle)
		if err != nil {
			f.Fatal(err)
		}
		info, err := m.welcome.openGroupInfo(c.suite, secrets.joinerSecret, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(marshal(secrets), marshal(info))
	}
	f.Fuzz(func(t *testing.T, encodedSecrets, encodedInfo []byte) {
		var secrets groupSecrets
		var info groupInfo
		if unmarshal(encodedSecrets, &secrets) != nil || unmarshal(encodedInfo, &info) != nil {
			return
		}
		wantEqual(t, "group secrets", marshal(&secrets), encodedSecrets)
		wantEqual(t, "group info", marshal(&info), encodedInfo)
		state, err := info.verify(c.members[0].g.cfg, c.suite, nil, nil)
		if err != nil {
			return
		}
		own, err := ownLeafIn(state.tree, &joiner.bundle.keyPackage.LeafNode)
		if err != nil {
			return
		}
		g := &Group{publicState: *state, own: own}
		if err := g.derivePathKeys(info.signer, secrets.pathSecret); err != nil && len(g.keys) > 0 {
			t.Error(fmt.Errorf("keys are left: %w", err))
		}
	})
}
