package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// A party is a group with all of its members in one place.
type party struct {
	*generator
	partyOptions
	cfg     *mls.Config
	format  mls.WireFormat // of handshake messages
	members []*client
	psks    []passivePSK
	clients int // that there have been

	// What a passive client sees, once there is one.
	passive *client
	epochs  []passiveEpoch
	sent    []hexBytes // proposals of this epoch
}

// A client is, was or will be a member of a party.
type client struct {
	signer   *signatureKey
	identity mls.Identity
	bundle   *mls.KeyPackageBundle
	group    *mls.Group
	joined   uint64 // epoch
}

type partyOptions struct {
	private bool // handshake messages are PrivateMessages, and padded
	// components are those that speak in SafeAADs and take secrets of epochs.
	components mls.ComponentsList
	selfRemove bool // all members support SelfRemove
	// updated are those whose data in the GroupContext changes.
	updated mls.ComponentsList
	// oneSignature: key packages and Updates have no signature but that of their leaf.
	oneSignature bool
}

// generated is when all vectors are made.
var generated = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// newParty returns a group of one member.
func newParty(g *generator, o partyOptions) (*party, error) {
	p := emptyParty(g, o)
	creator, err := p.newIdentity()
	if err != nil {
		return nil, err
	}
	dictionary, err := p.dictionary()
	if err != nil {
		return nil, err
	}
	leaf, err := p.leafOptions()
	if err != nil {
		return nil, err
	}
	creator.group, err = mls.NewGroup(p.cfg, mls.GroupOptions{
		Suite: g.suite.ID(), Identity: creator.identity, GroupID: g.octets(16), Extensions: dictionary, Leaf: leaf,
	})
	p.members = []*client{creator}
	return p, err
}

func emptyParty(g *generator, o partyOptions) *party {
	p := &party{generator: g, partyOptions: o, format: mls.WireFormatPublicMessage}
	p.cfg = &mls.Config{
		AuthenticationService: acceptAll{},
		Now:                   func() time.Time { return generated },
		Rand:                  g.rand,
		ResumptionPSKs:        keptResumptionPSKs,
		OneSignature:          o.oneSignature,
		PSK:                   func(id mls.PreSharedKeyID) ([]byte, error) { return findPSK(p.psks, id) },
	}
	p.cfg.SelfRemove = o.selfRemove
	if o.private {
		p.format = mls.WireFormatPrivateMessage
		p.cfg.Padding = func(n int) int { return 256 - n%256 }
	}
	for _, id := range o.updated {
		p.cfg.Components = append(p.cfg.Components, mls.Component{ID: id})
	}
	return p
}

// dictionary returns the extension that names the party's components, if there
// are any. draft-ietf-mls-extensions, Section 4.9.
func (p *party) dictionary() (mls.Extensions, error) {
	if p.components == nil {
		return nil, nil
	}
	x, err := mls.AppDataDictionary{
		{ID: mls.ComponentAppComponents, Data: p.components.Marshal()},
		{ID: mls.ComponentSafeAAD, Data: p.components.Marshal()},
	}.Extension()
	return mls.Extensions{x}, err
}

// leafOptions keep leaves the same when more suites are built in.
func (p *party) leafOptions() (mls.LeafOptions, error) {
	dictionary, err := p.dictionary()
	return mls.LeafOptions{
		Capabilities: mls.Capabilities{CipherSuites: []ciphersuite.ID{p.suite.ID()}},
		Extensions:   dictionary,
	}, err
}

// newIdentity returns a client without a key package.
func (p *party) newIdentity() (*client, error) {
	name := fmt.Sprintf("client %d", p.clients)
	p.clients++
	return p.identify(mls.Credential{Type: mls.CredentialBasic, Identity: []byte(name)})
}

func (p *party) identify(credential mls.Credential) (*client, error) {
	signer, err := p.signer()
	if err != nil {
		return nil, err
	}
	return &client{signer: signer, identity: mls.Identity{Credential: credential, Signer: signer}}, nil
}

// newClient returns a client with a key package.
func (p *party) newClient() (*client, error) {
	c, err := p.newIdentity()
	if err != nil {
		return nil, err
	}
	return c, p.publish(c)
}

// publish gives a client a key package.
func (p *party) publish(c *client) error {
	leaf, err := p.leafOptions()
	if err != nil {
		return err
	}
	c.bundle, err = mls.NewKeyPackage(p.cfg, mls.KeyPackageOptions{Suite: p.suite.ID(), Identity: c.identity, Leaf: leaf, OneSignature: p.oneSignature})
	return err
}

func (c *client) add() *mls.Add { return &mls.Add{KeyPackage: c.bundle.KeyPackage()} }

