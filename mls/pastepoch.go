package mls

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// A pastEpoch is what is kept of an epoch after the group has moved on, for
// application messages that were sent in it and come late: the keys that they may
// have and the signature keys of those who were members. Handshake messages of a
// past epoch mean nothing any more. RFC 9420, Sections 6.3.2 and 15.3.
type pastEpoch struct {
	cfg            *Config
	suite          *ciphersuite.Suite
	context        groupContext
	encodedContext []byte
	own            LeafIndex
	signatureKeys  map[LeafIndex][]byte // of the members
	ended          int64                // Unix seconds

	senderDataSecret []byte
	secrets          *secrettree.Tree
	targeted         *pastTargeted // nil where there are no targeted messages
}

// retire returns what is kept of g's epoch when that ends. g stays as it is.
func (g *Group) retire(now time.Time) *pastEpoch {
	p := &pastEpoch{
		cfg: g.cfg, suite: g.suite, context: g.context, encodedContext: g.encodedContext, own: g.own,
		signatureKeys: make(map[LeafIndex][]byte), ended: now.Unix(),
		senderDataSecret: bytes.Clone(g.epoch.SenderDataSecret), secrets: g.secrets.Clone(),
	}
	for i, leaf := range g.tree.leaves {
		p.signatureKeys[i] = leaf.SignatureKey
	}
	p.targeted = g.retireTargeted()
	return p
}

// fork returns a copy that can be used and erased apart from p.
func (p *pastEpoch) fork() *pastEpoch {
	f := *p
	f.senderDataSecret, f.secrets, f.targeted = bytes.Clone(p.senderDataSecret), p.secrets.Clone(), p.targeted.fork()
	return &f
}

// erase erases all secrets.
func (p *pastEpoch) erase() {
	clear(p.senderDataSecret)
	p.secrets.Erase()
	p.targeted.erase()
}

// process decrypts and verifies an application message of the epoch, whose key is
// used up by success, or a targeted message.
func (p *pastEpoch) process(message []byte) (Received, error) {
	var m mlsMessage
	if err := p.cfg.unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	if m.targetedMessage != nil || m.multiTargetedMessage != nil {
		return p.processTargeted(&m)
	}
	if m.wireFormat != WireFormatPrivateMessage || m.privateMessage.contentType != ContentApplication {
		return nil, fmt.Errorf("%w: handshake message of epoch %d, which is over", ErrWrongEpoch, p.context.epoch)
	}
	a, key, err := openPrivate(p.cfg, p.suite, m.privateMessage, p.secrets, p.senderDataSecret, p.isOtherMember)
	if err != nil {
		return nil, err
	}
	sender := senderKey{encoded: p.signatureKeys[a.content.sender.Leaf]}
	if _, err := verifySigned(p.suite, a, sender, p.encodedContext, p.context.extensions); err != nil {
		key.Discard()
		return nil, err
	}
	received, err := receivedApplication(&a.content, p.context.extensions)
	if err != nil {
		key.Discard()
		return nil, err
	}
	key.Consume()
	return received, nil
}

// isOtherMember returns an error unless i is the leaf of somebody who was a
// member, and not our own.
func (p *pastEpoch) isOtherMember(i LeafIndex) error {
	if i == p.own {
		return ErrOwnMessage
	}
	return verifySenderLeaf(i, p.signatureKeys[i] != nil)
}

// pastEpochVersion is the first field of an encoded pastEpoch, and
// pastTargetedVersion that of one that can read targeted messages.
const (
	pastEpochVersion    uint16 = 1
	pastTargetedVersion uint16 = 2
)

// encode writes
//
//	struct {
//	    uint16 version;
//	    GroupContext context;
//	    uint32 own_leaf;
//	    uint64 ended;                /* Unix seconds */
//	    opaque sender_data_secret<V>;
//	    struct {
//	        uint32 leaf_index;
//	        opaque signature_key<V>;
//	    } members<V>;
//	    State secrets;               /* secrettree.Tree.MarshalTo */
//	    PastTargeted targeted;       /* version 2 only */
//	} PastEpoch;
func (p *pastEpoch) encode(w *wire.Writer) {
	version := pastEpochVersion
	if p.targeted != nil {
		version = pastTargetedVersion
	}
	w.Uint16(version)
	p.context.encode(w)
	w.Uint32(uint32(p.own))
	w.Uint64(uint64(p.ended))
	w.Opaque(p.senderDataSecret)
	w.Vector(func() {
		for _, i := range slices.Sorted(maps.Keys(p.signatureKeys)) {
			w.Uint32(uint32(i))
			w.Opaque(p.signatureKeys[i])
		}
	})
	p.secrets.MarshalTo(w)
	if p.targeted != nil {
		p.targeted.encode(w)
	}
}

// restorePastEpoch reads what encode wrote, and keeps state.
func restorePastEpoch(cfg *Config, state []byte) (*pastEpoch, error) {
	r := wire.NewReader(state)
	version := r.Uint16()
	if r.Err() == nil && version != pastEpochVersion && version != pastTargetedVersion {
		return nil, fmt.Errorf("past epoch of version %d, want %d or %d: %w", version, pastEpochVersion, pastTargetedVersion, ErrUnsupported)
	}
	p := &pastEpoch{cfg: cfg, signatureKeys: make(map[LeafIndex][]byte)}
	p.context.decode(r)
	p.own = LeafIndex(r.Uint32())
	p.ended = int64(r.Uint64())
	p.senderDataSecret = r.Opaque()
	r.Vector(func(r *wire.Reader) { p.signatureKeys[LeafIndex(r.Uint32())] = r.Opaque() })
	if err := r.Err(); err != nil {
		return nil, err
	}
	p.encodedContext = marshal(&p.context)
	var err error
	if p.suite, err = cfg.Suites.Lookup(p.context.cipherSuite); err != nil {
		return nil, err
	}
	defer eraseRead(r, r.Rest())
	if p.secrets, err = secrettree.Unmarshal(p.suite, r, cfg.ratchetLimits()); err != nil {
		return nil, err
	}
	if version == pastTargetedVersion {
		if p.targeted, err = readPastTargeted(p.suite, r); err != nil {
			return nil, err
		}
	}
	return p, r.Finish()
}
