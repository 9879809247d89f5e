package mls

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// This file gives package conformance what it checks against test vectors, and
// cannot reach through the API.

func init() {
	hooks.MLS = hooks.Internals{
		GroupContext:     encodeBareContext,
		Reencode:         reencode,
		PSKSecret:        externalPSKSecret,
		ApplicationPSKs:  applicationPSKs,
		CommitTranscript: commitTranscript,
		OpenWelcome:      openWelcome,
		ParseTree:        parseVectorTree,
		NewMember:        newVectorMember,
		Bundle:           newVectorBundle,
		WelcomeLifetime:  welcomeLifetime,
		BundleKeys: func(bundle any) (initKey, encryptionKey []byte) {
			b := bundle.(*KeyPackageBundle)
			return b.initKey.Bytes(), b.encryptionKey.Bytes()
		},
		LeafNode:    func(bundle any) []byte { return marshal(&bundle.(*KeyPackageBundle).keyPackage.LeafNode) },
		NewTargeted: newVectorTargeted,
	}
}

func encodeBareContext(suite ciphersuite.ID, groupID []byte, epoch uint64, treeHash, confirmedTranscriptHash []byte) []byte {
	return marshal(&groupContext{
		cipherSuite: suite, groupID: groupID, epoch: epoch, treeHash: treeHash, confirmedTranscriptHash: confirmedTranscriptHash,
	})
}

// codec is a struct that reads and writes itself.
type codec interface {
	encoder
	decoder
}

var structures = map[string]func() codec{
	"MLSMessage":             func() codec { return new(mlsMessage) },
	"RatchetTree":            func() codec { return new(ratchetTree) },
	"GroupSecrets":           func() codec { return new(groupSecrets) },
	"Add":                    func() codec { return new(Add) },
	"Update":                 func() codec { return new(Update) },
	"Remove":                 func() codec { return new(Remove) },
	"PreSharedKey":           func() codec { return new(PreSharedKey) },
	"ReInit":                 func() codec { return new(ReInit) },
	"ExternalInit":           func() codec { return new(ExternalInit) },
	"GroupContextExtensions": func() codec { return new(GroupContextExtensions) },
	"Commit":                 func() codec { return new(commit) },
}

func reencode(structure string, data []byte) ([]byte, error) {
	v := structures[structure]()
	if err := unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("mls: decoding %s: %w", structure, err)
	}
	if m, ok := v.(*mlsMessage); ok && m.publicMessage != nil {
		m.publicMessage.content.body = nil // it is to be encoded anew
	}
	return marshal(v), nil
}

func externalPSKSecret(s *ciphersuite.Suite, psks []hooks.ExternalPSK) ([]byte, error) {
	ids := make([]PreSharedKeyID, len(psks))
	for i, psk := range psks {
		ids[i] = PreSharedKeyID{Type: PSKExternal, ID: psk.ID, Nonce: psk.Nonce}
	}
	return combineVectorPSKs(s, ids, func(i int) []byte { return psks[i].Secret })
}

func applicationPSKs(s *ciphersuite.Suite, psks []hooks.ApplicationPSK) (encoded [][]byte, pskSecret []byte, err error) {
	ids := make([]PreSharedKeyID, len(psks))
	for i, psk := range psks {
		ids[i] = PreSharedKeyID{Type: PSKApplication, Component: ComponentID(psk.Component), ID: psk.ID, Nonce: psk.Nonce}
		encoded = append(encoded, marshal(&ids[i]))
	}
	pskSecret, err = combineVectorPSKs(s, ids, func(i int) []byte { return psks[i].Secret })
	return encoded, pskSecret, err
}

func combineVectorPSKs(s *ciphersuite.Suite, ids []PreSharedKeyID, secret func(i int) []byte) ([]byte, error) {
	next := 0 // the PSKs are asked for in order, and two may have one ID
	cfg := &Config{PSK: func(PreSharedKeyID) ([]byte, error) {
		next++
		return secret(next - 1), nil
	}}
	return combinePSKs(cfg, s, ids, func(*PreSharedKeyID) []byte { return nil })
}

