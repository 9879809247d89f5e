package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// publicState is what can be known of a group in one epoch without its secrets.
// Members have it as a part of a [Group], others as an [Observer]. It is made
// from verified objects only.
type publicState struct {
	cfg   *Config
	suite *ciphersuite.Suite

	context               groupContext
	encodedContext        []byte
	tree                  *ratchetTree
	confirmationTag       []byte
	interimTranscriptHash []byte

	proposals []*cachedProposal // received or sent in this epoch

	// succession is the usage of the resumption PSK that the group's first
	// commit may have to succeed another group, zero for none.
	succession ResumptionPSKUsage
}

// Epoch returns the epoch's number.
func (s *publicState) Epoch() uint64 { return s.context.epoch }

// GroupID returns the group's identifier.
func (s *publicState) GroupID() []byte { return bytes.Clone(s.context.groupID) }

// Suite returns the group's cipher suite.
func (s *publicState) Suite() *ciphersuite.Suite { return s.suite }

// Extensions returns the extensions of the GroupContext. The caller must not
// change them.
func (s *publicState) Extensions() Extensions { return s.context.extensions }

// A Member is a leaf of the group and where it stands.
type Member struct {
	Index LeafIndex
	Leaf  *LeafNode // must not be changed
}

// Members returns the group's members, from left to right.
func (s *publicState) Members() []Member {
	var members []Member
	for i, leaf := range s.tree.leaves {
		members = append(members, Member{Index: i, Leaf: leaf})
	}
	return members
}

// Leaf returns the leaf of the member at i, nil if there is none. It must not be
// changed.
func (s *publicState) Leaf(i LeafIndex) *LeafNode { return s.tree.leafNode(i) }

// TreeHash returns the tree hash, by which two views of the members can be
// compared.
func (s *publicState) TreeHash() []byte { return bytes.Clone(s.context.treeHash) }

// RatchetTree returns the tree, encoded as in the ratchet_tree extension, for
// those who get it apart from a Welcome or a GroupInfo.
func (s *publicState) RatchetTree() []byte {
	return marshal(s.tree)
}

// PendingProposals returns the proposals that were sent in this epoch and that
// a commit can refer to, in the order in which they were seen.
func (s *publicState) PendingProposals() []CommittedProposal {
	var pending []CommittedProposal
	for _, p := range s.proposals {
		pending = append(pending, CommittedProposal{p.proposal, p.sender, true})
	}
	return pending
}

// setConfirmationTag completes the epoch's transcript.
func (s *publicState) setConfirmationTag(tag []byte) {
	s.confirmationTag = bytes.Clone(tag)
	s.interimTranscriptHash = keysched.InterimTranscriptHash(s.suite, s.context.confirmedTranscriptHash, tag)
}

// next returns the public state of the epoch after t, but for its tree hash and
// its transcript, which depend on the commit.
func (s *publicState) next(t *transition) publicState {
	return publicState{
		cfg:   s.cfg,
		suite: s.suite,
		tree:  t.tree,
		context: groupContext{
			cipherSuite:             s.context.cipherSuite,
			groupID:                 s.context.groupID,
			epoch:                   s.context.epoch + 1,
			confirmedTranscriptHash: s.context.confirmedTranscriptHash,
			extensions:              t.extensions,
		},
	}
}

// finish completes the GroupContext for the signed commit a, which leads from
// before to s.
func (s *publicState) finish(before *publicState, a *authenticatedContent) {
	wire.Lend(func(w *wire.Writer) {
		a.encodeConfirmedTranscriptHashInput(w)
		s.context.confirmedTranscriptHash = keysched.ConfirmedTranscriptHash(s.suite, before.interimTranscriptHash, w.Data())
	})
	s.encodedContext = marshal(&s.context)
}

func (s *publicState) verifyAddress(groupID []byte, epoch uint64) error {
	if !bytes.Equal(groupID, s.context.groupID) {
		return ErrWrongGroup
	}
	if epoch != s.context.epoch {
		return fmt.Errorf("%w: %d, want %d", ErrWrongEpoch, epoch, s.context.epoch)
	}
	return nil
}

