package mls

import "bytes"

// A BranchPoint is what a member keeps of an epoch that it leaves, to join a
// branch that another makes of it: who its members are, and its resumption PSK.
// No message of the epoch can be read or made with it, and no later epoch reached.
type BranchPoint struct {
	state publicState
	psk   []byte // nil once it is erased
}

// BranchPoint returns that of g's epoch, which outlives g. It returns nil if g is
// erased.
func (g *Group) BranchPoint() *BranchPoint {
	if g.erased {
		return nil
	}
	p := &BranchPoint{state: g.publicState, psk: bytes.Clone(g.epoch.ResumptionPSK)}
	p.state.proposals = nil // they have private keys
	return p
}

// Epoch returns the number of the epoch.
func (p *BranchPoint) Epoch() uint64 { return p.state.context.epoch }

// Erase erases the PSK. No branch of this epoch can be joined any more.
func (p *BranchPoint) Erase() {
	clear(p.psk)
	p.psk = nil
}

// BranchKeyPackage makes a key package for a branch of g: of g's cipher suite, under
// the credential and the signature key that the member has in g. cfg is the
// configuration of the branch. RFC 9420, Section 11.3.
func (g *Group) BranchKeyPackage(cfg *Config, leaf LeafOptions) (*KeyPackageBundle, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	return NewKeyPackage(cfg, KeyPackageOptions{Suite: g.suite.ID(), Identity: g.ownIdentity(), Leaf: leaf})
}

// ownIdentity returns what the member shows in g, and the key that proves it.
func (g *Group) ownIdentity() Identity {
	return Identity{Credential: g.tree.leafNode(g.own).Credential, Signer: g.signer}
}
