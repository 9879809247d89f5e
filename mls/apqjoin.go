package mls

import (
	"errors"
	"fmt"
)

// APQKeyPackageOptions are the properties of a new pair of key packages. What
// the pair needs is added to their leaves.
type APQKeyPackageOptions struct {
	// Mode is the one that the suites have to fit.
	Mode  APQMode
	T, PQ KeyPackageOptions
	// Bind, if set, may change the leaf of the traditional key package when the
	// other one, an MLSMessage, is made: for an application in which one names the
	// other.
	Bind func(pq []byte, t *LeafOptions)
}

// An APQKeyPackage is a client's verified key packages for both groups of a pair.
type APQKeyPackage struct{ T, PQ *KeyPackage }

// An APQKeyPackageBundle is a pair of key packages with their private keys. It is
// used once.
type APQKeyPackageBundle struct{ T, PQ *KeyPackageBundle }

// NewAPQKeyPackage makes a pair of key packages and their private keys. cfg
// needs what [NewAPQGroup] does.
func NewAPQKeyPackage(cfg *Config, o APQKeyPackageOptions) (*APQKeyPackageBundle, error) {
	cfg, err := cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	if err := cfg.apqSuites(o.T.Suite, o.PQ.Suite, o.Mode); err != nil {
		return nil, err
	}
	b := &APQKeyPackageBundle{}
	if b.PQ, err = newAPQHalf(cfg, o.PQ); err != nil {
		return nil, err
	}
	if o.Bind != nil {
		o.Bind(b.PQ.Message(), &o.T.Leaf)
	}
	if b.T, err = newAPQHalf(cfg, o.T); err != nil {
		b.Erase()
		return nil, err
	}
	return b, nil
}

// newAPQHalf makes one key package of a pair.
func newAPQHalf(cfg *Config, o KeyPackageOptions) (*KeyPackageBundle, error) {
	o.Leaf = apqLeaf(o.Leaf)
	return NewKeyPackage(cfg, o)
}

// Message returns the public parts as an MLSMessage.
func (b *APQKeyPackageBundle) Message() []byte { return joinPair(b.T.Message(), b.PQ.Message()) }

// Erase erases the private keys. It does no harm to groups that were joined with them.
func (b *APQKeyPackageBundle) Erase() {
	for _, half := range []*KeyPackageBundle{b.T, b.PQ} {
		if half != nil {
			half.Erase()
		}
	}
}

// An UnverifiedAPQKeyPackage is a pair of key packages that nothing is known of.
type UnverifiedAPQKeyPackage struct{ T, PQ *UnverifiedKeyPackage }

// ParseAPQKeyPackage decodes an MLSMessage that holds a pair of key packages.
func ParseAPQKeyPackage(message []byte) (*UnverifiedAPQKeyPackage, error) {
	p, err := (&Config{proposals: builtinProposals}).parsePair(message, WireFormatKeyPackage)
	if err != nil {
		return nil, err
	}
	return &UnverifiedAPQKeyPackage{T: &UnverifiedKeyPackage{keyPackage: p.t.keyPackage}, PQ: &UnverifiedKeyPackage{keyPackage: p.pq.keyPackage}}, nil
}

// Verify checks both key packages, and that they are of one client and of suites
// that go together.
func (u *UnverifiedAPQKeyPackage) Verify(cfg *Config, mode APQMode) (*APQKeyPackage, error) {
	cfg, err := cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	k := &APQKeyPackage{}
	if k.T, err = u.T.Verify(cfg); err != nil {
		return nil, err
	}
	if k.PQ, err = u.PQ.Verify(cfg); err != nil {
		return nil, err
	}
	if err := cfg.apqSuites(k.T.CipherSuite, k.PQ.CipherSuite, mode); err != nil {
		return nil, err
	}
	if !cfg.sameClient(&k.T.LeafNode, &k.PQ.LeafNode) {
		return nil, fmt.Errorf("mls: the key packages of a pair are of two clients: %w", ErrNoSuchMember)
	}
	return k, nil
}

// APQJoinOptions say how a pair of groups is joined.
type APQJoinOptions struct {
	// TRatchetTree and PQRatchetTree are the groups' trees, for Welcomes that do
	// not hold them.
	TRatchetTree, PQRatchetTree []byte
}

