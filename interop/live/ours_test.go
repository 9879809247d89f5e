package live

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// mendlink is the implementation under test.
type mendlink struct {
	suites     *ciphersuite.Registry
	grease     bool
	components []mls.Component
	context    mls.Extensions // of the groups that are created
	selfRemove bool
}

func (mendlink) Name() string { return "mendlink" }

func (m mendlink) NewMember(id ciphersuite.ID, identity string) (member, error) {
	s, err := m.suites.Lookup(id)
	if err != nil {
		return nil, err
	}
	signer, err := s.GenerateSigner(rand.Reader)
	if err != nil {
		return nil, err
	}
	o := &ourMember{suite: s, signer: signer, identity: identity, psks: make(map[string][]byte)}
	o.cfg = &mls.Config{
		AuthenticationService: anybody{},
		Now:                   time.Now,
		Suites:                m.suites,
		PSK:                   o.psk,
		Padding:               func(n int) int { return -n & 31 },
		ResumptionPSKs:        3,
		GREASE:                m.grease,
		Components:            m.components,
		SelfRemove:            m.selfRemove,
	}
	o.context = m.context
	return o, nil
}

// anybody is an AuthenticationService that believes everybody.
type anybody struct{}

func (anybody) ValidateLeaf(leaf, previous *mls.LeafNode) error { return nil }

func (anybody) ValidateExternalSender(*mls.ExternalSender) error { return nil }

type ourMember struct {
	cfg        *mls.Config
	suite      *ciphersuite.Suite
	signer     crypto.Signer
	identity   string
	psks       map[string][]byte
	keyPackage *mls.KeyPackageBundle
	group      *mls.Group
	pending    *mls.PendingCommit
	context    mls.Extensions
}

func (o *ourMember) psk(id mls.PreSharedKeyID) ([]byte, error) {
	name := string(id.ID)
	if id.Type == mls.PSKApplication {
		name = componentPSK(uint16(id.Component), id.ID)
	}
	if secret, ok := o.psks[name]; ok && id.Type != mls.PSKResumption {
		return secret, nil
	}
	return nil, mls.ErrUnknownPSK
}

// componentPSK is the name under which a member has a component's key.
func componentPSK(component uint16, id []byte) string {
	return fmt.Sprintf("of %#04x: %s", component, id)
}

func (o *ourMember) id() mls.Identity {
	return mls.Identity{Credential: mls.BasicCredential([]byte(o.identity)), Signer: o.signer}
}

// followReInit gets a signer for the cipher suite of the group that succeeds a
// closed one.
func (o *ourMember) followReInit() (err error) {
	if o.group == nil || o.group.ReInit() == nil || o.group.ReInit().CipherSuite == o.suite.ID() {
		return nil
	}
	if o.suite, err = o.cfg.Suites.Lookup(o.group.ReInit().CipherSuite); err == nil {
		o.signer, err = o.suite.GenerateSigner(rand.Reader)
	}
	return err
}

func (o *ourMember) KeyPackage() (message []byte, err error) {
	if err := o.followReInit(); err != nil {
		return nil, err
	}
	o.keyPackage, err = mls.NewKeyPackage(o.cfg, mls.KeyPackageOptions{Suite: o.suite.ID(), Identity: o.id()})
	if err != nil {
		return nil, err
	}
	return o.keyPackage.Message(), nil
}

func (o *ourMember) AddPSK(id, secret []byte) error {
	o.psks[string(id)] = secret
	return nil
}

func (o *ourMember) Create(groupID []byte) (err error) {
	o.group, err = mls.NewGroup(o.cfg, mls.GroupOptions{Suite: o.suite.ID(), Identity: o.id(), GroupID: groupID, Extensions: o.context})
	return err
}

func (o *ourMember) Join(welcome, tree []byte) (err error) {
	o.group, err = mls.Join(o.cfg, welcome, o.keyPackage, mls.JoinOptions{RatchetTree: tree})
	return err
}

func (o *ourMember) JoinSuccessor(welcome []byte) error {
	next, err := mls.Join(o.cfg, welcome, o.keyPackage, mls.JoinOptions{Previous: o.group})
	if err == nil {
		o.enter(next)
	}
	return err
}

func (o *ourMember) Branch(groupID []byte, keyPackages [][]byte) ([]byte, error) {
	return o.succeed(o.group.Branch, mls.SuccessorOptions{GroupID: groupID}, keyPackages)
}

