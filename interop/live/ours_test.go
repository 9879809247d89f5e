package live

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// mendlink is the implementation under test.
type mendlink struct {
	suites *ciphersuite.Registry
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
	}
	return o, nil
}

// anybody is an AuthenticationService that believes everybody.
type anybody struct{}

func (anybody) ValidateLeaf(leaf, previous *mls.LeafNode) error { return nil }

type ourMember struct {
	cfg        *mls.Config
	suite      *ciphersuite.Suite
	signer     crypto.Signer
	identity   string
	psks       map[string][]byte
	keyPackage *mls.KeyPackageBundle
	group      *mls.Group
	pending    *mls.PendingCommit
}

func (o *ourMember) psk(id mls.PreSharedKeyID) ([]byte, error) {
	if secret, ok := o.psks[string(id.ID)]; ok && id.Type == mls.PSKExternal {
		return secret, nil
	}
	return nil, mls.ErrUnknownPSK
}

func (o *ourMember) id() mls.Identity {
	return mls.Identity{Credential: mls.BasicCredential([]byte(o.identity)), Signer: o.signer}
}

func (o *ourMember) KeyPackage() (message []byte, err error) {
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
	o.group, err = mls.NewGroup(o.cfg, mls.GroupOptions{Suite: o.suite.ID(), Identity: o.id(), GroupID: groupID})
	return err
}

func (o *ourMember) Join(welcome, tree []byte) (err error) {
	o.group, err = mls.Join(o.cfg, welcome, o.keyPackage, mls.JoinOptions{RatchetTree: tree})
	return err
}

func (o *ourMember) proposal(p proposal) (mls.Proposal, error) {
	switch {
	case p.Add != nil:
		k, err := o.parseKeyPackage(p.Add)
		return &mls.Add{KeyPackage: k}, err
	case p.Remove != nil:
		return &mls.Remove{Removed: mls.LeafIndex(*p.Remove)}, nil
	case p.PSK != nil:
		nonce := make([]byte, o.suite.HashSize())
		rand.Read(nonce)
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: p.PSK, Nonce: nonce}}, nil
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
	parsed, err := o.proposal(p)
	if err != nil {
		return nil, err
	}
	return o.group.Propose(parsed, options)
}

func (o *ourMember) Commit(c commit) (*committed, error) {
	options := mls.CommitOptions{WireFormat: wireFormat(c.Public), WithoutTree: c.WithoutTree}
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
