package mls

import (
	"fmt"
)

// An Observer follows a group from outside, as a delivery service may: it sees
// who the members are and checks the public part of each PublicMessage. It has
// no secrets, so it can neither read PrivateMessages nor check what takes a
// secret to check: membership tags, confirmation tags and path secrets. What it
// accepts, members may still refuse.
//
// Like a [Group], an Observer is the view of one epoch: a commit yields the next
// as another Observer. [Observer.Marshal] stores it, [RestoreObserver] reads it back.
// It must not be used from several goroutines at once.
type Observer struct {
	publicState
	external Extensions // the external_pub of the epoch, if it is known
}

// NewObserver returns the view of the epoch that a GroupInfo (an MLSMessage)
// describes. ratchetTree is the tree, encoded as in the ratchet_tree extension,
// for a GroupInfo that does not hold it. All rules are checked that a new member
// would check, but for those that take secrets.
func NewObserver(cfg *Config, groupInfo, ratchetTree []byte) (*Observer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	info, err := cfg.parseGroupInfo(groupInfo)
	if err != nil {
		return nil, err
	}
	s, err := cfg.Suites.Lookup(info.context.cipherSuite)
	if err != nil {
		return nil, fmt.Errorf("mls: observing: %w", err)
	}
	state, err := info.verify(cfg, s, ratchetTree, nil)
	if err != nil {
		return nil, err
	}
	if err := state.validateMembers(nil); err != nil {
		return nil, err
	}
	o := &Observer{publicState: *state}
	o.keepExternalPub(info.extensions)
	return o, nil
}

// ObservedCommit is a commit whose public part is valid.
type ObservedCommit struct {
	Sender            Sender
	AuthenticatedData []byte
	Proposals         []CommittedProposal
	HasPath           bool
	next              *Observer
}

func (*ObservedCommit) received() {}

// Observer returns the view of the epoch that the commit leads to.
func (c *ObservedCommit) Observer() *Observer { return c.next }

// Process verifies a PublicMessage (as an MLSMessage) of this group and epoch.
// The result is a [*ReceivedProposal], which the Observer remembers for a
// commit that refers to it, or an [*ObservedCommit]. If Process returns an
// error, the Observer is as it was.
//
// A commit may refer to a proposal that was sent as a PrivateMessage. The
// Observer cannot know that and refuses the commit; it needs a new GroupInfo
// then. Errors are those of [Group.Process].
func (o *Observer) Process(message []byte) (Received, error) {
	var m mlsMessage
	if err := o.cfg.unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	if m.publicMessage == nil {
		return nil, fmt.Errorf("mls: observing a %v: %w", m.wireFormat, ErrUnsupported)
	}
	c := &m.publicMessage.content
	if err := o.verifyAddress(c.groupID, c.epoch); err != nil {
		return nil, err
	}
	if err := c.verifyPublic(); err != nil {
		return nil, err
	}
	if c.sender.Type == SenderMember {
		if err := o.isMember(c.sender.Leaf); err != nil {
			return nil, err
		}
	}
	a, err := o.verifyContent(m.publicMessage.authenticatedContent())
	if err != nil {
		return nil, err
	}
	if c.contentType == ContentProposal {
		// A nil *ReceivedProposal must not become a Received.
		if received, err := o.receiveProposal(a); err != nil {
			return nil, err
		} else {
			return received, nil
		}
	}
	received, t, err := o.receiveCommit(a)
	if err != nil {
		return nil, err
	}
	next := &Observer{publicState: o.next(t)}
	next.context.treeHash = t.tree.rootHash(o.suite)
	next.finish(&o.publicState, a.authenticatedContent)
	next.setConfirmationTag(a.auth.confirmationTag)
	return &ObservedCommit{
		Sender:            received.Sender,
		AuthenticatedData: received.AuthenticatedData,
		Proposals:         received.Proposals,
		HasPath:           received.HasPath,
		next:              next,
	}, nil
}
