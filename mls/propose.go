package mls

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/internal/wire"
)

// LeafChanges are what a member changes in its own leaf besides the encryption
// key, which always changes. The zero value changes nothing else.
type LeafChanges struct {
	// Identity is a new credential and signature key. The others ask their AuthenticationService about it, and
	// the member does not: it may adopt a commit that they refuse.
	Identity *Identity
	// Capabilities take the place of the leaf's, if not nil.
	Capabilities *Capabilities
	// Extensions take the place of the leaf's, if not nil. The client's components
	// are added to them, as in a new leaf.
	Extensions *Extensions
}

// apply returns the changed copy of a leaf and the identity that signs it.
func (c *LeafChanges) apply(g *Group, old *LeafNode) (*LeafNode, *Identity, error) {
	leaf := *old
	id := &Identity{Credential: old.Credential, Signer: g.signer}
	if c.Identity != nil {
		id = c.Identity
		key, err := encodedSignatureKey(g.suite, id.Signer)
		if err != nil {
			return nil, nil, err
		}
		leaf.Credential, leaf.SignatureKey = id.Credential, key
		if err := g.cfg.verifyOwnCredential(&leaf); err != nil {
			return nil, nil, err
		}
	}
	if c.Capabilities != nil {
		leaf.Capabilities = c.Capabilities.clone()
		for _, x := range leaf.Extensions { // the client has added it, not the caller
			if isGrease(x.Type) && !leaf.Capabilities.supportsExtension(x.Type) {
				leaf.Capabilities.Extensions = append(leaf.Capabilities.Extensions, x.Type)
			}
		}
		if err := leaf.Capabilities.verifyTypes(); err != nil {
			return nil, nil, err
		}
	}
	if c.Extensions != nil {
		leaf.Extensions = c.Extensions.clone()
	}
	if c.Capabilities != nil || c.Extensions != nil {
		if err := g.cfg.describeComponents(&leaf); err != nil {
			return nil, nil, err
		}
	}
	return &leaf, id, leaf.dropOuterHashes()
}

// ProposeOptions say how a proposal is sent.
type ProposeOptions struct {
	// AuthenticatedData travels with the message in the clear.
	AuthenticatedData []byte
	// WireFormat is [WireFormatPrivateMessage] (the default) or
	// [WireFormatPublicMessage] (what a SelfRemove has to be, and is by default).
	WireFormat WireFormat
}

// Propose sends a proposal to the group, as an MLSMessage, for a later commit
// by any member. The group remembers it. For an Update, use
// [Group.ProposeUpdate]. The nonce of a PreSharedKey that has none is drawn at
// random. RFC 9420, Section 12.1.
func (g *Group) Propose(p Proposal, o ProposeOptions) ([]byte, error) {
	if err := whole(p); err != nil {
		return nil, err
	}
	if p.ProposalType() == ProposalUpdate || p.ProposalType() == ProposalExternalInit {
		return nil, fmt.Errorf("mls: proposing %v: %w", p.ProposalType(), ErrUnsupported)
	}
	return g.propose(&cachedProposal{proposal: p}, o)
}

