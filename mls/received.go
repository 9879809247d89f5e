package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// Received is what a message turned out to hold: [*ReceivedApplication],
// [*ReceivedProposal] or [*ReceivedCommit].
type Received interface{ received() }

// ReceivedApplication is application data from another member.
type ReceivedApplication struct {
	Sender            LeafIndex
	AuthenticatedData []byte
	Data              []byte
}

// ReceivedProposal is a proposal that the group now remembers, for a commit
// that refers to it.
type ReceivedProposal struct {
	Sender            Sender
	AuthenticatedData []byte
	Proposal          Proposal
}

// ReceivedCommit is a valid commit of another member, not yet adopted.
type ReceivedCommit struct {
	Sender            Sender
	AuthenticatedData []byte
	Proposals         []CommittedProposal
	HasPath           bool
	next              *Group
}

func (*ReceivedApplication) received() {}
func (*ReceivedProposal) received()    {}
func (*ReceivedCommit) received()      {}

// Group returns the state of the epoch that the commit leads to. It is nil if
// the commit removed this member.
func (c *ReceivedCommit) Group() *Group { return c.next }

// Erase drops the commit: it erases the epoch that it would have led to.
func (c *ReceivedCommit) Erase() {
	if c.next != nil {
		c.next.Erase()
	}
}

// Process decrypts and verifies an MLSMessage that holds a PrivateMessage or a
// PublicMessage of this group and epoch. A message is processed once: the key
// of an encrypted message is used up by success. If Process returns an error,
// the group is as it was.
//
// Errors: [ErrWrongGroup], [ErrWrongEpoch], [ErrOwnMessage], [ErrDecrypt],
// [ErrUnknownPSK], [ErrUnsupported], an [*Error] for a broken rule, or one that
// says that the bytes do not decode. RFC 9420, Sections 6 and 12.4.2.
func (g *Group) Process(message []byte) (Received, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	var m mlsMessage
	if err := unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	a, key, err := g.unprotect(&m)
	if err != nil {
		return nil, err
	}
	received, err := g.processContent(a)
	if key != nil {
		if err != nil {
			key.Discard()
		} else {
			key.Consume()
		}
	}
	if err != nil {
		return nil, err
	}
	return received, nil
}

// unprotect takes off the protection of a message and verifies its signature.
// key is nil for a PublicMessage.
func (g *Group) unprotect(m *mlsMessage) (a *authenticatedContent, key *secrettree.Key, err error) {
	switch m.wireFormat {
	case WireFormatPublicMessage:
		p := m.publicMessage
		if err := g.verifyAddress(p.content.groupID, p.content.epoch); err != nil {
			return nil, nil, err
		}
		if p.content.sender.Type == SenderMember {
			if err := g.isOtherMember(p.content.sender.Leaf); err != nil {
				return nil, nil, err
			}
		}
		if err := p.verifyMembership(g.suite, g.epoch.MembershipKey, g.encodedContext); err != nil {
			return nil, nil, err
		}
		a = p.authenticatedContent()
	case WireFormatPrivateMessage:
		p := m.privateMessage
		if err := g.verifyAddress(p.groupID, p.epoch); err != nil {
			return nil, nil, err
		}
		if a, key, err = openPrivate(g.suite, p, g.secrets, g.epoch.SenderDataSecret, g.isOtherMember); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, fmt.Errorf("mls: processing a %v: %w", m.wireFormat, ErrUnsupported)
	}
	if err := g.verifyContent(a); err != nil {
		if key != nil {
			key.Discard()
		}
		return nil, nil, err
	}
	return a, key, nil
}

func (g *Group) verifyAddress(groupID []byte, epoch uint64) error {
	if !bytes.Equal(groupID, g.context.groupID) {
		return ErrWrongGroup
	}
	if epoch != g.context.epoch {
		return fmt.Errorf("%w: %d, want %d", ErrWrongEpoch, epoch, g.context.epoch)
	}
	return nil
}

// isOtherMember returns an error unless i is a member's leaf, and not our own.
func (g *Group) isOtherMember(i LeafIndex) error {
	if i == g.own {
		return ErrOwnMessage
	}
	if g.tree.leafNode(i) == nil {
		return invalid(CheckSenderBlank, "leaf %d is blank", i)
	}
	return nil
}