// isMember returns an error unless i is a member's leaf.
func (s *publicState) isMember(i LeafIndex) error {
	return verifySenderLeaf(i, s.tree.leafNode(i) != nil)
}

func verifySenderLeaf(i LeafIndex, occupied bool) error {
	if !occupied {
		return invalid(CheckSenderBlank, "leaf %d is blank", i)
	}
	return nil
}

// verifiedContent is content whose signature and sender have been verified.
// Only [verifySigned] and [publicState.verifyOneSignature] make it, and only it is acted upon.
type verifiedContent struct{ *authenticatedContent }

// verifyContent checks a message's signature, with the key that its sender type
// calls for, and its authenticated data. RFC 9420, Section 6.1.
func (s *publicState) verifyContent(a *authenticatedContent) (verifiedContent, error) {
	if a.wireFormat.isOneSignature() {
		return s.verifyOneSignature(a)
	}
	key, err := s.signatureKeyOf(&a.content)
	if err != nil {
		return verifiedContent{}, err
	}
	return verifySigned(s.suite, a, key, s.encodedContext, s.context.extensions)
}

// verifySigned checks a message's signature and its authenticated data, in the
// epoch with the given GroupContext and its extensions.
func verifySigned(s *ciphersuite.Suite, a *authenticatedContent, sender senderKey, encodedContext []byte, context Extensions) (verifiedContent, error) {
	key, err := sender.parse(s)
	if err == nil {
		wire.Lend(func(w *wire.Writer) {
			a.encodeToBeSigned(w, encodedContext)
			err = key.VerifyWithLabel("FramedContentTBS", w.Data(), a.auth.signature)
		})
	}
	if err != nil {
		return verifiedContent{}, invalid(CheckMessageSignature, "%w", err)
	}
	if err := verifyAuthenticatedData(a.content.authenticatedData, context); err != nil {
		return verifiedContent{}, err
	}
	return verifiedContent{a}, nil
}

// A senderKey is the signature key of a sender: that of a leaf, or an encoded one.
type senderKey struct {
	leaf    *LeafNode // nil: none
	encoded []byte
}

func (k *senderKey) parse(s *ciphersuite.Suite) (*ciphersuite.SignaturePublicKey, error) {
	if k.leaf != nil {
		return k.leaf.parseSignatureKey(s)
	}
	return s.ParseSignaturePublicKey(k.encoded)
}

// signatureKeyOf returns the key that has to have signed a message.
func (s *publicState) signatureKeyOf(c *framedContent) (key senderKey, err error) {
	switch c.sender.Type {
	case SenderMember:
		return senderKey{leaf: s.tree.leafNode(c.sender.Leaf)}, nil
	case SenderExternal:
		if c.contentType != ContentProposal || !s.cfg.proposals.lookup(c.proposal.ProposalType()).external {
			return key, invalid(CheckExternalSenderContent, "an external sender sends what it may not")
		}
		senders, err := externalSenders(s.context.extensions)
		if err != nil {
			return key, err
		}
		if uint64(c.sender.Index) >= uint64(len(senders)) {
			return key, invalid(CheckExternalSenderIndex, "external sender %d of %d", c.sender.Index, len(senders))
		}
		return senderKey{encoded: senders[c.sender.Index].SignatureKey}, nil
	case SenderNewMemberProposal:
		add, ok := c.proposal.(*Add)
		if !ok {
			return key, invalid(CheckNewMemberProposalContent, "a new member proposes something else than an Add")
		}
		return senderKey{leaf: &add.KeyPackage.LeafNode}, nil
	default: // SenderNewMemberCommit; there are no others
		if c.commit == nil {
			return key, invalid(CheckNewMemberCommitContent, "content is %v, want a commit", c.contentType)
		}
		if c.commit.path == nil {
			return key, invalid(CheckExternalCommitPath, "the external commit has no path")
		}
		return senderKey{leaf: &c.commit.path.leaf}, nil
	}
}

// maxCachedProposals bounds what others can make a group remember in an epoch.
const maxCachedProposals = 1 << 14

