package mls

import (
	"bytes"
	"crypto"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// stateVersion is the first field of a marshalled Group.
//
//	1  the first
//	2  remembered proposals of the member's own know their message
//	3  keys of overtaken messages know since when they wait
//	4  what stays as it is throughout the epoch comes first, so that the rest can
//	   be saved apart; Updates that change the signature key are kept
//	5  the application messages that were received come last; where none are
//	   remembered, version 4 is written
const stateVersion uint16 = 4

const stateWithReceived uint16 = 5

// version returns the state version of what encodeUsage writes.
func (g *Group) version() uint16 {
	if len(g.received) > 0 {
		return stateWithReceived
	}
	return stateVersion
}

// Marshal returns the group's state, secrets included, for [RestoreGroup]. It
// holds what the epoch can still do and nothing that was erased. No private
// signature key is in it.
func (g *Group) Marshal() ([]byte, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: marshalling a group: %w", ErrErased)
	}
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(g.version())
		g.encodeEpoch(w)
		g.encodeUsage(w)
	}), nil
}

// RestoreGroup returns the group that [Group.Marshal] wrote. signer is the
// private key to the signature key of the member's leaf. state has to come from
// a place that nobody else can write to: it is checked for consistency only as
// far as that memory stays safe.
//
// An Update of the member's own that waits for a commit and brings another
// signature key is forgotten, and has to be proposed again. A [Client] keeps it.
func RestoreGroup(cfg *Config, signer crypto.Signer, state []byte) (*Group, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	g, err := restoreGroup(cfg, OnlySigner(signer), wire.NewReaderWithContext(bytes.Clone(state), cfg.proposals))
	if err != nil {
		return nil, fmt.Errorf("mls: restoring a group: %w", err)
	}
	return g, nil
}