func (o *ourMember) Reinitialize(keyPackages [][]byte) ([]byte, error) {
	if err := o.followReInit(); err != nil {
		return nil, err
	}
	return o.succeed(o.group.ReInitialize, mls.SuccessorOptions{Identity: o.id()}, keyPackages)
}

func (o *ourMember) succeed(found func(mls.SuccessorOptions) (*mls.PendingCommit, error), options mls.SuccessorOptions, keyPackages [][]byte) ([]byte, error) {
	for _, message := range keyPackages {
		k, err := o.parseKeyPackage(message)
		if err != nil {
			return nil, err
		}
		options.KeyPackages = append(options.KeyPackages, k)
	}
	pending, err := found(options)
	if err != nil {
		return nil, err
	}
	o.enter(pending.Group())
	return pending.Welcome(), nil
}

func (o *ourMember) proposal(p proposal) (mls.Proposal, error) {
	switch {
	case p.Add != nil:
		k, err := o.parseKeyPackage(p.Add)
		return &mls.Add{KeyPackage: k}, err
	case p.Remove != nil:
		return &mls.Remove{Removed: mls.LeafIndex(*p.Remove)}, nil
	case p.PSK != nil:
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: p.PSK}}, nil
	case p.AppPSK != nil:
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{
			Type: mls.PSKApplication, Component: mls.ComponentID(p.AppPSK.Component), ID: p.AppPSK.Data,
		}}, nil
	case p.AppDataUpdate != nil:
		return &mls.AppDataUpdate{Component: mls.ComponentID(p.AppDataUpdate.Component), Update: p.AppDataUpdate.Data}, nil
	case p.AppDataRemove != nil:
		return &mls.AppDataUpdate{Component: mls.ComponentID(*p.AppDataRemove), Remove: true}, nil
	case p.AppEphemeral != nil:
		return &mls.AppEphemeral{Component: mls.ComponentID(p.AppEphemeral.Component), Data: p.AppEphemeral.Data}, nil
	case p.Resumption != nil:
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{
			Type: mls.PSKResumption, Usage: mls.ResumptionApplication, Group: o.group.GroupID(), Epoch: *p.Resumption,
		}}, nil
	case p.ReInit != nil:
		return &mls.ReInit{GroupID: p.ReInit.GroupID, Version: mls.MLS10, CipherSuite: p.ReInit.Suite}, nil
	case p.ContextExtensions != nil:
		var extensions mls.Extensions
		for _, x := range p.ContextExtensions {
			extensions = append(extensions, mls.Extension{Type: mls.ExtensionType(x.Type), Data: x.Data})
		}
		return &mls.GroupContextExtensions{Extensions: extensions}, nil
	}
	return nil, errors.New("no such proposal")
}

func (o *ourMember) parseKeyPackage(message []byte) (*mls.KeyPackage, error) {
	unverified, err := mls.ParseKeyPackage(message)
	if err != nil {
		return nil, err
	}
	return unverified.Verify(o.cfg)
}

func wireFormat(public bool) mls.WireFormat {
	if public {
		return mls.WireFormatPublicMessage
	}
	return mls.WireFormatPrivateMessage
}

func (o *ourMember) Propose(p proposal, public bool) ([]byte, error) {
	options := mls.ProposeOptions{WireFormat: wireFormat(public)}
	if p.Update {
		return o.group.ProposeUpdate(mls.LeafChanges{}, options)
	}
	if p.SelfRemove {
		options.WireFormat = mls.WireFormatPublicMessage
		return o.group.Propose(&mls.SelfRemove{}, options)
	}
	parsed, err := o.proposal(p)
	if err != nil {
		return nil, err
	}
	return o.group.Propose(parsed, options)
}

// nothing is the authenticated data of handshake messages: a SafeAAD without items where the group asks for one.
func (o *ourMember) nothing() []byte {
	dictionary, err := o.group.Extensions().AppDataDictionary()
	if _, framed := dictionary.Find(mls.ComponentSafeAAD); err == nil && framed {
		return []byte{0}
	}
	return nil
}

