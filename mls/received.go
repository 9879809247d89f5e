package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// Received is what a message turned out to hold: [*ReceivedApplication],
// [*ReceivedProposal], [*ReceivedCommit] or [*ReceivedTargeted].
type Received interface{ received() }

// ReceivedApplication is application data from another member.
type ReceivedApplication struct {
	Sender            LeafIndex
	AuthenticatedData []byte
	Data              []byte
	// Framing is what Data holds, in a group with [ComponentContentMediaTypes].
	// In others it is nil.
	Framing *ApplicationFraming
}

// ReceivedProposal is a proposal that the group now remembers, for a commit
// that refers to it.
type ReceivedProposal struct {
	Sender            Sender
	AuthenticatedData []byte
	Proposal          Proposal
}

// ReceivedCommit is a valid commit.
type ReceivedCommit struct {
	Sender            Sender
	AuthenticatedData []byte
	Proposals         []CommittedProposal
	HasPath           bool
	Removed           bool // this member, who is in the group no more
	// AppAcks are what other members' acknowledgements show, one for each of these
	// members, if the client has the component [AppAcks].
	AppAcks []AckReport
	next    *Group
}

// describeCommit returns what a commit holds.
func describeCommit(c *framedContent, covered []coveredProposal) *ReceivedCommit {
	d := &ReceivedCommit{Sender: c.sender, AuthenticatedData: c.authenticatedData, HasPath: c.commit.path != nil}
	for _, p := range covered {
		d.Proposals = append(d.Proposals, p.CommittedProposal)
	}
	return d
}

func (*ReceivedApplication) received() {}
func (*ReceivedProposal) received()    {}
func (*ReceivedCommit) received()      {}

// Group returns the state of the epoch that the commit leads to, for the caller of
// [Group.Process] to adopt. It is nil if the commit removed this member.
func (c *ReceivedCommit) Group() *Group { return c.next }

// Erase drops the commit: it erases the epoch that it would have led to.
func (c *ReceivedCommit) Erase() {
	if c.next != nil {
		c.next.Erase()
	}
}

// Process decrypts and verifies an MLSMessage that holds a PrivateMessage, a
// PublicMessage or a targeted message of this group and epoch. A message is processed
// once: the key of an encrypted message is used up by success, but for targeted messages. If Process returns an error,
// the group is as it was.
//
// A proposal of this member's own that comes back is recognised by its bytes
// and reported again. A commit of its own is not: see [PendingCommit.Is].
//
// Errors: [ErrWrongGroup], [ErrWrongEpoch], [ErrOwnMessage], [ErrNotRecipient],
// [ErrDecrypt], [ErrKeyConsumed], [ErrTooFarAhead], [ErrUnknownPSK], [ErrUnsupported], an [*Error] for a broken rule, or
// one that says that the bytes do not decode. RFC 9420, Sections 6 and 12.4.2.
func (g *Group) Process(message []byte) (Received, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	if own := g.ownProposal(message); own != nil {
		return own, nil
	}
	var m mlsMessage
	if err := g.cfg.unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	if m.targetedMessage != nil || m.multiTargetedMessage != nil {
		return g.processTargeted(&m)
	}
	received, key, err := g.stage(&m)
	if err != nil {
		return nil, err
	}
	if key != nil {
		g.noteApplication(received, key)
		key.Consume()
	}
	return received, nil
}

// stage processes a message but for using up its key, which is nil for a
// PublicMessage: the caller consumes or discards it.
func (g *Group) stage(m *mlsMessage) (Received, *secrettree.Key, error) {
	a, key, err := g.unprotect(m)
	if err != nil {
		return nil, nil, err
	}
	received, err := g.processContent(a)
	if err != nil {
		if key != nil {
			key.Discard()
		}
		return nil, nil, err
	}
	return received, key, nil
}

// unprotect takes off the protection of a message and verifies its signature.
// key is nil for a PublicMessage.
func (g *Group) unprotect(m *mlsMessage) (verified verifiedContent, key *secrettree.Key, err error) {
	var a *authenticatedContent
	switch {
	case m.publicMessage != nil:
		p := m.publicMessage
		if err := g.verifyAddress(p.content.groupID, p.content.epoch); err != nil {
			return verified, nil, err
		}
		if p.content.sender.Type == SenderMember {
			if err := g.isOtherMember(p.content.sender.Leaf); err != nil {
				return verified, nil, err
			}
		}
		if err := p.verifyMembership(g.suite, g.epoch.MembershipKey, g.encodedContext); err != nil {
			return verified, nil, err
		}
		a = p.authenticatedContent()
	case m.privateMessage != nil:
		p := m.privateMessage
		if err := g.verifyAddress(p.groupID, p.epoch); err != nil {
			return verified, nil, err
		}
		if a, key, err = openPrivate(g.cfg, g.suite, p, g.secrets, g.epoch.SenderDataSecret, g.isOtherMember); err != nil {
			return verified, nil, err
		}
	default:
		return verified, nil, fmt.Errorf("mls: processing a %v: %w", m.wireFormat, ErrUnsupported)
	}
	if verified, err = g.verifyContent(a); err != nil && key != nil {
		key.Discard()
	}
	return verified, key, err
}

// isOtherMember returns an error unless i is a member's leaf, and not our own.
func (g *Group) isOtherMember(i LeafIndex) error {
	if i == g.own {
		return ErrOwnMessage
	}
	return g.isMember(i)
}

func (g *Group) processContent(a verifiedContent) (Received, error) {
	c := &a.content
	switch c.contentType {
	case ContentApplication:
		return receivedApplication(c, g.context.extensions)
	case ContentProposal:
		// A nil *ReceivedProposal must not become a Received.
		if received, err := g.receiveProposal(a); err != nil {
			return nil, err
		} else {
			return received, nil
		}
	default:
		return g.processCommit(a)
	}
}

// receivedApplication returns what an application message holds, in an epoch
// with the given GroupContext extensions.
func receivedApplication(c *framedContent, context Extensions) (Received, error) {
	framing, err := applicationFraming(c.application, context)
	if err != nil {
		return nil, err
	}
	return &ReceivedApplication{
		Sender:            c.sender.Leaf,
		AuthenticatedData: c.authenticatedData,
		Data:              c.application,
		Framing:           framing,
	}, nil
}

// ownProposal returns the proposal that this member sent as message, nil if
// there is none.
func (g *Group) ownProposal(message []byte) *ReceivedProposal {
	var hash []byte
	for _, p := range g.proposals {
		if p.sent == nil {
			continue
		}
		if hash == nil {
			hash = g.suite.Hash(message)
		}
		if bytes.Equal(p.sent, hash) {
			return &ReceivedProposal{Sender: p.sender, AuthenticatedData: p.authenticatedData, Proposal: p.proposal}
		}
	}
	return nil
}