// JoinAPQ enters the pair of groups that a pair of Welcomes invites the holder of b
// to, as [Join] does: both groups or, on an error, none, and b can be used again.
func JoinAPQ(cfg *Config, message []byte, b *APQKeyPackageBundle, o APQJoinOptions) (_ *APQGroup, err error) {
	cfg, err = cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	p, err := cfg.parsePair(message, WireFormatWelcome)
	if err != nil {
		return nil, err
	}
	if b == nil || b.T == nil || b.PQ == nil {
		return nil, errors.New("mls: joining: there is no APQKeyPackageBundle")
	}
	pq, err := join(cfg, p.pData, b.PQ, JoinOptions{RatchetTree: o.PQRatchetTree})
	if err != nil {
		return nil, fmt.Errorf("mls: joining the post-quantum group: %w", err)
	}
	defer func() {
		if err != nil {
			pq.Erase()
		}
	}()
	psk, err := exportPSKOf(pq, b.T, cfg)
	if err != nil {
		return nil, err
	}
	defer psk.erase()
	t, err := join(cfg, p.tData, b.T, JoinOptions{RatchetTree: o.TRatchetTree, pairKey: psk})
	if err != nil {
		return nil, fmt.Errorf("mls: joining the traditional group: %w", err)
	}
	g := &APQGroup{t: t, pq: newSharedGroup(pq), owes: true}
	if err = psk.verifyUse(psk.asked); err == nil {
		err = g.verifyNew()
	}
	if err != nil {
		t.Erase()
		return nil, err
	}
	b.T.moveTo(t)
	b.PQ.moveTo(pq)
	return g, nil
}

// exportPSKOf is exportPSK for the traditional group that a key package is for.
func exportPSKOf(pq *Group, b *KeyPackageBundle, cfg *Config) (*apqPSK, error) {
	s, err := cfg.Suites.Lookup(b.keyPackage.CipherSuite)
	if err != nil {
		return nil, err
	}
	return exportPSK(pq, s)
}

// APQExternalJoinOptions say how a client joins a pair of groups by a full
// commit of its own.
type APQExternalJoinOptions struct{ T, PQ ExternalJoinOptions }

// JoinAPQExternal enters a pair of groups by a commit from outside, given the pair
// of their GroupInfos ([APQGroup.GroupInfo]), as [JoinExternal] does.
func JoinAPQExternal(cfg *Config, groupInfo []byte, o APQExternalJoinOptions) (_ *APQPendingCommit, err error) {
	cfg, err = cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	infos, err := cfg.parsePair(groupInfo, WireFormatGroupInfo)
	if err != nil {
		return nil, err
	}
	tContext, pqContext := &infos.t.groupInfo.context, &infos.pq.groupInfo.context
	before, err := apqInfoOf(tContext.extensions)
	if err != nil {
		return nil, err
	}
	after := before
	after.TEpoch, after.PQEpoch = tContext.epoch+1, pqContext.epoch+1
	updates := apqUpdates(before, after)
	for _, half := range []*ExternalJoinOptions{&o.T, &o.PQ} {
		half.Leaf = apqLeaf(half.Leaf)
		half.Proposals = append(append([]Proposal(nil), half.Proposals...), updates...)
	}
	p := &APQPendingCommit{}
	if p.pq, err = JoinExternal(cfg, infos.pData, o.PQ); err != nil {
		return nil, fmt.Errorf("mls: joining the post-quantum group: %w", err)
	}
	defer func() {
		if err != nil {
			p.pq.Erase()
		}
	}()
	suite, err := cfg.Suites.Lookup(tContext.cipherSuite)
	if err != nil {
		return nil, err
	}
	psk, err := exportPSK(p.pq.next, suite)
	if err != nil {
		return nil, err
	}
	defer psk.erase()
	proposal, err := psk.proposal(cfg, suite)
	if err != nil {
		return nil, err
	}
	o.T.pairKey = psk
	o.T.PSKs = append(append([]PreSharedKeyID(nil), o.T.PSKs...), proposal.PSK)
	if p.t, err = JoinExternal(cfg, infos.tData, o.T); err != nil {
		return nil, fmt.Errorf("mls: joining the traditional group: %w", err)
	}
	p.next = &APQGroup{t: p.t.next, pq: newSharedGroup(p.pq.next)}
	if err = p.next.verifyCommitted(p.t.contents.Proposals, p.pq.contents.Proposals, psk); err != nil {
		p.t.Erase()
		return nil, err
	}
	p.message = joinPair(p.t.message, p.pq.message)
	return p, nil
}
