package mls

import (
	"bytes"
	"crypto"
	"fmt"
	"maps"
	"slices"

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
const stateVersion uint16 = 3

// Marshal returns the group's state, secrets included, for [RestoreGroup]. It
// holds what the epoch can still do and nothing that was erased. The private
// signature key is not in it.
func (g *Group) Marshal() ([]byte, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: marshalling a group: %w", ErrErased)
	}
	w := wire.NewSecretWriter()
	w.Uint16(stateVersion)
	g.context.encode(w)
	w.Uint32(uint32(g.own))
	g.tree.encode(w)
	w.Opaque(g.confirmationTag)
	w.Opaque(g.interimTranscriptHash)
	for _, secret := range epochSecrets(g.epoch) {
		w.Opaque(*secret)
	}
	g.secrets.MarshalTo(w)
	g.exporter.MarshalTo(w)
	w.Vector(func() {
		for _, x := range slices.Sorted(maps.Keys(g.keys)) {
			w.Uint32(uint32(x))
			w.Opaque(g.keys[x].Bytes())
		}
	})
	w.Vector(func() {
		for _, p := range g.pastResumptionPSKs {
			w.Uint64(p.epoch)
			w.Opaque(p.secret)
		}
	})
	w.Vector(func() {
		for _, p := range g.proposals {
			p.encode(w)
		}
	})
	w.Optional(g.reInit != nil)
	if g.reInit != nil {
		g.reInit.encode(w)
	}
	return w.Data(), nil
}

// RestoreGroup returns the group that [Group.Marshal] wrote. signer is the
// private key to the signature key of the member's leaf. state has to come from
// a place that nobody else can write to: it is checked for consistency only as
// far as that memory stays safe.
func RestoreGroup(cfg *Config, signer crypto.Signer, state []byte) (*Group, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Group{
		publicState: publicState{cfg: cfg, tree: new(ratchetTree)},
		signer:      signer, keys: privateKeys{}, epoch: new(keysched.Epoch),
	}
	if err := g.restore(wire.NewReaderWithContext(bytes.Clone(state), cfg.proposals)); err != nil {
		return nil, fmt.Errorf("mls: restoring a group: %w", err)
	}
	leaf := g.tree.leafNode(g.own)
	if leaf == nil {
		return nil, fmt.Errorf("mls: restoring a group: own leaf %d is blank", g.own)
	}
	key, err := encodedSignatureKey(g.suite, signer)
	if err != nil {
		return nil, fmt.Errorf("mls: restoring a group: %w", err)
	}
	if !bytes.Equal(key, leaf.SignatureKey) {
		return nil, fmt.Errorf("mls: restoring a group: the signer's key is not that of the own leaf")
	}
	return g, nil
}

func (g *Group) restore(r *wire.Reader) (err error) {
	version := r.Uint16()
	if r.Err() == nil && (version < 1 || version > stateVersion) {
		return fmt.Errorf("state version %d, want 1 to %d: %w", version, stateVersion, ErrUnsupported)
	}
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
	if g.secrets, err = secrettree.Unmarshal(g.suite, r, g.cfg.ratchetLimits()); err != nil {
		return err
	}
	if g.exporter, err = secrettree.UnmarshalExporterTree(g.suite, r); err != nil {
		return err
	}
	r.Vector(func(r *wire.Reader) {
		x := treemath.NodeIndex(r.Uint32())
		key, err := g.suite.ParseHPKEPrivateKey(r.Opaque())
		if err != nil {
			r.Fail(err)
			return
		}
		g.keys[x] = newSharedKey(key)
	})
	r.Vector(func(r *wire.Reader) {
		g.pastResumptionPSKs = append(g.pastResumptionPSKs, pastPSK{r.Uint64(), r.Opaque()})
	})
	r.Vector(func(r *wire.Reader) {
		p := new(cachedProposal)
		p.decode(r, g.suite, version)
		g.proposals = append(g.proposals, p)
	})
	if r.Optional() {
		g.reInit = new(ReInit)
		g.reInit.decode(r)
	}
	g.encodedContext = marshal(&g.context)
	return r.Finish()
}

// epochSecrets returns the secrets of an epoch in the order of the state.
func epochSecrets(e *keysched.Epoch) []*[]byte {
	return []*[]byte{
		&e.SenderDataSecret, &e.ExporterSecret, &e.ExternalSecret, &e.ConfirmationKey, &e.MembershipKey,
		&e.ResumptionPSK, &e.EpochAuthenticator, &e.InitSecret,
	}
}

// encode writes a remembered proposal, which is verified anew where it is read. A signer is not written: an Update that
// changes the signature key is forgotten, and has to be proposed again.
func (p *cachedProposal) encode(w *wire.Writer) {
	if p.signer.signer != nil {
		return
	}
	w.Opaque(p.ref)
	p.sender.encode(w)
	writeProposal(w, p.proposal)
	w.Optional(p.leafKey != nil)
	if p.leafKey != nil {
		w.Opaque(p.leafKey.Bytes())
	}
	w.Opaque(p.sent)
	w.Opaque(p.authenticatedData)
}

func (p *cachedProposal) decode(r *wire.Reader, s *ciphersuite.Suite, version uint16) {
	p.ref = r.Opaque()
	p.sender.decode(r)
	p.proposal = readProposal(r)
	if r.Optional() {
		key, err := s.ParseHPKEPrivateKey(r.Opaque())
		if err != nil {
			r.Fail(err)
			return
		}
		p.leafKey = newSharedKey(key)
	}
	if version >= 2 {
		p.sent = r.Opaque()
		p.authenticatedData = r.Opaque()
	}
}
