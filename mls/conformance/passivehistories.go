package conformance

import "github.com/mendlink/mendlink/mls"

// generatePassiveWelcome makes clients that join a group of three, in turn with an
// external PSK or without, with the tree in the Welcome or apart.
func generatePassiveWelcome(g *generator) (vector, error) {
	p, err := newParty(g, partyOptions{})
	if err != nil {
		return nil, err
	}
	if err := p.addMembers(0, 2, false); err != nil {
		return nil, err
	}
	var further []mls.Proposal
	turn := g.turn(4)
	if turn%2 == 0 {
		further = append(further, p.newPSK())
	}
	v, err := p.addPassive(turn < 2, further...)
	if err != nil {
		return nil, err
	}
	p.finish(v)
	return v, nil
}

// An event is what happens in one epoch.
type event func(p *party) error

// generatePassiveCommits shows one kind of event in each case, in turn, followed
// by a commit that has a path alone.
func generatePassiveCommits(g *generator) (vector, error) {
	events := []event{
		commitByReference, addByValue, removeByValue, externalPSK, resumptionPSK, changeContext, updatePath,
	}
	return history(g, partyOptions{}, events[g.turn(len(events))], updatePath)
}

// generatePassiveComponents shows SafeAADs and secrets of components, with
// PublicMessages and PrivateMessages in turn.
func generatePassiveComponents(g *generator) (vector, error) {
	o := partyOptions{private: g.turn(2) == 1, components: mls.ComponentsList{0x8000, 0x8001}}
	return history(g, o, commitByReference, updatePath)
}

// generatePassiveFewerSignatures shows key packages and Updates without an outer signature,
// with PublicMessages and PrivateMessages in turn.
func generatePassiveFewerSignatures(g *generator) (vector, error) {
	return history(g, partyOptions{private: g.turn(2) == 1, oneSignature: true}, commitByReference, updatePath)
}

// generatePassiveOutside shows what those do who are not members: external
// senders, clients that ask to be added, and external commits.
func generatePassiveOutside(g *generator) (vector, error) {
	return history(g, partyOptions{}, proposeFromOutside, joinFromOutside, resync, updatePath)
}

// history lets a passive client join a group of three and follow it through
// events.
func history(g *generator, o partyOptions, events ...event) (vector, error) {
	p, v, err := newHistory(g, o, events...)
	if err != nil {
		return nil, err
	}
	p.finish(v)
	return v, nil
}

// newHistory is history with a case that is not complete yet.
func newHistory(g *generator, o partyOptions, events ...event) (*party, *passiveClient, error) {
	p, err := newParty(g, o)
	if err != nil {
		return nil, nil, err
	}
	if err := p.addMembers(0, 2, false); err != nil {
		return nil, nil, err
	}
	v, err := p.addPassive(false)
	if err != nil {
		return nil, nil, err
	}
	for _, happens := range events {
		if err := happens(p); err != nil {
			return nil, nil, err
		}
	}
	return p, v, nil
}

func (p *party) commitProposals(proposals ...mls.Proposal) error {
	return p.commit(p.active(), mls.CommitOptions{Proposals: proposals})
}

func updatePath(p *party) error { return p.commitProposals() }

func addByValue(p *party) error { return p.addMembers(0, 1, false) }

func removeByValue(p *party) error { return p.removeMember(0, 1) }

func externalPSK(p *party) error { return p.commitProposals(p.newPSK()) }

func resumptionPSK(p *party) error { return p.commitProposals(p.pastPSK()) }

// changeContext admits an external sender.
func changeContext(p *party) error {
	_, err := p.admitSender()
	return err
}

// commitByReference commits an Add, an Update, a Remove and a PSK that were
// proposed.
func commitByReference(p *party) error {
	committer := p.active()
	other, err := p.bystander(committer)
	if err != nil {
		return err
	}
	c, err := p.newClient()
	if err != nil {
		return err
	}
	removed, err := p.bystander(committer, other)
	if err != nil {
		return err
	}
	for _, proposal := range []mls.Proposal{c.add(), nil, &mls.Remove{Removed: removed.group.OwnLeaf()}, p.newPSK()} {
		if err := p.propose(other, proposal); err != nil {
			return err
		}
	}
	return p.commit(committer, mls.CommitOptions{}, c)
}