func commitTranscript(data []byte) (input, confirmationTag []byte, err error) {
	var a authenticatedContent
	if err := unmarshal(data, &a); err != nil {
		return nil, nil, fmt.Errorf("mls: decoding AuthenticatedContent: %w", err)
	}
	if a.content.commit == nil {
		return nil, nil, fmt.Errorf("mls: content is %v, want %v", a.content.contentType, ContentCommit)
	}
	return a.confirmedTranscriptHashInput(), a.auth.confirmationTag, nil
}

func openWelcome(s *ciphersuite.Suite, keyPackage []byte, initKey *ciphersuite.HPKEPrivateKey, message []byte) (*hooks.OpenedWelcome, error) {
	u, err := ParseKeyPackage(keyPackage)
	if err != nil {
		return nil, err
	}
	k := u.keyPackage
	var m mlsMessage
	if err := unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a Welcome: %w", err)
	}
	w := m.welcome
	switch {
	case w == nil:
		return nil, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatWelcome)
	case k.CipherSuite != s.ID() || w.cipherSuite != s.ID():
		return nil, fmt.Errorf("mls: key package for suite %v and Welcome for %v, want %v", k.CipherSuite, w.cipherSuite, s.ID())
	case !bytes.Equal(initKey.PublicKey(), k.InitKey):
		return nil, fmt.Errorf("mls: not the init key of the key package")
	}
	secrets, err := w.openSecrets(s, &KeyPackageBundle{keyPackage: k, initKey: initKey})
	if err != nil {
		return nil, err
	}
	if len(secrets.psks) > 0 {
		return nil, fmt.Errorf("mls: Welcome with %d PSKs, want none", len(secrets.psks))
	}
	info, err := w.openGroupInfo(s, secrets.joinerSecret, nil)
	if err != nil {
		return nil, err
	}
	return &hooks.OpenedWelcome{
		JoinerSecret:            secrets.joinerSecret,
		GroupContext:            marshal(&info.context),
		ConfirmedTranscriptHash: info.context.confirmedTranscriptHash,
		ConfirmationTag:         info.confirmationTag,
		ToBeSigned:              info.toBeSigned(),
		Signature:               info.signature,
	}, nil
}

func newVectorBundle(s *ciphersuite.Suite, keyPackage []byte, initKey, encryptionKey *ciphersuite.HPKEPrivateKey, signer crypto.Signer) (any, error) {
	u, err := ParseKeyPackage(keyPackage)
	if err != nil {
		return nil, err
	}
	signatureKey, err := s.SignaturePublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	k := u.keyPackage
	if !bytes.Equal(signatureKey, k.LeafNode.SignatureKey) ||
		!bytes.Equal(initKey.PublicKey(), k.InitKey) ||
		!bytes.Equal(encryptionKey.PublicKey(), k.LeafNode.EncryptionKey) {
		return nil, fmt.Errorf("mls: private and public keys of the key package do not belong together")
	}
	return &KeyPackageBundle{
		keyPackage: k, initKey: initKey, encryptionKey: encryptionKey,
		identity: Identity{Credential: k.LeafNode.Credential, Signer: signer},
	}, nil
}

func welcomeLifetime(config, bundle any, message, ratchetTree []byte) (notBefore, notAfter uint64, err error) {
	cfg, err := config.(*Config).withDefaults()
	if err != nil {
		return 0, 0, err
	}
	b := bundle.(*KeyPackageBundle)
	s, err := cfg.Suites.Lookup(b.keyPackage.CipherSuite)
	if err != nil {
		return 0, 0, err
	}
	var m mlsMessage
	if err := cfg.unmarshal(message, &m); err != nil {
		return 0, 0, fmt.Errorf("mls: parsing a Welcome: %w", err)
	}
	if m.welcome == nil {
		return 0, 0, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatWelcome)
	}
	secrets, err := m.welcome.openSecrets(s, b)
	if err != nil {
		return 0, 0, err
	}
	pskSecret, err := combinePSKs(cfg, s, secrets.psks, func(*PreSharedKeyID) []byte { return nil })
	if err != nil {
		return 0, 0, err
	}
	info, err := m.welcome.openGroupInfo(s, secrets.joinerSecret, pskSecret)
	if err != nil {
		return 0, 0, err
	}
	tree, err := info.tree(ratchetTree)
	if err != nil {
		return 0, 0, err
	}
	notAfter = math.MaxUint64
	for _, leaf := range tree.leaves {
		if leaf.Source == LeafNodeSourceKeyPackage {
			notBefore, notAfter = max(notBefore, leaf.Lifetime.NotBefore), min(notAfter, leaf.Lifetime.NotAfter)
		}
	}
	return notBefore, notAfter, nil
}

