package mls

import (
	"crypto"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// ExternalJoinOptions say how a client joins a group by a commit of its own.
type ExternalJoinOptions struct {
	// Identity is the client's. Required.
	Identity Identity
	// Leaf describes the client's leaf further.
	Leaf LeafOptions
	// RatchetTree is the group's tree, encoded as in the ratchet_tree
	// extension, for a GroupInfo that does not hold it.
	RatchetTree []byte
	// Resync picks the leaf of this client that is in the group already, for
	// example since its state was lost. That leaf is removed. The first leaf for
	// which Resync returns true is taken; if there is none, joining fails.
	// Default: no leaf is removed.
	Resync func(leaf *LeafNode) bool
	// PSKs are mixed into the new epoch. [Config.PSK] is asked for them. A
	// nonce that is nil is drawn at random.
	PSKs []PreSharedKeyID
	// Proposals are further ones, of types that an external commit may hold:
	// [AppDataUpdate], [AppEphemeral] or a custom one.
	Proposals []Proposal
	// SelfRemoves are the messages with all [SelfRemove] proposals that are pending
	// in the epoch: whoever gives the GroupInfo gives them, too. The commit covers
	// them. One that is invalid is an error. Needs [Config.SelfRemove].
	SelfRemoves [][]byte
	// AuthenticatedData travels with the commit in the clear.
	AuthenticatedData []byte

	pairKey *apqPSK // of a pair of groups
}

// JoinExternal enters a group by a commit from outside, given its GroupInfo (an
// MLSMessage) with the extension external_pub. The commit is a PublicMessage.
// The client is a member, with the state [PendingCommit.Group], once the group
// has accepted the commit; each GroupInfo serves for one such commit.
//
// Who gave the GroupInfo decides which group this is: the caller has to trust
// that source, or the Authentication Service's verdict on the members.
//
// RFC 9420, Sections 8.3 and 12.4.3.2.
func JoinExternal(cfg *Config, groupInfo []byte, o ExternalJoinOptions) (_ *PendingCommit, err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	info, err := cfg.parseGroupInfo(groupInfo)
	if err != nil {
		return nil, err
	}
	s, err := cfg.Suites.Lookup(info.context.cipherSuite)
	if err != nil {
		return nil, fmt.Errorf("mls: joining: %w", err)
	}
	state, err := info.verify(cfg, s, o.RatchetTree, nil)
	if err != nil {
		return nil, err
	}
	if err := state.validateMembers(nil); err != nil {
		return nil, err
	}
	externalPub, err := info.externalPub(s)
	if err != nil {
		return nil, err
	}
	kemOutput, initSecret, err := keysched.SendExternalInit(s, cfg.Rand, externalPub)
	if err != nil {
		return nil, fmt.Errorf("mls: joining: %w", err)
	}
	defer clear(initSecret)

	if err := state.takeSelfRemoves(o.SelfRemoves); err != nil {
		return nil, err
	}
	covered, err := state.externalProposals(&o, kemOutput)
	if err != nil {
		return nil, err
	}
	t, err := state.apply(Sender{Type: SenderNewMemberCommit}, covered)
	if err != nil {
		return nil, err
	}
	pskSecret, err := combinePSKs(cfg, s, t.psks, o.pairKey.lookUp)
	if err != nil {
		return nil, err
	}
	defer clear(pskSecret)
	pending, err := state.commitFromOutside(&o, t, covered, initSecret, pskSecret)
	if err != nil {
		return nil, err
	}
	pending.next.joinedBy = info.forJoiners()
	return pending, nil
}

// externalProposals returns the proposals of an external commit.
func (s *publicState) externalProposals(o *ExternalJoinOptions, kemOutput []byte) ([]coveredProposal, error) {
	proposals := []Proposal{&ExternalInit{KEMOutput: kemOutput}}
	if o.Resync != nil {
		remove, err := s.findPrior(o.Resync)
		if err != nil {
			return nil, err
		}
		if s.selfRemoveOf(remove.Removed) == nil { // which leaves no place for a Remove
			proposals = append(proposals, remove)
		}
	}
	for _, id := range o.PSKs {
		proposals = append(proposals, &PreSharedKey{PSK: id})
	}
	var covered []coveredProposal
	for _, p := range slices.Concat(proposals, o.Proposals) {
		p, err := s.complete(p)
		if err != nil {
			return nil, err
		}
		covered = append(covered, coveredProposal{CommittedProposal{Proposal: p, Sender: Sender{Type: SenderNewMemberCommit}}, nil})
	}
	return append(covered, s.coverSelfRemoves()...), nil
}

func (s *publicState) findPrior(isPrior func(*LeafNode) bool) (*Remove, error) {
	for i, leaf := range s.tree.leaves {
		if isPrior(leaf) {
			return &Remove{Removed: i}, nil
		}
	}
	return nil, fmt.Errorf("mls: joining: no leaf of this client: %w", ErrNoSuchMember)
}

// commitFromOutside makes the external commit to t.
func (s *publicState) commitFromOutside(o *ExternalJoinOptions, t *transition, covered []coveredProposal, initSecret, pskSecret []byte) (_ *PendingCommit, err error) {
	leaf, err := describeLeaf(s.cfg, s.suite, &o.Identity, &o.Leaf)
	if err != nil {
		return nil, fmt.Errorf("mls: joining: %w", err)
	}
	next := &Group{publicState: s.next(t), own: t.tree.nextFreeLeaf()}
	defer func() {
		if err != nil {
			next.discard()
		}
	}()
	path, encrypted, err := s.makePath(t, leaf, &o.Identity, next)
	if err != nil {
		return nil, err
	}
	defer path.erase()
	if err := s.verifyMembersOf(t.tree, t.extensions); err != nil {
		return nil, err
	}
	c := &commit{path: encrypted, proposals: listProposals(covered)}
	a := s.newContentFromOutside(ContentCommit, Sender{Type: SenderNewMemberCommit}, o.AuthenticatedData)
	a.content.setCommit(c)
	if err := s.signAs(o.Identity.Signer, a); err != nil {
		return nil, err
	}
	clear(next.enter(s, a, initSecret, pskSecret, path.commitSecret))
	next.confirm(a)
	pending := newPendingCommit(s, a, covered, next)
	pending.message = publicFromOutside(a)
	return pending, nil
}

// ExternalProposalOptions say to whom and as whom a proposal is sent from outside.
type ExternalProposalOptions struct {
	// Suite, GroupID and Epoch are those of the group.
	Suite   ciphersuite.ID
	GroupID []byte
	Epoch   uint64
	// Index is the sender's position in the group's external_senders extension.
	Index uint32
	// Signer is the private key to the signature key that stands there.
	Signer crypto.Signer
	// AuthenticatedData travels with the message in the clear.
	AuthenticatedData []byte
}

// ProposeAsExternalSender returns a proposal by one whom the group's extension
// external_senders admits, as an MLSMessage that holds a PublicMessage. Who may
// propose what is in RFC 9420, Section 12.1.8.
func ProposeAsExternalSender(cfg *Config, o ExternalProposalOptions, p Proposal) ([]byte, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := whole(p); err != nil {
		return nil, err
	}
	if !cfg.proposals.lookup(p.ProposalType()).external {
		return nil, fmt.Errorf("mls: proposing %v from outside: %w", p.ProposalType(), ErrUnsupported)
	}
	return proposeFromOutside(cfg, o, Sender{Type: SenderExternal, Index: o.Index}, p)
}

// ProposeJoin returns the proposal that the holder of b be added to a group, as
// an MLSMessage that holds a PublicMessage. A member has to commit it.
// RFC 9420, Section 12.1.8.
func (b *KeyPackageBundle) ProposeJoin(cfg *Config, groupID []byte, epoch uint64, authenticatedData []byte) ([]byte, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	o := ExternalProposalOptions{
		Suite: b.keyPackage.CipherSuite, GroupID: groupID, Epoch: epoch, Signer: b.identity.Signer,
		AuthenticatedData: authenticatedData,
	}
	return proposeFromOutside(cfg, o, Sender{Type: SenderNewMemberProposal}, &Add{KeyPackage: b.keyPackage})
}

func proposeFromOutside(cfg *Config, o ExternalProposalOptions, sender Sender, p Proposal) ([]byte, error) {
	suite, err := cfg.Suites.Lookup(o.Suite)
	if err != nil {
		return nil, fmt.Errorf("mls: proposing from outside: %w", err)
	}
	s := &publicState{cfg: cfg, suite: suite, context: groupContext{groupID: o.GroupID, epoch: o.Epoch}}
	if p, err = s.complete(p); err != nil {
		return nil, err
	}
	a := s.newContentFromOutside(ContentProposal, sender, o.AuthenticatedData)
	a.content.proposal = p
	if err := s.signAs(o.Signer, a); err != nil {
		return nil, err
	}
	return publicFromOutside(a), nil
}

// newContentFromOutside returns content of somebody who is not a member.
func (s *publicState) newContentFromOutside(t ContentType, sender Sender, authenticatedData []byte) *authenticatedContent {
	return &authenticatedContent{
		wireFormat: WireFormatPublicMessage,
		content: framedContent{
			groupID:           s.context.groupID,
			epoch:             s.context.epoch,
			sender:            sender,
			authenticatedData: authenticatedData,
			contentType:       t,
		},
	}
}

// publicFromOutside encodes signed content of somebody who is not a member, and
// so has no key for a membership tag.
func publicFromOutside(a *authenticatedContent) []byte {
	m := &publicMessage{content: a.content, auth: a.auth}
	return marshal(&mlsMessage{wireFormat: WireFormatPublicMessage, publicMessage: m})
}
