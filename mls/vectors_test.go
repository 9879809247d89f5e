package mls

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

type hexBytes = testvectors.Hex

// forEachVector runs check for each case of a vector file and asserts how many
// those are.
func forEachVector[T any](t *testing.T, file string, want int, suiteOf func(*T) ciphersuite.ID, check func(*testing.T, *ciphersuite.Suite, *T)) {
	var cases []T
	testvectors.Load(t, file, &cases)
	t.Run("vectors", func(t *testing.T) { // ends when parallel cases have
		for i := range cases {
			id := suiteOf(&cases[i])
			s, err := ciphersuite.Default().Lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("case %d of suite %d", i, uint16(id)), func(t *testing.T) { check(t, s, &cases[i]) })
		}
	})
	if len(cases) != want {
		t.Errorf("ran %d cases, want %d", len(cases), want)
	}
}

func wantEqual(t failer, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

func mustParseTree(t failer, data []byte) *ratchetTree {
	t.Helper()
	tree, err := parseTree(data)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func encodeTree(tree *ratchetTree) []byte {
	var w wire.Writer
	tree.encode(&w)
	return w.Data()
}

func mustUnmarshal(t failer, data []byte, v decoder) {
	t.Helper()
	if err := unmarshal(data, v); err != nil {
		t.Fatalf("decoding %T: %v", v, err)
	}
}

// The leaf of case 2 (an update) has a signature that does not verify, so the
// proposals are applied without the checks of a group.
func TestTreeOperationsVectors(t *testing.T) {
	type vector struct {
		Suite      ciphersuite.ID `json:"cipher_suite"`
		TreeBefore hexBytes       `json:"tree_before"`
		HashBefore hexBytes       `json:"tree_hash_before"`
		Proposal   hexBytes       `json:"proposal"`
		Sender     LeafIndex      `json:"proposal_sender"`
		TreeAfter  hexBytes       `json:"tree_after"`
		HashAfter  hexBytes       `json:"tree_hash_after"`
	}
	kinds := make(map[ProposalType]int)
	forEachVector(t, "tree-operations", 5, func(v *vector) ciphersuite.ID { return v.Suite },
		func(t *testing.T, s *ciphersuite.Suite, v *vector) {
			before := mustParseTree(t, v.TreeBefore)
			wantEqual(t, "tree hash before", before.rootHash(s), v.HashBefore)
			r := wire.NewReader(v.Proposal)
			proposal := readProposal(r)
			if err := r.Finish(); err != nil {
				t.Fatal(err)
			}
			kinds[proposal.ProposalType()]++
			after := before.clone()
			switch p := proposal.(type) {
			case *Add:
				after.add(&p.KeyPackage.LeafNode)
			case *Update:
				after.update(v.Sender, p.LeafNode)
			case *Remove:
				after.remove(p.Removed)
				after.truncate()
			default:
				t.Fatalf("proposal of type %v", p.ProposalType())
			}
			wantEqual(t, "tree after", encodeTree(after), v.TreeAfter)
			wantEqual(t, "tree hash after", after.rootHash(s), v.HashAfter)
			wantEqual(t, "original tree", encodeTree(before), v.TreeBefore)
			wantEqual(t, "original tree's hash", before.rootHash(s), v.HashBefore)
		})
	if want := map[ProposalType]int{ProposalAdd: 2, ProposalUpdate: 1, ProposalRemove: 2}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("proposals %v, want %v", kinds, want)
	}
}

func TestTreeValidationVectors(t *testing.T) {
	type vector struct {
		Suite       ciphersuite.ID         `json:"cipher_suite"`
		Tree        hexBytes               `json:"tree"`
		GroupID     hexBytes               `json:"group_id"`
		Resolutions [][]treemath.NodeIndex `json:"resolutions"`
		TreeHashes  []hexBytes             `json:"tree_hashes"`
	}
	forEachVector(t, "tree-validation", 98, func(v *vector) ciphersuite.ID { return v.Suite },
		func(t *testing.T, s *ciphersuite.Suite, v *vector) {
			tree := mustParseTree(t, v.Tree)
			if len(tree.nodes) != len(v.Resolutions) || len(tree.nodes) != len(v.TreeHashes) {
				t.Fatalf("%d nodes, want %d", len(tree.nodes), len(v.Resolutions))
			}
			for x := range tree.nodes {
				x := treemath.NodeIndex(x)
				if got := tree.resolution(x, nil); !slices.Equal(got, v.Resolutions[x]) {
					t.Errorf("resolution of node %d is %v, want %v", x, got, v.Resolutions[x])
				}
				wantEqual(t, fmt.Sprintf("tree hash of node %d", x), tree.treeHash(s, x), v.TreeHashes[x])
			}
			if err := tree.verifyIntegrity(s, v.GroupID); err != nil {
				t.Error(err)
			}
			wantEqual(t, "encoded tree", encodeTree(tree), v.Tree)
		})
}

func TestTreeKEMVectors(t *testing.T) {
	type vector struct {
		Suite          ciphersuite.ID `json:"cipher_suite"`
		GroupID        hexBytes       `json:"group_id"`
		Epoch          uint64         `json:"epoch"`
		TranscriptHash hexBytes       `json:"confirmed_transcript_hash"`
		Tree           hexBytes       `json:"ratchet_tree"`
		Leaves         []struct {
			Index          LeafIndex `json:"index"`
			EncryptionPriv hexBytes  `json:"encryption_priv"`
			SignaturePriv  hexBytes  `json:"signature_priv"`
			PathSecrets    []struct {
				Node   treemath.NodeIndex `json:"node"`
				Secret hexBytes           `json:"path_secret"`
			} `json:"path_secrets"`
		} `json:"leaves_private"`
		Paths []struct {
			Sender        LeafIndex  `json:"sender"`
			Path          hexBytes   `json:"update_path"`
			PathSecrets   []hexBytes `json:"path_secrets"`
			CommitSecret  hexBytes   `json:"commit_secret"`
			TreeHashAfter hexBytes   `json:"tree_hash_after"`
		} `json:"update_paths"`
	}
	var paths atomic.Int32
	forEachVector(t, "treekem", 77, func(v *vector) ciphersuite.ID { return v.Suite },
		func(t *testing.T, s *ciphersuite.Suite, v *vector) {
			t.Parallel()
			before := mustParseTree(t, v.Tree)
			private := make(map[LeafIndex]privateKeys)
			identities := make(map[LeafIndex]*Identity)
			for _, l := range v.Leaves {
				key, err := s.ParseHPKEPrivateKey(l.EncryptionPriv)
				if err != nil {
					t.Fatal(err)
				}
				keys := privateKeys{leafPosition(l.Index): newSharedKey(key)}
				for _, p := range l.PathSecrets {
					path := pathSecrets{suite: s, secret: bytes.Clone(p.Secret)}
					key, err := path.next()
					if err != nil {
						t.Fatal(err)
					}
					keys[p.Node] = newSharedKey(key)
				}
				for x, key := range keys {
					wantEqual(t, fmt.Sprintf("public key of node %d at leaf %d", x, l.Index), key.PublicKey(), before.nodes[x].encryptionKey())
				}
				signer, err := s.ParseSigner(l.SignaturePriv)
				if err != nil {
					t.Fatal(err)
				}
				private[l.Index] = keys
				identities[l.Index] = &Identity{Credential: before.leafNode(l.Index).Credential, Signer: signer}
			}
			context := func(after *ratchetTree) []byte {
				return marshal(&groupContext{
					cipherSuite:             s.ID(),
					groupID:                 v.GroupID,
					epoch:                   v.Epoch,
					treeHash:                after.rootHash(s),
					confirmedTranscriptHash: v.TranscriptHash,
				})
			}
			receive := func(sender LeafIndex, path *updatePath, commitSecret []byte, secretOf func(LeafIndex) []byte) *ratchetTree {
				t.Helper()
				after := before.clone()
				steps, err := after.applyPath(s, sender, path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := after.verifyParentHashes(s); err != nil {
					t.Error(err)
				}
				for j := range before.leaves {
					if j == sender {
						continue
					}
					derived, got, err := after.decryptPath(s, j, private[j], path, steps, nil, context(after))
					if err != nil {
						t.Errorf("leaf %d processes the path of %d: %v", j, sender, err)
						continue
					}
					wantEqual(t, fmt.Sprintf("commit secret at leaf %d", j), got, commitSecret)
					if secretOf == nil {
						continue
					}
					lowest := treemath.CommonAncestor(treemath.LeafIndex(j), treemath.LeafIndex(sender))
					want := pathSecrets{suite: s, secret: bytes.Clone(secretOf(j))}
					key, err := want.next()
					if err != nil {
						t.Fatal(err)
					}
					wantEqual(t, fmt.Sprintf("key of node %d at leaf %d", lowest, j), derived[lowest].Bytes(), key.Bytes())
				}
				return after
			}
			for _, p := range v.Paths {
				paths.Add(1)
				var path updatePath
				mustUnmarshal(t, p.Path, &path)
				after := receive(p.Sender, &path, p.CommitSecret, func(j LeafIndex) []byte { return p.PathSecrets[j] })
				wantEqual(t, "tree hash after", after.rootHash(s), p.TreeHashAfter)

				own := before.clone()
				leaf := *before.leafNode(p.Sender)
				created, err := own.createPath(s, rand.Reader, p.Sender, &leaf, identities[p.Sender], v.GroupID)
				if err != nil {
					t.Fatal(err)
				}
				sent, err := own.encryptPath(s, rand.Reader, created, nil, context(own))
				if err != nil {
					t.Fatal(err)
				}
				after = receive(p.Sender, sent, created.commitSecret, nil)
				wantEqual(t, "receivers' tree", encodeTree(after), encodeTree(own))
				if err := own.leafNode(p.Sender).verifySignature(s, v.GroupID, p.Sender); err != nil {
					t.Error(err)
				}
			}
			wantEqual(t, "original tree", encodeTree(before), v.Tree)
		})
	if n := paths.Load(); n != 434 {
		t.Errorf("%d paths, want 434", n)
	}
}

func TestMessageProtectionVectors(t *testing.T) {
	type vector struct {
		Suite            ciphersuite.ID `json:"cipher_suite"`
		GroupID          hexBytes       `json:"group_id"`
		Epoch            uint64         `json:"epoch"`
		TreeHash         hexBytes       `json:"tree_hash"`
		TranscriptHash   hexBytes       `json:"confirmed_transcript_hash"`
		SignaturePriv    hexBytes       `json:"signature_priv"`
		SignaturePub     hexBytes       `json:"signature_pub"`
		EncryptionSecret hexBytes       `json:"encryption_secret"`
		SenderDataSecret hexBytes       `json:"sender_data_secret"`
		MembershipKey    hexBytes       `json:"membership_key"`
		Proposal         hexBytes       `json:"proposal"`
		ProposalPub      hexBytes       `json:"proposal_pub"`
		ProposalPriv     hexBytes       `json:"proposal_priv"`
		Commit           hexBytes       `json:"commit"`
		CommitPub        hexBytes       `json:"commit_pub"`
		CommitPriv       hexBytes       `json:"commit_priv"`
		Application      hexBytes       `json:"application"`
		ApplicationPriv  hexBytes       `json:"application_priv"`
	}
	forEachVector(t, "message-protection", 7, func(v *vector) ciphersuite.ID { return v.Suite },
		func(t *testing.T, s *ciphersuite.Suite, v *vector) {
			signer, err := s.ParseSigner(v.SignaturePriv)
			if err != nil {
				t.Fatal(err)
			}
			member := func(own LeafIndex) *Group {
				cfg := &Config{Rand: rand.Reader, Padding: func(n int) int { return n % 7 }, proposals: builtinProposals}
				g := &Group{
					publicState: publicState{
						cfg:   cfg,
						suite: s,
						tree: &ratchetTree{size: 2, nodes: []node{
							{leaf: &LeafNode{}}, {}, {leaf: &LeafNode{SignatureKey: v.SignaturePub}},
						}},
						context: groupContext{
							cipherSuite:             s.ID(),
							groupID:                 v.GroupID,
							epoch:                   v.Epoch,
							treeHash:                v.TreeHash,
							confirmedTranscriptHash: v.TranscriptHash,
						},
					},
					signer:  signer,
					own:     own,
					epoch:   &keysched.Epoch{SenderDataSecret: v.SenderDataSecret, MembershipKey: v.MembershipKey},
					secrets: secrettree.New(s, v.EncryptionSecret, 2, secrettree.Limits{}),
				}
				g.encodedContext = marshal(&g.context)
				return g
			}
			open := func(message []byte, kind ContentType) *authenticatedContent {
				t.Helper()
				var m mlsMessage
				mustUnmarshal(t, message, &m)
				a, key, err := member(0).unprotect(&m)
				if err != nil {
					t.Fatalf("%v in a %v: %v", kind, m.wireFormat, err)
				}
				if key != nil {
					key.Consume()
				}
				if a.content.contentType != kind || a.content.sender != (Sender{Type: SenderMember, Leaf: 1}) {
					t.Errorf("%v from %v, want %v from leaf 1", a.content.contentType, a.content.sender, kind)
				}
				return a.authenticatedContent
			}
			body := func(a *authenticatedContent) []byte {
				var w wire.Writer
				a.content.encodeBody(&w)
				return w.Data()
			}
			var application wire.Writer
			application.Opaque(v.Application)
			for _, c := range []struct {
				kind    ContentType
				raw     []byte
				public  []byte
				private []byte
			}{
				{ContentProposal, v.Proposal, v.ProposalPub, v.ProposalPriv},
				{ContentCommit, v.Commit, v.CommitPub, v.CommitPriv},
				{ContentApplication, application.Data(), nil, v.ApplicationPriv},
			} {
				wantEqual(t, c.kind.String(), body(open(c.private, c.kind)), c.raw)
				if c.public != nil {
					wantEqual(t, c.kind.String(), body(open(c.public, c.kind)), c.raw)
				}
				for _, format := range []WireFormat{WireFormatPublicMessage, WireFormatPrivateMessage} {
					sender := member(1)
					a := sender.newContent(c.kind, format, []byte("authenticated data"))
					r := wire.NewReader(c.raw)
					a.content.decodeBody(r)
					if err := r.Finish(); err != nil {
						t.Fatal(err)
					}
					if c.kind == ContentCommit {
						a.auth.confirmationTag = make([]byte, s.HashSize())
					}
					message, err := sender.signAndProtect(a)
					if c.kind == ContentApplication && format == WireFormatPublicMessage {
						wantCheck(t, err, CheckApplicationPrivate)
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					wantEqual(t, c.kind.String()+" of our own", body(open(message, c.kind)), c.raw)
				}
			}
		})
}

// Every structure decodes, and encodes to the same octets again.
func TestMessagesVectors(t *testing.T) {
	var cases []map[string]hexBytes
	testvectors.Load(t, "messages", &cases)
	type codec interface {
		encoder
		decoder
	}
	message := func() codec { return new(mlsMessage) }
	structures := map[string]func() codec{
		"mls_welcome":                       message,
		"mls_group_info":                    message,
		"mls_key_package":                   message,
		"ratchet_tree":                      func() codec { return new(ratchetTree) },
		"group_secrets":                     func() codec { return new(groupSecrets) },
		"add_proposal":                      func() codec { return new(Add) },
		"update_proposal":                   func() codec { return new(Update) },
		"remove_proposal":                   func() codec { return new(Remove) },
		"pre_shared_key_proposal":           func() codec { return new(PreSharedKey) },
		"re_init_proposal":                  func() codec { return new(ReInit) },
		"external_init_proposal":            func() codec { return new(ExternalInit) },
		"group_context_extensions_proposal": func() codec { return new(GroupContextExtensions) },
		"commit":                            func() codec { return new(commit) },
		"public_message_application":        message,
		"public_message_proposal":           message,
		"public_message_commit":             message,
		"private_message":                   message,
	}
	for i, c := range cases {
		if len(c) != len(structures) {
			t.Fatalf("case %d has %d structures, want %d", i, len(c), len(structures))
		}
		for name, data := range c {
			empty, ok := structures[name]
			if !ok {
				t.Fatalf("case %d: unknown structure %q", i, name)
			}
			v := empty()
			if err := unmarshal(data, v); err != nil {
				t.Errorf("case %d: %s: %v", i, name, err)
				continue
			}
			wantEqual(t, fmt.Sprintf("case %d: %s", i, name), marshal(v), data)
			if m, ok := v.(*mlsMessage); ok && (m.publicMessage != nil || m.privateMessage != nil) {
				if h, err := ParseHeader(data); err != nil || h.WireFormat != m.wireFormat {
					t.Errorf("case %d: %s: header %+v, %v", i, name, h, err)
				}
			}
		}
	}
	if len(cases) != 300 {
		t.Errorf("%d cases, want 300", len(cases))
	}
}

func TestWelcomeVectors(t *testing.T) {
	type vector struct {
		Suite      ciphersuite.ID `json:"cipher_suite"`
		InitPriv   hexBytes       `json:"init_priv"`
		SignerPub  hexBytes       `json:"signer_pub"`
		KeyPackage hexBytes       `json:"key_package"`
		Welcome    hexBytes       `json:"welcome"`
	}
	forEachVector(t, "welcome", 7, func(v *vector) ciphersuite.ID { return v.Suite },
		func(t *testing.T, s *ciphersuite.Suite, v *vector) {
			unverified, err := ParseKeyPackage(v.KeyPackage)
			if err != nil {
				t.Fatal(err)
			}
			k := unverified.keyPackage
			initKey, err := s.ParseHPKEPrivateKey(v.InitPriv)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "init key", initKey.PublicKey(), k.InitKey)
			var m mlsMessage
			mustUnmarshal(t, v.Welcome, &m)
			secrets, err := m.welcome.openSecrets(s, &KeyPackageBundle{keyPackage: k, initKey: initKey})
			if err != nil {
				t.Fatal(err)
			}
			if len(secrets.psks) != 0 {
				t.Fatalf("%d PSKs, want none", len(secrets.psks))
			}
			info, err := m.welcome.openGroupInfo(s, secrets.joinerSecret, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyWithLabel(v.SignerPub, "GroupInfoTBS", info.toBeSigned(), info.signature); err != nil {
				t.Error(err)
			}
			epoch := keysched.NewEpoch(s, secrets.joinerSecret, nil, marshal(&info.context))
			wantEqual(t, "confirmation tag", keysched.ConfirmationTag(s, epoch.ConfirmationKey, info.context.confirmedTranscriptHash), info.confirmationTag)
		})
}

func TestTranscriptHashesVectors(t *testing.T) {
	type vector struct {
		Suite           ciphersuite.ID `json:"cipher_suite"`
		ConfirmationKey hexBytes       `json:"confirmation_key"`
		Content         hexBytes       `json:"authenticated_content"`
		InterimBefore   hexBytes       `json:"interim_transcript_hash_before"`
		ConfirmedAfter  hexBytes       `json:"confirmed_transcript_hash_after"`
		InterimAfter    hexBytes       `json:"interim_transcript_hash_after"`
	}
	forEachVector(t, "transcript-hashes", 7, func(v *vector) ciphersuite.ID { return v.Suite },
		func(t *testing.T, s *ciphersuite.Suite, v *vector) {
			var a authenticatedContent
			mustUnmarshal(t, v.Content, &a)
			wantEqual(t, "encoded content", marshal(&a), v.Content)
			if a.content.commit == nil {
				t.Fatalf("content is %v, want a commit", a.content.contentType)
			}
			confirmed := keysched.ConfirmedTranscriptHash(s, v.InterimBefore, a.confirmedTranscriptHashInput())
			wantEqual(t, "confirmed transcript hash", confirmed, v.ConfirmedAfter)
			wantEqual(t, "confirmation tag", keysched.ConfirmationTag(s, v.ConfirmationKey, confirmed), a.auth.confirmationTag)
			g := &publicState{suite: s, context: groupContext{confirmedTranscriptHash: confirmed}}
			g.setConfirmationTag(a.auth.confirmationTag)
			wantEqual(t, "interim transcript hash", g.interimTranscriptHash, v.InterimAfter)
		})
}