func (o *ourMember) Commit(c commit) (*committed, error) {
	options := mls.CommitOptions{WireFormat: wireFormat(c.Public), WithoutTree: c.WithoutTree, AuthenticatedData: o.nothing()}
	for _, p := range c.Proposals {
		parsed, err := o.proposal(p)
		if err != nil {
			return nil, err
		}
		options.Proposals = append(options.Proposals, parsed)
	}
	pending, err := o.group.Commit(options)
	if err != nil {
		return nil, err
	}
	o.pending = pending
	return &committed{Message: pending.Message(), Welcome: pending.Welcome(), Tree: pending.RatchetTree()}, nil
}

func (o *ourMember) Merge() error {
	if o.pending == nil {
		return errors.New("there is no commit")
	}
	o.enter(o.pending.Group())
	o.pending = nil
	return nil
}

func (o *ourMember) enter(next *mls.Group) {
	if o.group != nil {
		o.group.Erase()
	}
	o.group = next
}

func (o *ourMember) Protect(data, authenticatedData []byte) ([]byte, error) {
	return o.group.Protect(data, authenticatedData)
}

func (o *ourMember) Process(message []byte) (*received, error) {
	result, err := o.group.Process(message)
	if err != nil {
		return nil, err
	}
	switch r := result.(type) {
	case *mls.ReceivedApplication:
		return &received{Kind: "application", Data: r.Data}, nil
	case *mls.ReceivedProposal:
		return &received{Kind: "proposal"}, nil
	case *mls.ReceivedCommit:
		if r.Group() != nil {
			o.enter(r.Group())
		}
		return &received{Kind: "commit", Removed: r.Group() == nil}, nil
	}
	return nil, fmt.Errorf("received a %T", result)
}

func (o *ourMember) GroupInfo(withoutTree bool) (*groupInfo, error) {
	message, err := o.group.GroupInfo(mls.GroupInfoOptions{WithoutTree: withoutTree})
	if err != nil {
		return nil, err
	}
	info := &groupInfo{Message: message}
	if withoutTree {
		info.Tree = o.group.RatchetTree()
	}
	return info, nil
}

func (o *ourMember) ExternalJoin(info *groupInfo, resync bool) ([]byte, error) {
	options := mls.ExternalJoinOptions{Identity: o.id(), RatchetTree: info.Tree}
	if resync {
		options.Resync = func(leaf *mls.LeafNode) bool { return string(leaf.Credential.Identity) == o.identity }
	}
	pending, err := mls.JoinExternal(o.cfg, info.Message, options)
	if err != nil {
		return nil, err
	}
	o.pending = pending
	return pending.Message(), nil
}

func (o *ourMember) ProposeJoin(info *groupInfo) ([]byte, error) {
	group, err := mls.NewObserver(o.cfg, info.Message, info.Tree)
	if err != nil {
		return nil, err
	}
	if _, err := o.KeyPackage(); err != nil {
		return nil, err
	}
	return o.keyPackage.ProposeJoin(o.cfg, group.GroupID(), group.Epoch(), nil)
}

func (o *ourMember) ExternalSender() ([]byte, error) {
	key, err := o.suite.SignaturePublicKey(o.signer.Public())
	if err != nil {
		return nil, err
	}
	list := mls.ExternalSenders(mls.ExternalSender{SignatureKey: key, Credential: o.id().Credential}).Data
	return wire.NewReader(list).Opaque(), nil
}

func (o *ourMember) ProposeFromOutside(info *groupInfo, p proposal) ([]byte, error) {
	group, err := mls.NewObserver(o.cfg, info.Message, info.Tree)
	if err != nil {
		return nil, err
	}
	parsed, err := o.proposal(p)
	if err != nil {
		return nil, err
	}
	return mls.ProposeAsExternalSender(o.cfg, mls.ExternalProposalOptions{
		Suite: o.suite.ID(), GroupID: group.GroupID(), Epoch: group.Epoch(), Signer: o.signer,
	}, parsed)
}

func (o *ourMember) Status() (*status, error) {
	exported, err := o.group.Export(exportLabel, exportContext, exportLength)
	if err != nil {
		return nil, err
	}
	s := &status{Epoch: o.group.Epoch(), Authenticator: o.group.EpochAuthenticator(), Exported: exported}
	for _, m := range o.group.Members() {
		s.Members = append(s.Members, memberStatus{uint32(m.Index), m.Leaf.Credential.Identity})
	}
	return s, nil
}

func (o *ourMember) Close() error {
	if o.group != nil {
		o.group.Erase()
	}
	return nil
}