// admitSender lets the group take proposals of an external sender, who is
// returned.
func (p *party) admitSender() (*client, error) {
	sender, err := p.newIdentity()
	if err != nil {
		return nil, err
	}
	admitted := mls.ExternalSenders(mls.ExternalSender{SignatureKey: sender.signer.public, Credential: sender.identity.Credential})
	return sender, p.commitProposals(&mls.GroupContextExtensions{Extensions: mls.Extensions{admitted}})
}

// proposeFromOutside lets an external sender propose to add a client and to
// remove a member, and another client ask to be added itself.
func proposeFromOutside(p *party) error {
	sender, err := p.admitSender()
	if err != nil {
		return err
	}
	proposed, err := p.newClient()
	if err != nil {
		return err
	}
	asking, err := p.newClient()
	if err != nil {
		return err
	}
	committer := p.active()
	removed, err := p.bystander(committer)
	if err != nil {
		return err
	}
	group := committer.group
	o := mls.ExternalProposalOptions{Suite: p.suite.ID(), GroupID: group.GroupID(), Epoch: group.Epoch(), Signer: sender.signer}
	for _, proposal := range []mls.Proposal{proposed.add(), &mls.Remove{Removed: removed.group.OwnLeaf()}} {
		message, err := mls.ProposeAsExternalSender(p.cfg, o, proposal)
		if err != nil {
			return err
		}
		if err := p.deliver(nil, message); err != nil {
			return err
		}
	}
	message, err := asking.bundle.ProposeJoin(p.cfg, group.GroupID(), group.Epoch(), nil)
	if err != nil {
		return err
	}
	if err := p.deliver(nil, message); err != nil {
		return err
	}
	return p.commit(committer, mls.CommitOptions{}, proposed, asking)
}

// joinFromOutside lets a new client join by an external commit with a PSK.
func joinFromOutside(p *party) error {
	c, err := p.newIdentity()
	if err != nil {
		return err
	}
	return p.joinFromOutside(c, p.newPSK())
}

// resync lets a member replace itself by an external commit.
func resync(p *party) error { return p.joinFromOutside(p.active()) }

// generatePassiveRandom lets a group live for a while, with proposals by
// reference.
func generatePassiveRandom(g *generator) (vector, error) {
	return history(g, partyOptions{}, randomEvents()...)
}

// generatePassivePrivate is generatePassiveRandom with handshake messages that
// are encrypted and padded.
func generatePassivePrivate(g *generator) (vector, error) {
	return history(g, partyOptions{private: true}, randomEvents()...)
}

// randomEvents show each kind of proposal, and some in other mixtures.
func randomEvents() []event { return []event{commitByReference, randomEvent, resumptionPSK} }

// The sizes between which random events keep a group, the passive client
// included.
const (
	minParty = 3
	maxParty = 5
)

// randomEvent commits up to three random proposals by reference and, now and
// then, one by value.
func randomEvent(p *party) error {
	r := &randomProposals{party: p, committer: p.active()}
	for range p.number(4) {
		proposal, err := r.next()
		if err != nil {
			return err
		}
		if err := p.propose(p.active(), proposal); err != nil {
			return err
		}
	}
	var byValue []mls.Proposal
	if p.number(3) == 0 {
		byValue = append(byValue, p.newPSK())
	}
	return p.commit(r.committer, mls.CommitOptions{Proposals: byValue}, r.added...)
}

// randomProposals are proposals for one commit.
type randomProposals struct {
	*party
	committer      *client
	added, removed []*client
	resumed        bool // there is a resumption PSK, which new members cannot know
}

// next returns a proposal that fits the ones before, nil for an Update.
func (r *randomProposals) next() (mls.Proposal, error) {
	size := len(r.members) + len(r.added) - len(r.removed)
	switch what := r.number(5); {
	case what == 0 && size < maxParty && !r.resumed:
		c, err := r.newClient()
		if err != nil {
			return nil, err
		}
		r.added = append(r.added, c)
		return c.add(), nil
	case what == 1 && size > minParty:
		c, err := r.bystander(append(r.removed, r.committer)...)
		if err != nil {
			return nil, err
		}
		r.removed = append(r.removed, c)
		return &mls.Remove{Removed: c.group.OwnLeaf()}, nil
	case what == 2:
		return r.newPSK(), nil
	case what == 3 && len(r.added) == 0:
		r.resumed = true
		return r.pastPSK(), nil
	}
	return nil, nil
}