// newPSK returns a proposal of a new external PSK, which all clients know.
func (p *party) newPSK() *mls.PreSharedKey {
	psk := passivePSK{ID: p.octets(16), PSK: p.octets(32)}
	p.psks = append(p.psks, psk)
	return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: psk.ID}}
}

// pastPSK returns a proposal of the resumption PSK of an epoch that all members
// have seen.
func (p *party) pastPSK() *mls.PreSharedKey {
	group := p.members[0].group
	since := uint64(0)
	for _, m := range p.members {
		since = max(since, m.joined)
	}
	return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{
		Type: mls.PSKResumption, Usage: mls.ResumptionApplication, Group: group.GroupID(),
		Epoch: since + uint64(p.number(int(group.Epoch()-since)+1)),
	}}
}

// authenticatedData returns what the components have to say in a message.
func (p *party) authenticatedData() ([]byte, error) {
	if p.components == nil {
		return nil, nil
	}
	var aad mls.SafeAAD
	for _, id := range p.components[:p.number(len(p.components)+1)] {
		aad = append(aad, mls.SafeAADItem{ID: id, Data: p.octets(8)})
	}
	return aad.Marshal()
}

// propose sends a proposal of a member, an Update if there is none.
func (p *party) propose(from *client, proposal mls.Proposal) error {
	aad, err := p.authenticatedData()
	if err != nil {
		return err
	}
	o := mls.ProposeOptions{WireFormat: p.format, AuthenticatedData: aad}
	var message []byte
	if proposal == nil {
		message, err = from.group.ProposeUpdate(mls.LeafChanges{}, o)
	} else {
		message, err = from.group.Propose(proposal, o)
	}
	if err != nil {
		return err
	}
	return p.deliver(from, message)
}

// deliver hands a proposal to all members but its sender, who may be none.
func (p *party) deliver(from *client, message []byte) error {
	p.sent = append(p.sent, message)
	for _, m := range p.members {
		if m == from {
			continue
		}
		if _, err := m.group.Process(message); err != nil {
			return err
		}
	}
	return nil
}

// commit lets a member commit. New members join.
func (p *party) commit(from *client, o mls.CommitOptions, added ...*client) error {
	pending, err := p.sendCommit(from, o)
	if err != nil {
		return err
	}
	for _, c := range added {
		if err := p.join(c, pending, nil); err != nil {
			return err
		}
	}
	return nil
}

// sendCommit lets a member commit, and all members enter the next epoch.
func (p *party) sendCommit(from *client, o mls.CommitOptions) (pending *mls.PendingCommit, err error) {
	o.WireFormat = p.format
	if o.AuthenticatedData, err = p.authenticatedData(); err != nil {
		return nil, err
	}
	if pending, err = from.group.Commit(o); err != nil {
		return nil, err
	}
	return pending, p.enter(from, pending)
}

// join lets a client join by a Welcome. previous is the group that this one
// continues, if any.
func (p *party) join(c *client, pending *mls.PendingCommit, previous *mls.Group) (err error) {
	o := mls.JoinOptions{RatchetTree: pending.RatchetTree(), Previous: previous}
	if c.group, err = mls.Join(p.cfg, pending.Welcome(), c.bundle, o); err != nil {
		return err
	}
	c.joined = c.group.Epoch()
	p.members = append(p.members, c)
	return nil
}

// enter takes all members to the epoch that a commit leads to.
func (p *party) enter(from *client, pending *mls.PendingCommit) error {
	var stay []*client
	for _, m := range p.members {
		if m == from {
			m.group = pending.Group()
			stay = append(stay, m)
			continue
		}
		received, err := m.group.Process(pending.Message())
		if err != nil {
			return err
		}
		commit, ok := received.(*mls.ReceivedCommit)
		if !ok {
			return fmt.Errorf("the commit is a %T", received)
		}
		if m.group = commit.Group(); m.group != nil {
			stay = append(stay, m)
		}
	}
	p.members = stay
	if p.passive != nil {
		if err := p.record(pending); err != nil {
			return err
		}
	}
	p.sent = nil
	return nil
}

// record adds an epoch to those that the passive client sees.
func (p *party) record(pending *mls.PendingCommit) error {
	group := pending.Group()
	e := passiveEpoch{
		Proposals: append([]hexBytes{}, p.sent...), Commit: pending.Message(), Authenticator: group.EpochAuthenticator(),
	}
	for _, component := range p.components {
		secret, err := group.SafeExportSecret(component)
		if err != nil {
			return err
		}
		e.SafeExports = append(e.SafeExports, componentSecret{uint16(component), secret})
	}
	if err := p.recordAppData(&e, pending); err != nil {
		return err
	}
	p.epochs = append(p.epochs, e)
	return nil
}