// receiveProposal checks a proposal by itself and remembers it for a commit that
// refers to it.
func (s *publicState) receiveProposal(a verifiedContent) (*ReceivedProposal, error) {
	c := &a.content
	if err := verifySelfRemoveIsPublic(c.proposal, a.wireFormat); err != nil {
		return nil, err
	}
	if err := s.verifyProposal(c.sender, c.proposal); err != nil {
		return nil, err
	}
	ref := proposalRef(s.suite, a.authenticatedContent)
	if s.findProposal(ref) == nil {
		if len(s.proposals) >= maxCachedProposals {
			return nil, fmt.Errorf("%w: %d", ErrTooManyProposals, len(s.proposals))
		}
		s.proposals = append(s.proposals, &cachedProposal{ref: ref, sender: c.sender, proposal: c.proposal, verified: true})
	}
	return &ReceivedProposal{Sender: c.sender, AuthenticatedData: c.authenticatedData, Proposal: c.proposal}, nil
}

// findProposal returns the proposal that a commit refers to.
func (s *publicState) findProposal(ref []byte) *cachedProposal {
	i := slices.IndexFunc(s.proposals, func(p *cachedProposal) bool { return bytes.Equal(p.ref, ref) })
	if i < 0 {
		return nil
	}
	return s.proposals[i]
}

// resolveProposals looks up the proposals that a commit refers to.
func (s *publicState) resolveProposals(a verifiedContent) ([]coveredProposal, error) {
	covered := make([]coveredProposal, 0, len(a.content.commit.proposals))
	for _, p := range a.content.commit.proposals {
		if p.proposal != nil {
			covered = append(covered, coveredProposal{CommittedProposal{Proposal: p.proposal, Sender: a.content.sender}, nil})
			continue
		}
		cached := s.findProposal(p.reference)
		if cached == nil {
			return nil, invalid(CheckProposalUnknownRef, "no proposal %x", p.reference)
		}
		covered = append(covered, coveredProposal{CommittedProposal{cached.proposal, cached.sender, true}, cached})
	}
	return covered, nil
}

// receiveCommit validates all of a commit that needs no secrets. It returns the
// commit, what it changes and the tree with its path applied; next has the new
// epoch's state but for the confirmation tag. RFC 9420, Section 12.4.2.
func (s *publicState) receiveCommit(a verifiedContent) (*ReceivedCommit, *transition, error) {
	c := a.content.commit
	covered, err := s.resolveProposals(a)
	if err != nil {
		return nil, nil, err
	}
	t, err := s.apply(a.content.sender, covered)
	if err != nil {
		return nil, nil, err
	}
	received := describeCommit(&a.content, covered)
	if t.pathRequired && c.path == nil {
		return nil, nil, invalid(CheckPathRequired, "the commit has no path")
	}
	if err := s.applyPath(a, t); err != nil {
		return nil, nil, err
	}
	return received, t, s.verifyMembersOf(t.tree, t.extensions)
}

// applyPath applies the public part of a commit's path, if it has one, to t's
// tree.
func (s *publicState) applyPath(a verifiedContent, t *transition) (err error) {
	path := a.content.commit.path
	if path == nil {
		return nil
	}
	committer, old := a.content.sender.Leaf, t.tree.leafNode(a.content.sender.Leaf)
	if a.content.sender.Type == SenderNewMemberCommit {
		committer, old = t.tree.nextFreeLeaf(), t.priorLeaf
	}
	if err := s.verifyReplacement(&path.leaf, old, committer, LeafNodeSourceCommit); err != nil {
		return err
	}
	if err := s.cfg.validateLeaf(committer, &path.leaf, old); err != nil {
		return err
	}
	t.pathSteps, err = t.tree.applyPath(s.suite, committer, path, t.addedLeaves())
	return err
}

// verifyReplacement checks a leaf that takes the place of old, which is nil for
// an external commit that joins. RFC 9420, Section 7.3.
func (s *publicState) verifyReplacement(leaf, old *LeafNode, i LeafIndex, source LeafNodeSource) error {
	if err := s.cfg.verifyLeafContents(leaf, source); err != nil {
		return err
	}
	if old != nil && bytes.Equal(leaf.EncryptionKey, old.EncryptionKey) {
		return invalid(CheckLeafEncryptionKeyNew, "leaf %d keeps its encryption key", i)
	}
	return leaf.verify(s.suite, s.context.groupID, i)
}
