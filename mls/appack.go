package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// ComponentAppAck acknowledges application messages, by an [AppAck] in an
// [AppEphemeral]. draft-ietf-mls-extensions, Section 6.1.
const ComponentAppAck ComponentID = 0x0005

// AppAck says which application messages of the epoch a member has received. As
// it is in the group's transcript, a delivery service that drops messages cannot
// hide that from members who compare: it can only keep the group from going on.
//
// While an AppEphemeral waits, no application data can be sent. An external
// commit does not take it over: then it has to be made again for the new epoch.
type AppAck []MessageRange

// AppAcks returns the component, for [Config.Components], of a client that
// acknowledges application messages. Its groups remember which ones they have
// received in their epoch, also across restarts.
func AppAcks() Component {
	return Component{
		ID: ComponentAppAck, Name: "app_ack",
		Ephemeral: func(data []byte, _ ProposalContext) error {
			_, err := ParseAppAck(data)
			return err
		},
		Update: func([]byte, []ComponentUpdate) ([]byte, error) { return nil, ErrUnsupported },
	}
}

// Proposal returns the proposal that carries a.
func (a AppAck) Proposal() *AppEphemeral {
	return &AppEphemeral{Component: ComponentAppAck, Data: wire.Encode(func(w *wire.Writer) { writeVector(w, a) })}
}

// ParseAppAck decodes the data of an [AppEphemeral] of [ComponentAppAck]. The
// ranges are as they came: in any order, and they may overlap.
func ParseAppAck(data []byte) (AppAck, error) {
	r := wire.NewReader(data)
	a := AppAck(readVector[MessageRange](r))
	err := r.Finish()
	if err == nil {
		err = verifyRanges(a)
	}
	if err != nil {
		return nil, invalid(CheckAppAck, "%w", err)
	}
	return a, nil
}

// maxAckedRanges bounds how many ranges are remembered of one sender, who makes
// one by each gap in its generations. The oldest are forgotten, as if the
// messages had not come.
const maxAckedRanges = 256

func (s *publicState) acknowledges() bool { return s.cfg.component(ComponentAppAck) != nil }

// noteApplication remembers a message with this key for [Group.AppAck], if it is
// application data.
func (g *Group) noteApplication(received Received, key *secrettree.Key) {
	if r, ok := received.(*ReceivedApplication); ok && g.acknowledges() {
		g.received = g.received.with(r.Sender, key.Generation).keepNewest(r.Sender, maxAckedRanges)
	}
}

// AppAck returns what this member has received in the epoch so far: nothing,
// or all that came if nothing is missing, in one range for each sender. It
// returns an error that matches [ErrUnsupported] for a client without the
// component [AppAcks], or [ErrErased].
func (g *Group) AppAck() (AppAck, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: acknowledging: %w", ErrErased)
	}
	if !g.acknowledges() {
		return nil, fmt.Errorf("mls: acknowledging: Config.Components has no AppAcks: %w", ErrUnsupported)
	}
	return append(AppAck{}, g.received...), nil
}

// An AckReport is what another member's AppAck shows, beside what this member has
// sent and received itself in the epoch. Messages that are on their way yet are
// among those that it names.
type AckReport struct {
	Member LeafIndex // whose AppAck it is
	// Lost are the messages that this member has sent or received, and the other
	// has not received: the delivery service may have suppressed them there.
	Lost AppAck
	// Missing are the messages that the other member has received, and this one
	// has not: the delivery service may have suppressed them here.
	Missing AppAck
	// Invented are messages of this member that it never sent, and of the other
	// member itself: nobody can have received these.
	Invented AppAck
}

// CompareAppAck compares the AppAck of another member with what this one has
// sent and received in the epoch, of which the AppAck has to be. A generation
// that [Group.Protect] used up without giving a message counts as sent. Errors
// are those of [Group.AppAck], and for ranges that end before they begin.
func (g *Group) CompareAppAck(member LeafIndex, ack AppAck) (AckReport, error) {
	report := AckReport{Member: member}
	known, err := g.AppAck()
	if err != nil {
		return report, err
	}
	if err := verifyRanges(ack); err != nil {
		return report, fmt.Errorf("mls: comparing an AppAck: %w", err)
	}
	var sent messageSet
	if n := g.secrets.Used(uint32(g.own), secrettree.Application); n > 0 {
		sent = messageSet{{g.own, 0, n - 1}}
	}
	acked := newMessageSet(ack)
	ofMember, acked := acked.of(member)
	ofOurs, ofOthers := acked.of(g.own)
	_, received := messageSet(known).of(member)
	report.Lost = AppAck(newMessageSet(append(received, sent...)).without(acked))
	report.Missing = AppAck(ofOthers.without(received))
	report.Invented = AppAck(newMessageSet(append(ofMember, ofOurs.without(sent)...)))
	return report, nil
}

// compareAppAcks compares the AppAcks of other members that a commit covers. Those
// of one member count together, however many there are.
func (g *Group) compareAppAcks(proposals []CommittedProposal) (reports []AckReport, err error) {
	if !g.acknowledges() {
		return nil, nil
	}
	acks := make(map[LeafIndex]AppAck)
	var members []LeafIndex
	for _, p := range proposals {
		e, ok := p.Proposal.(*AppEphemeral)
		if !ok || e.Component != ComponentAppAck || p.Sender.Type != SenderMember || p.Sender.Leaf == g.own {
			continue
		}
		ack, err := ParseAppAck(e.Data)
		if err != nil {
			return nil, err
		}
		if _, ok := acks[p.Sender.Leaf]; !ok {
			members = append(members, p.Sender.Leaf)
		}
		acks[p.Sender.Leaf] = append(acks[p.Sender.Leaf], ack...)
	}
	for _, member := range members {
		report, err := g.CompareAppAck(member, acks[member])
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	return reports, nil
}
