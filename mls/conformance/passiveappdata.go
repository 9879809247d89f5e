package conformance

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls"
)

// generatePassiveAppData shows how components change their data in the
// GroupContext and speak with commits: by reference and by value, from members,
// an external sender and one who joins by itself.
func generatePassiveAppData(g *generator) (vector, error) {
	o := partyOptions{private: g.turn(2) == 1, updated: mls.ComponentsList{0x8000, 0x8001, 0x8002}}
	return history(g, o, updateAppData, removeAppData, updateFromOutside, joinWithAppData)
}

func (p *party) newUpdate(component mls.ComponentID, size int) *mls.AppDataUpdate {
	return &mls.AppDataUpdate{Component: component, Update: p.octets(size)}
}

func (p *party) newEphemeral(component mls.ComponentID) *mls.AppEphemeral {
	return &mls.AppEphemeral{Component: component, Data: p.octets(5)}
}

// updateAppData commits updates without a path: two of one component, of which
// the last one stays, and one that comes before entries that are there.
func updateAppData(p *party) error {
	committer := p.active()
	other, err := p.bystander(committer)
	if err != nil {
		return err
	}
	for _, proposal := range []mls.Proposal{p.newUpdate(p.updated[1], 9), p.newEphemeral(p.updated[0]), p.newUpdate(p.updated[2], 0)} {
		if err := p.propose(other, proposal); err != nil {
			return err
		}
	}
	return p.commit(committer, mls.CommitOptions{OmitPath: true, Proposals: []mls.Proposal{
		p.newUpdate(p.updated[1], 7), p.newUpdate(p.updated[0], 70), p.newEphemeral(p.updated[2]), p.newEphemeral(p.updated[0]),
	}})
}

// removeAppData removes an entry and changes another, with a path.
func removeAppData(p *party) error {
	return p.commitProposals(&mls.AppDataUpdate{Component: p.updated[1], Remove: true}, p.newUpdate(p.updated[2], 20))
}

// updateFromOutside admits an external sender, with the dictionary as it is and an
// update in the same commit, and lets that propose.
func updateFromOutside(p *party) error {
	sender, err := p.newIdentity()
	if err != nil {
		return err
	}
	admitted := mls.ExternalSenders(mls.ExternalSender{SignatureKey: sender.signer.public, Credential: sender.identity.Credential})
	extensions := append(slices.Clone(p.members[0].group.Extensions()), admitted)
	if err := p.commitProposals(p.newUpdate(p.updated[1], 1), &mls.GroupContextExtensions{Extensions: extensions}); err != nil {
		return err
	}
	group := p.members[0].group
	o := mls.ExternalProposalOptions{Suite: p.suite.ID(), GroupID: group.GroupID(), Epoch: group.Epoch(), Signer: sender.signer}
	for _, proposal := range []mls.Proposal{p.newEphemeral(p.updated[1]), p.newUpdate(p.updated[0], 4)} {
		message, err := mls.ProposeAsExternalSender(p.cfg, o, proposal)
		if err != nil {
			return err
		}
		if err := p.deliver(nil, message); err != nil {
			return err
		}
	}
	return p.commit(p.active(), mls.CommitOptions{OmitPath: true})
}

// joinWithAppData lets a client join by an external commit that updates.
func joinWithAppData(p *party) error {
	c, err := p.newIdentity()
	if err != nil {
		return err
	}
	return p.joinFromOutside(c, p.newUpdate(p.updated[2], 3), p.newEphemeral(p.updated[1]))
}

// recordAppData adds to an epoch what its commit says to components, and what
// they have after it.
func (p *party) recordAppData(e *passiveEpoch, pending *mls.PendingCommit) error {
	if p.updated == nil {
		return nil
	}
	e.AppEphemerals = appEphemerals(pending.Proposals())
	dictionary, err := pending.Group().Extensions().AppDataDictionary()
	if err != nil {
		return err
	}
	e.AppData = appData(dictionary)
	return nil
}

func appEphemerals(proposals []mls.CommittedProposal) (entries []componentEntry) {
	for _, p := range proposals {
		if a, ok := p.Proposal.(*mls.AppEphemeral); ok {
			entries = append(entries, componentEntry{uint16(a.Component), a.Data})
		}
	}
	return entries
}

func appData(dictionary mls.AppDataDictionary) (entries []componentEntry) {
	for _, entry := range dictionary {
		entries = append(entries, componentEntry{uint16(entry.ID), entry.Data})
	}
	return entries
}

// appData compares what a commit says to components, and what they have after it,
// if the epoch says anything of that.
func (c *checker) appData(i int, commit *mls.ReceivedCommit, e *passiveEpoch) {
	if e.AppData == nil && e.AppEphemerals == nil {
		return
	}
	dictionary, err := commit.Group().Extensions().AppDataDictionary()
	if !c.ok(fmt.Sprintf("epochs[%d]: app_data_dictionary", i), err) {
		return
	}
	for what, lists := range map[string][2][]componentEntry{
		"app_data":       {appData(dictionary), e.AppData},
		"app_ephemerals": {appEphemerals(commit.Proposals), e.AppEphemerals},
	} {
		got := lists[0]
		c.entries(fmt.Sprintf("epochs[%d].%s", i, what), len(got), lists[1], func(k int) (mls.ComponentID, []byte) {
			return mls.ComponentID(got[k].Component), got[k].Data
		})
	}
}