// restoreGroup reads all that r has as a state of any version.
func restoreGroup(cfg *Config, signers SignerLookup, r *wire.Reader) (*Group, error) {
	version, err := readStateVersion(r)
	if err != nil {
		return nil, err
	}
	g := newRestored(cfg)
	err = g.decodeEpoch(r, version)
	if err == nil && version >= 4 { // before, decodeEpoch has read all
		err = g.decodeUsage(r, version)
	}
	if err == nil {
		err = r.Finish()
	}
	if err == nil {
		err = g.takeSigners(signers)
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

func newRestored(cfg *Config) *Group {
	return &Group{
		publicState: publicState{cfg: cfg, tree: new(ratchetTree)},
		epoch:       new(keysched.Epoch),
	}
}

func readStateVersion(r *wire.Reader) (uint16, error) {
	version := r.Uint16()
	if err := r.Err(); err != nil {
		return 0, err
	}
	if version < 1 || version > stateWithReceived {
		return 0, fmt.Errorf("state version %d, want 1 to %d: %w", version, stateWithReceived, ErrUnsupported)
	}
	return version, nil
}

// encodeEpoch writes what stays the same throughout the epoch, but for the
// exporter secret, which may be erased.
func (g *Group) encodeEpoch(w *wire.Writer) {
	g.context.encode(w)
	w.Uint32(uint32(g.own))
	g.tree.encode(w)
	w.Opaque(g.confirmationTag)
	w.Opaque(g.interimTranscriptHash)
	for _, secret := range epochSecrets(g.epoch) {
		w.Opaque(*secret)
	}
	w.Vector(func() {
		for _, held := range g.keys {
			private := held.key.Bytes()
			w.Uint32(uint32(held.node))
			w.Opaque(private)
			clear(private)
		}
	})
	w.Vector(func() {
		for _, p := range g.pastResumptionPSKs {
			w.Uint64(p.epoch)
			w.Opaque(p.secret)
		}
	})
	w.Optional(g.reInit != nil)
	if g.reInit != nil {
		g.reInit.encode(w)
	}
}

// encodeUsage writes what is left of the epoch's keys, and the proposals that
// came so far.
func (g *Group) encodeUsage(w *wire.Writer) {
	g.secrets.MarshalTo(w)
	g.exporter.MarshalTo(w)
	w.Vector(func() {
		for _, p := range g.proposals {
			p.encode(w)
		}
	})
	if g.version() == stateWithReceived {
		writeVector(w, g.received)
	}
}

// decodeEpoch reads what encodeEpoch wrote. In versions before 4, the parts of
// encodeUsage are among that.
func (g *Group) decodeEpoch(r *wire.Reader, version uint16) (err error) {
	g.context.decode(r)
	g.own = LeafIndex(r.Uint32())
	g.tree.decode(r)
	g.confirmationTag = r.Opaque()
	g.interimTranscriptHash = r.Opaque()
	for _, secret := range epochSecrets(g.epoch) {
		*secret = r.Opaque()
	}
	if err := r.Err(); err != nil {
		return err
	}
	if g.suite, err = g.cfg.Suites.Lookup(g.context.cipherSuite); err != nil {
		return err
	}
	if err := g.tree.parseKeys(g.suite); err != nil {
		return err
	}
	if version < 4 {
		if err := g.decodeSecrets(r); err != nil {
			return err
		}
	}
	r.Vector(func(r *wire.Reader) {
		x := treemath.NodeIndex(r.Uint32())
		private := r.Opaque()
		key, err := g.restoreKey(x, private)
		clear(private)
		if err != nil {
			r.Fail(err)
			return
		}
		g.keys.put(x, newSharedKey(key))
	})
	r.Vector(func(r *wire.Reader) {
		g.pastResumptionPSKs = append(g.pastResumptionPSKs, pastPSK{r.Uint64(), r.Opaque()})
	})
	if version < 4 {
		g.decodeProposals(r, version)
	}
	if r.Optional() {
		g.reInit = new(ReInit)
		g.reInit.decode(r)
	}
	g.encodedContext = marshal(&g.context)
	return r.Err()
}

func (g *Group) decodeUsage(r *wire.Reader, version uint16) error {
	if err := g.decodeSecrets(r); err != nil {
		return err
	}
	g.decodeProposals(r, version)
	if version >= stateWithReceived {
		ranges := readVector[MessageRange](r)
		if err := verifyRanges(ranges); err != nil {
			return err
		}
		g.received = newMessageSet(ranges)
	}
	return r.Err()
}

func (g *Group) decodeSecrets(r *wire.Reader) (err error) {
	defer eraseRead(r, r.Rest())
	if g.secrets, err = secrettree.Unmarshal(g.suite, r, g.cfg.ratchetLimits()); err != nil {
		return err
	}
	g.exporter, err = secrettree.UnmarshalExporterTree(g.suite, r)
	return err
}

// eraseRead erases what was read since r had rest. It is for secrets that were
// copied, since what is read beside them keeps their memory in use.
func eraseRead(r *wire.Reader, rest []byte) { clear(rest[:len(rest)-len(r.Rest())]) }

func (g *Group) decodeProposals(r *wire.Reader, version uint16) {
	r.Vector(func(r *wire.Reader) {
		p := new(cachedProposal)
		p.decode(r, g.suite, version)
		g.proposals = append(g.proposals, p)
	})
}

// restoreKey returns the private key to the node at x.
func (g *Group) restoreKey(x treemath.NodeIndex, private []byte) (*ciphersuite.HPKEPrivateKey, error) {
	if int(x) >= len(g.tree.nodes) || g.tree.nodes[x].blank() || g.keys.at(x) != nil {
		return nil, fmt.Errorf("private key of node %d, which has no public key, or a private one already", x)
	}
	return g.suite.ParseHPKEKeyPair(private, g.tree.nodes[x].encryptionKey())
}

// takeSigners gets the signature keys of a group that was restored.
func (g *Group) takeSigners(lookup SignerLookup) (err error) {
	leaf := g.tree.leafNode(g.own)
	if leaf == nil {
		return fmt.Errorf("own leaf %d is blank", g.own)
	}
	if g.signer, err = lookup(g.suite, leaf.SignatureKey); err != nil {
		return err
	}
	kept := g.proposals[:0]
	for _, p := range g.proposals {
		if p.changesSigner {
			if p.signer, err = lookup(g.suite, p.proposal.(*Update).LeafNode.SignatureKey); err != nil {
				p.erase()
				continue
			}
		}
		kept = append(kept, p)
	}
	g.proposals = kept
	return nil
}

// epochSecrets returns the secrets of an epoch in the order of the state.
func epochSecrets(e *keysched.Epoch) []*[]byte {
	return []*[]byte{
		&e.SenderDataSecret, &e.ExporterSecret, &e.ExternalSecret, &e.ConfirmationKey, &e.MembershipKey,
		&e.ResumptionPSK, &e.EpochAuthenticator, &e.InitSecret,
	}
}

// encode writes a remembered proposal, which is verified anew where it is read.
func (p *cachedProposal) encode(w *wire.Writer) {
	w.Opaque(p.ref)
	p.sender.encode(w)
	writeProposal(w, p.proposal)
	w.Optional(p.leafKey != nil)
	if p.leafKey != nil {
		w.Opaque(p.leafKey.Bytes())
		w.Optional(p.changesSigner)
	}
	w.Opaque(p.sent)
	w.Opaque(p.authenticatedData)
}

func (p *cachedProposal) decode(r *wire.Reader, s *ciphersuite.Suite, version uint16) {
	p.ref = r.Opaque()
	p.sender.decode(r)
	p.proposal = readProposal(r)
	if r.Optional() {
		p.decodeLeafKey(r, s)
		if version >= 4 {
			p.changesSigner = r.Optional()
		}
	}
	if version >= 2 {
		p.sent = r.Opaque()
		p.authenticatedData = r.Opaque()
	}
}

// decodeLeafKey reads the private key of an Update of the member's own.
func (p *cachedProposal) decodeLeafKey(r *wire.Reader, s *ciphersuite.Suite) {
	private := r.Opaque()
	update, ok := p.proposal.(*Update)
	if r.Err() != nil {
		return
	}
	if !ok {
		r.Fail(fmt.Errorf("a leaf key stands beside a proposal of type %v", p.proposal.ProposalType()))
		return
	}
	key, err := s.ParseHPKEKeyPair(private, update.LeafNode.EncryptionKey)
	clear(private)
	if err != nil {
		r.Fail(err)
		return
	}
	p.leafKey = newSharedKey(key)
}