// verifyContent checks a message's signature, with the key that its sender type
// calls for, and its authenticated data. RFC 9420, Section 6.1.
func (g *Group) verifyContent(a *authenticatedContent) error {
	signatureKey, err := g.signatureKeyOf(&a.content)
	if err != nil {
		return err
	}
	if err := g.suite.VerifyWithLabel(signatureKey, "FramedContentTBS", a.toBeSigned(g.encodedContext), a.auth.signature); err != nil {
		return invalid(CheckMessageSignature, "%w", err)
	}
	return verifyAuthenticatedData(a.content.authenticatedData, g.context.extensions)
}

func (g *Group) signatureKeyOf(c *framedContent) ([]byte, error) {
	switch c.sender.Type {
	case SenderMember:
		return g.tree.leafNode(c.sender.Leaf).SignatureKey, nil
	case SenderExternal:
		if c.contentType != ContentProposal || !proposalTypes[c.proposal.ProposalType()].external {
			return nil, invalid(CheckProposalFromOutside, "an external sender sends what it may not")
		}
		senders, err := externalSenders(g.context.extensions)
		if err != nil {
			return nil, err
		}
		if uint64(c.sender.Index) >= uint64(len(senders)) {
			return nil, invalid(CheckSender, "external sender %d of %d", c.sender.Index, len(senders))
		}
		return senders[c.sender.Index].SignatureKey, nil
	case SenderNewMemberProposal:
		add, ok := c.proposal.(*Add)
		if !ok {
			return nil, invalid(CheckProposalFromOutside, "a new member proposes something else than an Add")
		}
		return add.KeyPackage.LeafNode.SignatureKey, nil
	case SenderNewMemberCommit:
		if c.commit == nil || c.commit.path == nil {
			return nil, invalid(CheckExternalCommit, "content is %v, want a commit with a path", c.contentType)
		}
		return c.commit.path.leaf.SignatureKey, nil
	}
	return nil, invalid(CheckSender, "sender type %d", c.sender.Type)
}

func (g *Group) processContent(a *authenticatedContent) (Received, error) {
	c := &a.content
	switch c.contentType {
	case ContentApplication:
		return &ReceivedApplication{
			Sender:            c.sender.Leaf,
			AuthenticatedData: c.authenticatedData,
			Data:              c.application,
		}, nil
	case ContentProposal:
		ref := proposalRef(g.suite, a)
		if g.findProposal(ref) == nil {
			if len(g.proposals) >= maxCachedProposals {
				return nil, fmt.Errorf("mls: %d proposals are pending already", len(g.proposals))
			}
			g.proposals = append(g.proposals, &cachedProposal{ref: ref, sender: c.sender, proposal: c.proposal})
		}
		return &ReceivedProposal{Sender: c.sender, AuthenticatedData: c.authenticatedData, Proposal: c.proposal}, nil
	default:
		return g.processCommit(a)
	}
}

// maxCachedProposals bounds what others can make a group remember in an epoch.
const maxCachedProposals = 1 << 14

// ExternalSender may send proposals to a group without being a member.
// RFC 9420, Section 12.1.8.1.
type ExternalSender struct {
	SignatureKey []byte
	Credential   Credential
}

func (s *ExternalSender) encode(w *wire.Writer) {
	w.Opaque(s.SignatureKey)
	s.Credential.encode(w)
}

func (s *ExternalSender) decode(r *wire.Reader) {
	s.SignatureKey = r.Opaque()
	s.Credential.decode(r)
}

// ExternalSenders returns the GroupContext extension that admits senders.
func ExternalSenders(senders ...ExternalSender) Extension {
	var w wire.Writer
	writeVector(&w, senders)
	return Extension{Type: ExtensionExternalSenders, Data: w.Data()}
}

func externalSenders(context Extensions) ([]ExternalSender, error) {
	data, ok := context.Find(ExtensionExternalSenders)
	if !ok {
		return nil, nil
	}
	r := wire.NewReader(bytes.Clone(data))
	senders := readVector[ExternalSender](r)
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("mls: parsing external_senders: %w", err)
	}
	return senders, nil
}
