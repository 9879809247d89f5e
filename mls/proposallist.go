package mls

import (
	"bytes"
	"crypto"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A CommittedProposal is a proposal as a commit covers it.
type CommittedProposal struct {
	Proposal    Proposal
	Sender      Sender
	ByReference bool
}

// cachedProposal is a proposal that was sent in this epoch, for a commit that
// refers to it. RFC 9420, Section 12.1.
type cachedProposal struct {
	ref      []byte // ProposalRef
	sender   Sender
	proposal Proposal
	verified bool // by itself, when it came or, if it was restored, when a commit covered it
	// If this member sent it: the hash of the message and its authenticated data.
	sent              []byte
	authenticatedData []byte
	// Of an Update of this member's own: the private key and, if that changes,
	// the signer that take effect with it.
	leafKey       *sharedKey
	changesSigner bool
	signer        crypto.Signer
}

func (p *cachedProposal) erase() {
	if p.leafKey != nil {
		p.leafKey.drop()
	}
}

// coveredProposal is a proposal of a commit with what the cache knows of it.
type coveredProposal struct {
	CommittedProposal
	cached *cachedProposal // nil: by value
}

// isOwnUpdate reports whether p is an Update of this member.
func (p *coveredProposal) isOwnUpdate() bool { return p.cached != nil && p.cached.leafKey != nil }

// transition is the effect of a commit's proposals, and of its path on the tree.
type transition struct {
	committer    Sender
	tree         *ratchetTree
	extensions   Extensions
	added        []addedMember
	removed      []LeafIndex
	priorLeaf    *LeafNode // that an external commit removes
	psks         []PreSharedKeyID
	ownUpdate    *cachedProposal // an Update of this member's own
	externalInit *ExternalInit
	reInit       *ReInit
	dataUpdates  []*coveredProposal // the AppDataUpdates
	pathRequired bool
	pathSteps    []pathStep // the received path
}

type addedMember struct {
	leaf       LeafIndex
	keyPackage *KeyPackage
}

// addedLeaves returns the new members, to whom paths are not encrypted.
func (t *transition) addedLeaves() map[LeafIndex]bool {
	if len(t.added) == 0 {
		return nil
	}
	added := make(map[LeafIndex]bool, len(t.added))
	for _, a := range t.added {
		added[a.leaf] = true
	}
	return added
}

// apply validates a commit's proposals and applies them to a copy of the tree.
// RFC 9420, Sections 12.2 and 12.3.
func (s *publicState) apply(committer Sender, proposals []coveredProposal) (*transition, error) {
	rules := memberCommitRules
	if committer.Type == SenderNewMemberCommit {
		rules = externalCommitRules
	}
	for _, rule := range rules {
		if err := rule(s, committer, proposals); err != nil {
			return nil, err
		}
	}
	t := &transition{
		committer: committer, tree: s.tree.clone(), extensions: s.context.extensions,
		pathRequired: len(proposals) == 0,
	}
	for i := range proposals {
		p := &proposals[i]
		t.pathRequired = t.pathRequired || s.cfg.proposals.lookup(p.Proposal.ProposalType()).pathRequired
		if p.cached != nil && p.cached.verified {
			continue
		}
		if err := s.verifyProposal(p.Sender, p.Proposal); err != nil {
			return nil, err
		}
		if p.cached != nil { // whose leaf may be in another epoch's tree from now on, and is not written to again
			p.cached.verified = true
		}
	}
	for _, kind := range s.cfg.proposals.order {
		if err := s.applyKind(t, kind, proposals); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// applyKind applies all proposals of one type.
func (s *publicState) applyKind(t *transition, kind ProposalType, proposals []coveredProposal) error {
	k := s.cfg.proposals.lookup(kind)
	found := false
	for i := range proposals {
		if p := &proposals[i]; p.Proposal.ProposalType() == kind {
			found = true
			if err := k.apply(s, t, p); err != nil {
				return err
			}
		}
	}
	if found && k.applied != nil {
		return k.applied(s, t)
	}
	return nil
}

// A listRule is a rule on the list of proposals of a commit.
type listRule func(s *publicState, committer Sender, proposals []coveredProposal) error

// memberCommitRules are those on the list of a member's commit, externalCommitRules
// those on the list of an external one. RFC 9420, Section 12.2.
var (
	memberCommitRules = []listRule{
		verifySelfRemovesByReference,
		verifyNoOwnUpdate, verifyCommitterStays, verifyOneChangeOfALeaf, verifyAddsDiffer, verifyPSKsDiffer,
		verifyOneContext, verifyReInitAlone, verifyProposalSupport,
	}
	externalCommitRules = []listRule{
		verifySelfRemovesByReference,
		verifyNoReferences, verifyExternalTypes, verifyOneExternalInit, verifyOneRemove,
		verifyPSKsDiffer, verifyProposalSupport,
		verifyOneChangeOfALeaf,
	}
)

// each calls check for each proposal of type T.
func each[T Proposal](proposals []coveredProposal, check func(p T, sender Sender) error) error {
	for i := range proposals {
		if p, ok := proposals[i].Proposal.(T); ok {
			if err := check(p, proposals[i].Sender); err != nil {
				return err
			}
		}
	}
	return nil
}

// count returns how many proposals are of type T.
func count[T Proposal](proposals []coveredProposal) (n int) {
	for i := range proposals {
		if _, ok := proposals[i].Proposal.(T); ok {
			n++
		}
	}
	return n
}

func verifyNoOwnUpdate(_ *publicState, committer Sender, proposals []coveredProposal) error {
	return each(proposals, func(_ *Update, sender Sender) error {
		if sender == committer {
			return invalid(CheckProposalUpdateByCommitter, "leaf %d commits its own Update", committer.Leaf)
		}
		return nil
	})
}

func verifyCommitterStays(_ *publicState, committer Sender, proposals []coveredProposal) error {
	if slices.ContainsFunc(proposals, func(p coveredProposal) bool { return p.isSelfRemoveOf(committer) }) {
		return invalid(CheckProposalRemovesCommitter, "leaf %d commits its own SelfRemove", committer.Leaf)
	}
	return each(proposals, func(p *Remove, _ Sender) error {
		if p.Removed == committer.Leaf {
			return invalid(CheckProposalRemovesCommitter, "leaf %d removes itself", p.Removed)
		}
		return nil
	})
}

func verifyOneChangeOfALeaf(_ *publicState, _ Sender, proposals []coveredProposal) error {
	touched := make(map[LeafIndex]bool)
	for i := range proposals {
		var leaf LeafIndex
		switch p := proposals[i].Proposal.(type) {
		case *Update, *SelfRemove:
			leaf = proposals[i].Sender.Leaf
		case *Remove:
			leaf = p.Removed
		default:
			continue
		}
		if touched[leaf] {
			return invalid(CheckProposalSameLeaf, "leaf %d is updated or removed twice", leaf)
		}
		touched[leaf] = true
	}
	return nil
}

func verifyAddsDiffer(_ *publicState, _ Sender, proposals []coveredProposal) error {
	keys := make(map[string]bool)
	return each(proposals, func(p *Add, _ Sender) error {
		key := string(p.KeyPackage.LeafNode.SignatureKey)
		if keys[key] {
			return invalid(CheckProposalAddTwice, "two key packages with the same signature key")
		}
		keys[key] = true
		return nil
	})
}

func verifyPSKsDiffer(_ *publicState, _ Sender, proposals []coveredProposal) error {
	psks := make(map[string]bool)
	return each(proposals, func(p *PreSharedKey, _ Sender) error {
		id := string(marshal(&p.PSK))
		if psks[id] {
			return invalid(CheckProposalPSKTwice, "a pre-shared key is named twice")
		}
		psks[id] = true
		return nil
	})
}

func verifyOneContext(_ *publicState, _ Sender, proposals []coveredProposal) error {
	if n := count[*GroupContextExtensions](proposals); n > 1 {
		return invalid(CheckProposalContextTwice, "%d GroupContextExtensions proposals, want 1 at the most", n)
	}
	return nil
}

func verifyReInitAlone(_ *publicState, _ Sender, proposals []coveredProposal) error {
	return each(proposals, func(*ReInit, Sender) error {
		if len(proposals) > 1 {
			return invalid(CheckProposalReInitAlone, "ReInit together with other proposals")
		}
		return nil
	})
}

// verifyProposalSupport checks that all who process the commit, that is members
// that it does not remove, support the types of its proposals.
func verifyProposalSupport(s *publicState, _ Sender, proposals []coveredProposal) error {
	var kinds []ProposalType
	removed := make(map[LeafIndex]bool)
	for i := range proposals {
		p := proposals[i].Proposal
		if t := p.ProposalType(); !t.isDefault() && !slices.Contains(kinds, t) {
			kinds = append(kinds, t)
		}
		switch p := p.(type) {
		case *Remove:
			removed[p.Removed] = true
		case *SelfRemove:
			removed[proposals[i].Sender.Leaf] = true
		}
	}
	if len(kinds) == 0 {
		return nil
	}
	for i, leaf := range s.tree.leaves {
		for _, t := range kinds {
			if !removed[i] && !leaf.Capabilities.supportsProposal(t) {
				return invalid(CheckProposalSupport, "leaf %d does not support proposals of type %#04x", i, uint16(t))
			}
		}
	}
	return nil
}

func verifyNoReferences(_ *publicState, _ Sender, proposals []coveredProposal) error {
	for i := range proposals {
		if proposals[i].ByReference && proposals[i].Proposal.ProposalType() != ProposalSelfRemove {
			return invalid(CheckExternalCommitReference, "proposal %d is by reference", i)
		}
	}
	return nil
}

func verifyExternalTypes(s *publicState, _ Sender, proposals []coveredProposal) error {
	for i := range proposals {
		if t := proposals[i].Proposal.ProposalType(); !s.cfg.proposals.lookup(t).externalCommit {
			return invalid(CheckExternalCommitProposal, "proposal of type %v", t)
		}
	}
	return nil
}

func verifyOneExternalInit(_ *publicState, _ Sender, proposals []coveredProposal) error {
	if n := count[*ExternalInit](proposals); n != 1 {
		return invalid(CheckExternalCommitInit, "%d ExternalInit proposals, want 1", n)
	}
	return nil
}

func verifyOneRemove(_ *publicState, _ Sender, proposals []coveredProposal) error {
	if n := count[*Remove](proposals); n > 1 {
		return invalid(CheckExternalCommitRemove, "%d Remove proposals, want 1 at the most", n)
	}
	return nil
}

// verifyProposal checks the rules on a proposal by itself, whoever commits it.
// RFC 9420, Section 12.1.
func (s *publicState) verifyProposal(sender Sender, p Proposal) error {
	return s.cfg.proposals.lookup(p.ProposalType()).verify(s, sender, p)
}

func verifyAdd(s *publicState, _ Sender, p Proposal) error {
	k := p.(*Add).KeyPackage
	if err := k.verify(s.suite, s.cfg); err != nil {
		return err
	}
	return s.verifyOneSignatureSupport(k)
}

func applyAdd(s *publicState, t *transition, p *coveredProposal) error {
	k := p.Proposal.(*Add).KeyPackage
	for i, member := range t.tree.leaves {
		if bytes.Equal(member.SignatureKey, k.LeafNode.SignatureKey) {
			return invalid(CheckProposalAddMember, "leaf %d has the same signature key", i)
		}
	}
	leaf := k.LeafNode
	at := t.tree.add(&leaf)
	t.added = append(t.added, addedMember{leaf: at, keyPackage: k})
	return s.cfg.validateLeaf(at, &leaf, nil)
}

func verifyUpdate(s *publicState, sender Sender, p Proposal) error {
	// Nobody but members can send an Update: see [proposalKind].
	return s.verifyReplacement(p.(*Update).LeafNode, s.tree.leafNode(sender.Leaf), sender.Leaf, LeafNodeSourceUpdate)
}

func applyUpdate(s *publicState, t *transition, p *coveredProposal) error {
	i, leaf := p.Sender.Leaf, p.Proposal.(*Update).LeafNode
	if p.isOwnUpdate() {
		t.ownUpdate = p.cached
	} else if err := s.cfg.validateLeaf(i, leaf, s.tree.leafNode(i)); err != nil {
		return err
	}
	t.tree.update(i, leaf)
	return nil
}

func verifyRemove(s *publicState, _ Sender, p Proposal) error {
	if i := p.(*Remove).Removed; s.tree.leafNode(i) == nil {
		return invalid(CheckProposalRemoveBlank, "leaf %d is blank", i)
	}
	return nil
}

func applyRemove(s *publicState, t *transition, p *coveredProposal) error {
	i := p.Proposal.(*Remove).Removed
	if t.committer.Type == SenderNewMemberCommit {
		t.priorLeaf = s.tree.leafNode(i)
	}
	t.tree.remove(i)
	t.removed = append(t.removed, i)
	return nil
}

func truncateRemoved(_ *publicState, t *transition) error {
	t.tree.truncate()
	return nil
}

func verifyPreSharedKey(s *publicState, _ Sender, p Proposal) error {
	id := &p.(*PreSharedKey).PSK
	if id.Type == PSKResumption && id.Usage == ResumptionReInit && s.succession != ResumptionReInit {
		return invalid(CheckProposalPSKReInit, "resumption PSK of usage reinit where no group is re-initialized")
	}
	if id.Type == PSKResumption && id.Usage == ResumptionBranch && s.succession != ResumptionBranch {
		return invalid(CheckProposalPSKBranch, "resumption PSK of usage branch where no group branches off")
	}
	if len(id.Nonce) != s.suite.HashSize() {
		return invalid(CheckProposalPSKNonce, "nonce of %d octets, want %d", len(id.Nonce), s.suite.HashSize())
	}
	return nil
}

func applyPreSharedKey(_ *publicState, t *transition, p *coveredProposal) error {
	t.psks = append(t.psks, p.Proposal.(*PreSharedKey).PSK)
	return nil
}

func verifyReInit(s *publicState, _ Sender, p Proposal) error {
	r := p.(*ReInit)
	if r.Version < MLS10 {
		return invalid(CheckProposalReInitVersion, "version %d, want %d or higher", r.Version, MLS10)
	}
	if r.Version > MLS10 {
		return r.Extensions.verifyTypes()
	}
	return s.cfg.verifyExtensions(InGroupContext, r.Extensions)
}

func applyReInit(_ *publicState, t *transition, p *coveredProposal) error {
	t.reInit = p.Proposal.(*ReInit)
	return nil
}

func verifyExternalInit(_ *publicState, sender Sender, _ Proposal) error {
	if sender.Type != SenderNewMemberCommit {
		return invalid(CheckProposalExternalInit, "ExternalInit from a sender of type %d", sender.Type)
	}
	return nil
}

func applyExternalInit(_ *publicState, t *transition, p *coveredProposal) error {
	t.externalInit = p.Proposal.(*ExternalInit)
	return nil
}

func verifyGroupContextExtensions(s *publicState, _ Sender, p Proposal) error {
	extensions := p.(*GroupContextExtensions).Extensions
	if err := s.cfg.verifyExtensions(InGroupContext, extensions); err != nil {
		return err
	}
	return s.verifyDictionaryKept(extensions)
}

func applyGroupContextExtensions(s *publicState, t *transition, p *coveredProposal) error {
	return s.setExtensions(t, p.Proposal.(*GroupContextExtensions).Extensions)
}

// setExtensions gives the GroupContext of the next epoch other extensions, whose
// data was verified.
func (s *publicState) setExtensions(t *transition, extensions Extensions) error {
	before, _ := t.extensions.Find(ExtensionExternalSenders)
	after, _ := extensions.Find(ExtensionExternalSenders)
	t.extensions = extensions
	if bytes.Equal(before, after) {
		return nil
	}
	return s.cfg.validateExternalSenders(s.suite, extensions)
}

// proposalRef returns the ProposalRef of a proposal's message. RFC 9420, Section 5.2.
func proposalRef(s *ciphersuite.Suite, a *authenticatedContent) []byte {
	return refHashOf(s, "MLS 1.0 Proposal Reference", a)
}