// vectorTree is a [hooks.Tree].
type vectorTree struct{ tree *ratchetTree }

func parseVectorTree(data []byte) (hooks.Tree, error) {
	t, err := parseTree(data)
	if err != nil {
		return nil, err
	}
	return vectorTree{t}, nil
}

func (t vectorTree) Encode() []byte { return marshal(t.tree) }
func (t vectorTree) Nodes() int     { return len(t.tree.nodes) }

func (t vectorTree) Members() []uint32 {
	var members []uint32
	for i := range t.tree.leaves {
		members = append(members, uint32(i))
	}
	return members
}

func (t vectorTree) Leaf(leaf uint32) []byte { return marshal(t.tree.leafNode(LeafIndex(leaf))) }

func (t vectorTree) PublicKey(x treemath.NodeIndex) []byte {
	if !t.tree.size.Contains(x) || t.tree.nodes[x].blank() {
		return nil
	}
	return t.tree.nodes[x].encryptionKey()
}

func (t vectorTree) Resolution(x treemath.NodeIndex) []treemath.NodeIndex {
	return t.tree.resolution(x, nil)
}

func (t vectorTree) TreeHash(s *ciphersuite.Suite, x treemath.NodeIndex) []byte {
	return t.tree.treeHash(s, x)
}

func (t vectorTree) RootHash(s *ciphersuite.Suite) []byte { return t.tree.rootHash(s) }

func (t vectorTree) Verify(s *ciphersuite.Suite, groupID []byte) error {
	return t.tree.verifyIntegrity(s, groupID, nil)
}

func (t vectorTree) Apply(sender uint32, proposal []byte) (hooks.Tree, error) {
	r := wire.NewReader(bytes.Clone(proposal))
	decoded := readProposal(r)
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("mls: decoding a proposal: %w", err)
	}
	after := t.tree.clone()
	switch p := decoded.(type) {
	case *Add:
		after.add(&p.KeyPackage.LeafNode)
	case *Update:
		if after.leafNode(LeafIndex(sender)) == nil {
			return nil, ErrNoSuchMember
		}
		after.update(LeafIndex(sender), p.LeafNode)
	case *Remove:
		if after.leafNode(p.Removed) == nil {
			return nil, ErrNoSuchMember
		}
		after.remove(p.Removed)
		after.truncate()
	default:
		return nil, fmt.Errorf("mls: proposal of type %v: %w", p.ProposalType(), ErrUnsupported)
	}
	return vectorTree{after}, nil
}

func (t vectorTree) ReceivePath(s *ciphersuite.Suite, sender uint32, updatePathBytes []byte) (*hooks.ReceivedPath, error) {
	var path updatePath
	if err := unmarshal(updatePathBytes, &path); err != nil {
		return nil, fmt.Errorf("mls: decoding an UpdatePath: %w", err)
	}
	i := LeafIndex(sender)
	if t.tree.leafNode(i) == nil {
		return nil, ErrNoSuchMember
	}
	after := t.tree.clone()
	steps, err := after.applyPath(s, i, &path, nil)
	if err != nil {
		return nil, err
	}
	if err := after.verifyParentHashes(s); err != nil {
		return nil, err
	}
	open := func(leaf uint32, keys hooks.PrivateKeys, context []byte) (hooks.PrivateKeys, []byte, error) {
		var own privateKeys
		for x, key := range keys {
			own.put(x, newSharedKey(key))
		}
		derived, commitSecret, err := after.decryptPath(s, LeafIndex(leaf), own, &path, steps, nil, context)
		if err != nil {
			return nil, nil, err
		}
		out := make(hooks.PrivateKeys, len(derived))
		for _, held := range derived {
			out[held.node] = held.key.HPKEPrivateKey
		}
		return out, commitSecret, nil
	}
	return &hooks.ReceivedPath{Tree: vectorTree{after}, Open: open}, nil
}