// addMembers lets a member add n new ones, with a path or without.
func (p *party) addMembers(from, n int, omitPath bool) error {
	o := mls.CommitOptions{OmitPath: omitPath}
	var added []*client
	for range n {
		c, err := p.newClient()
		if err != nil {
			return err
		}
		added, o.Proposals = append(added, c), append(o.Proposals, c.add())
	}
	return p.commit(p.members[from], o, added...)
}

// removeMember lets a member remove another.
func (p *party) removeMember(from, removed int) error {
	remove := &mls.Remove{Removed: p.members[removed].group.OwnLeaf()}
	return p.commit(p.members[from], mls.CommitOptions{Proposals: []mls.Proposal{remove}})
}

// addPassive lets the first member add a client that does nothing but follow,
// and returns the case of that client.
func (p *party) addPassive(treeApart bool, further ...mls.Proposal) (*passiveClient, error) {
	c, err := p.newClient()
	if err != nil {
		return nil, err
	}
	v := p.newPassiveClient(c)
	proposals := append([]mls.Proposal{c.add()}, further...)
	pending, err := p.sendCommit(p.members[0], mls.CommitOptions{Proposals: proposals, WithoutTree: treeApart})
	if err != nil {
		return nil, err
	}
	if treeApart {
		tree := hexBytes(pending.RatchetTree())
		v.RatchetTree = &tree
	}
	return v, p.joinPassive(c, v, pending, nil)
}

// newPassiveClient begins the case of a client with a key package.
func (p *party) newPassiveClient(c *client) *passiveClient {
	initKey, encryptionKey := hooks.MLS.BundleKeys(c.bundle)
	v := &passiveClient{
		ExternalPSKs: []passivePSK{}, KeyPackage: c.bundle.Message(), SignaturePriv: c.signer.private,
		EncryptionPriv: encryptionKey, InitPriv: initKey, Epochs: []passiveEpoch{},
	}
	v.CipherSuite = p.suite.ID()
	for _, id := range p.updated {
		v.Components = append(v.Components, uint16(id))
	}
	return v
}

// joinPassive lets the passive client join by a Welcome. previous is the group
// that this one continues, if any.
func (p *party) joinPassive(c *client, v *passiveClient, pending *mls.PendingCommit, previous *mls.Group) error {
	if err := p.join(c, pending, previous); err != nil {
		return err
	}
	p.passive = c
	v.Welcome, v.Authenticator = pending.Welcome(), c.group.EpochAuthenticator()
	return nil
}

// finish completes the case of the passive client.
func (p *party) finish(v *passiveClient) {
	v.Epochs = append(v.Epochs, p.epochs...)
	v.ExternalPSKs = append(v.ExternalPSKs, p.psks...)
}

// active returns a random member that is not the passive one.
func (p *party) active() *client {
	others := slices.DeleteFunc(slices.Clone(p.members), func(c *client) bool { return c == p.passive })
	return others[p.number(len(others))]
}

// joinFromOutside lets a client join by an external commit. If it is a member,
// it takes the place of what it was.
func (p *party) joinFromOutside(c *client, proposals ...mls.Proposal) error {
	info, err := p.active().group.GroupInfo(mls.GroupInfoOptions{})
	if err != nil {
		return err
	}
	leaf, err := p.leafOptions()
	if err != nil {
		return err
	}
	o := mls.ExternalJoinOptions{Identity: c.identity, Leaf: leaf, Proposals: proposals}
	if was := slices.Index(p.members, c); was >= 0 {
		p.members = slices.Delete(p.members, was, was+1)
		o.Resync = func(leaf *mls.LeafNode) bool { return bytes.Equal(leaf.SignatureKey, c.signer.public) }
	}
	if p.selfRemove {
		for _, message := range p.sent { // nothing else is pending
			o.SelfRemoves = append(o.SelfRemoves, message)
		}
	}
	pending, err := mls.JoinExternal(p.cfg, info, o)
	if err != nil {
		return err
	}
	if err := p.enter(nil, pending); err != nil {
		return err
	}
	c.group, c.joined = pending.Group(), pending.Group().Epoch()
	p.members = append(p.members, c)
	return nil
}

// errNoMember means that a party is too small for what is to happen.
var errNoMember = errors.New("conformance: no member is left for it")

// bystander returns a member that is neither the passive one nor one of others.
func (p *party) bystander(others ...*client) (*client, error) {
	for _, m := range p.members {
		if m != p.passive && !slices.Contains(others, m) {
			return m, nil
		}
	}
	return nil, errNoMember
}