// ProposeUpdate proposes a new leaf for this member, with a fresh encryption
// key and the given changes. The change takes effect with another member's
// commit. With [Config.OneSignature], the message has no signature around that of the
// leaf if all members understand that and the signature key stays. RFC 9420, Section 12.1.2.
func (g *Group) ProposeUpdate(c LeafChanges, o ProposeOptions) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	old := g.tree.leafNode(g.own)
	leaf, id, err := c.apply(g, old)
	if err != nil {
		return nil, fmt.Errorf("mls: proposing an update: %w", err)
	}
	if o.WireFormat == 0 {
		o.WireFormat = WireFormatPrivateMessage
	}
	if g.usesOneSignature(leaf, old) {
		o.WireFormat = o.WireFormat.withoutSignature()
		a := g.newContent(ContentProposal, o.WireFormat, o.AuthenticatedData)
		if err := leaf.setComponent(ComponentOuterUpdateHash, outerHash(g.outerUpdateHash(a))); err != nil {
			return nil, fmt.Errorf("mls: proposing an update: %w", err)
		}
	}
	key, err := g.suite.GenerateHPKEKeyPair(g.cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("mls: proposing an update: %w", err)
	}
	leaf.EncryptionKey = key.PublicKey()
	leaf.Source, leaf.Lifetime, leaf.ParentHash = LeafNodeSourceUpdate, Lifetime{}, nil
	if err := g.cfg.verifyLeafContents(leaf, LeafNodeSourceUpdate); err != nil {
		return nil, err
	}
	if err := leaf.sign(g.suite, g.cfg.Rand, id, g.context.groupID, g.own); err != nil {
		return nil, fmt.Errorf("mls: proposing an update: %w", err)
	}
	cached := &cachedProposal{proposal: &Update{LeafNode: leaf}, leafKey: newSharedKey(key)}
	if c.Identity != nil {
		cached.changesSigner, cached.signer = true, id.Signer
	}
	return g.propose(cached, o)
}

func (g *Group) propose(cached *cachedProposal, o ProposeOptions) (message []byte, err error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	if o.WireFormat == 0 {
		o.WireFormat = WireFormatPrivateMessage
		if cached.proposal.ProposalType() == ProposalSelfRemove {
			o.WireFormat = WireFormatPublicMessage
		}
	}
	if err := verifySelfRemoveIsPublic(cached.proposal, o.WireFormat); err != nil {
		return nil, err
	}
	if err := g.verifyFirstSelfRemove(cached.proposal); err != nil {
		return nil, err
	}
	a := g.newContent(ContentProposal, o.WireFormat, o.AuthenticatedData)
	if cached.leafKey == nil { // what ProposeUpdate made needs neither a copy nor a check
		if cached.proposal, err = g.complete(cached.proposal); err != nil {
			return nil, err
		}
		if err := g.verifyProposal(a.content.sender, cached.proposal); err != nil {
			return nil, err
		}
	}
	a.content.proposal = cached.proposal
	message, err = g.signAndProtect(a)
	if err != nil {
		return nil, err
	}
	cached.sender, cached.verified = a.content.sender, true
	cached.sent, cached.authenticatedData = g.suite.Hash(message), bytes.Clone(o.AuthenticatedData)
	cached.ref = proposalRef(g.suite, a)
	g.proposals = append(g.proposals, cached)
	return message, nil
}

// whole reports what is missing from a proposal that the application has made.
func whole(p Proposal) error {
	if p == nil {
		return errors.New("mls: a Proposal is nil")
	}
	if add, ok := p.(*Add); ok && add.KeyPackage == nil {
		return errors.New("mls: Add needs a KeyPackage")
	}
	return nil
}

// complete returns a copy of a caller's proposal, with what is left to the sender to
// choose at random.
func (s *publicState) complete(p Proposal) (Proposal, error) {
	if err := whole(p); err != nil {
		return nil, err
	}
	if psk, ok := p.(*PreSharedKey); ok && psk.PSK.Nonce == nil {
		completed := *psk
		completed.PSK.Nonce = make([]byte, s.suite.HashSize())
		if _, err := io.ReadFull(s.cfg.Rand, completed.PSK.Nonce); err != nil {
			return nil, fmt.Errorf("mls: drawing a PSK nonce: %w", err)
		}
		p = &completed
	}
	return s.cfg.copyProposal(p)
}

// copyProposal returns a copy that stays as it is, whatever becomes of p. A key
// package is shared, since what was changed in it does not pass for verified.
func (c *Config) copyProposal(p Proposal) (Proposal, error) {
	if add, ok := p.(*Add); ok {
		return &Add{KeyPackage: add.KeyPackage}, nil
	}
	r := wire.NewReaderWithContext(wire.Encode(func(w *wire.Writer) { writeProposal(w, p) }), c.proposals)
	copied := readProposal(r)
	return copied, r.Finish()
}