func (t vectorTree) CreatePath(s *ciphersuite.Suite, rand io.Reader, sender uint32, signer crypto.Signer, groupID []byte, context func(hooks.Tree) []byte) (*hooks.CreatedPath, error) {
	i := LeafIndex(sender)
	old := t.tree.leafNode(i)
	if old == nil {
		return nil, ErrNoSuchMember
	}
	leaf, after := *old, vectorTree{t.tree.clone()}
	p, err := after.tree.createPath(s, rand, i, &leaf, &Identity{Credential: old.Credential, Signer: signer}, groupID)
	if err != nil {
		return nil, err
	}
	u, err := after.tree.encryptPath(s, rand, p, nil, context(after))
	if err != nil {
		return nil, err
	}
	if err := after.tree.leafNode(i).verify(s, groupID, i); err != nil {
		return nil, err
	}
	created := &hooks.CreatedPath{
		Tree: after, UpdatePath: marshal(u), LeafKey: p.keys.at(leafPosition(i)).Bytes(),
		PathSecrets: make(map[treemath.NodeIndex][]byte), CommitSecret: p.commitSecret,
	}
	for k, step := range p.steps {
		created.PathSecrets[step.node] = p.secrets[k]
	}
	return created, nil
}

// vectorMember is a [hooks.Member].
type vectorMember struct{ g *Group }

func newVectorMember(m hooks.MemberState) (hooks.Member, error) {
	g := &Group{
		publicState: publicState{
			cfg:            &Config{Rand: m.Rand, Padding: m.Padding, proposals: builtinProposals},
			suite:          m.Suite,
			encodedContext: m.GroupContext,
			tree:           &ratchetTree{size: 2, nodes: make([]node, 3)},
		},
		signer:  m.Signer,
		own:     LeafIndex(m.Leaf),
		epoch:   &keysched.Epoch{SenderDataSecret: m.SenderDataSecret, MembershipKey: m.MembershipKey},
		secrets: secrettree.New(m.Suite, m.EncryptionSecret, 2, secrettree.Limits{}),
	}
	if err := unmarshal(m.GroupContext, &g.context); err != nil {
		return nil, fmt.Errorf("mls: decoding a GroupContext: %w", err)
	}
	g.tree.nodes[leafPosition(g.own)].leaf = new(LeafNode)
	g.tree.nodes[leafPosition(1-g.own)].leaf = &LeafNode{SignatureKey: m.PeerSignatureKey}
	return vectorMember{g}, nil
}

func (m vectorMember) Open(contentType uint8, message []byte) ([]byte, error) {
	var decoded mlsMessage
	if err := unmarshal(message, &decoded); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	a, key, err := m.g.unprotect(&decoded)
	if err != nil {
		return nil, err
	}
	if key != nil {
		key.Consume()
	}
	c := &a.content
	if want := (Sender{Type: SenderMember, Leaf: 1 - m.g.own}); c.contentType != ContentType(contentType) || c.sender != want {
		return nil, fmt.Errorf("mls: %v from %v, want %v from %v", c.contentType, c.sender, ContentType(contentType), want)
	}
	if c.contentType == ContentApplication {
		return c.application, nil
	}
	var w wire.Writer
	c.encodeBody(&w)
	return w.Data(), nil
}

func (m vectorMember) content(t ContentType, f WireFormat, content, authenticatedData []byte) (*authenticatedContent, error) {
	a := m.g.newContent(t, f, authenticatedData)
	if t == ContentApplication {
		a.content.application = content
		return a, nil
	}
	r := wire.NewReader(bytes.Clone(content))
	a.content.decodeBody(r)
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("mls: decoding a %v: %w", t, err)
	}
	return a, nil
}

func (m vectorMember) Protect(contentType uint8, wireFormat uint16, content, authenticatedData []byte) ([]byte, error) {
	a, err := m.content(ContentType(contentType), WireFormat(wireFormat), content, authenticatedData)
	if err != nil {
		return nil, err
	}
	if a.content.commit != nil {
		a.auth.confirmationTag = make([]byte, m.g.suite.HashSize())
	}
	return m.g.signAndProtect(a)
}

func (m vectorMember) SignCommit(commit []byte, confirm func([]byte) []byte) ([]byte, error) {
	a, err := m.content(ContentCommit, WireFormatPublicMessage, commit, nil)
	if err != nil {
		return nil, err
	}
	if err := m.g.sign(a); err != nil {
		return nil, err
	}
	a.auth.confirmationTag = slices.Clone(confirm(a.confirmedTranscriptHashInput()))
	return marshal(a), nil
}
