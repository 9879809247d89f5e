package mls

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// A Group is one member's state of a group in one epoch.
//
// To make or to process a commit does not change a Group. It yields the state
// of the next epoch as another Group, which the member adopts, by going on with
// it and calling [Group.Erase] on the old one, or drops. Both can be kept for a
// while, for messages that were sent before the change.
//
// Sending and receiving encrypted messages uses up keys, in place.
//
// A Group must not be used from several goroutines at once. Different Groups
// may be, also those of successive epochs.
type Group struct {
	publicState

	signer crypto.Signer
	own    LeafIndex
	keys   privateKeys

	epoch              *keysched.Epoch
	secrets            *secrettree.Tree
	exporter           *secrettree.ExporterTree // of the components
	pastResumptionPSKs []pastPSK                // oldest first
	received           messageSet               // application messages, if there is the component for it
	joinedBy           Extensions               // of the GroupInfo, in the epoch that was joined

	predecessor *Group  // whose resumption PSK the first commit may use
	pairKey     *apqPSK // that a commit may name while it is made or processed
	reInit      *ReInit // set once a commit has closed the group
	erased      bool
}

// pastPSK is the resumption PSK of a past epoch.
type pastPSK struct {
	epoch  uint64
	secret []byte
}

// GroupOptions are the properties of a new group and of its creator's leaf.
type GroupOptions struct {
	// Suite is the group's cipher suite. Required.
	Suite ciphersuite.ID
	// Identity is the creator's. Required.
	Identity Identity
	// GroupID names the group. Default (nil): 32 random octets. It may be empty.
	GroupID []byte
	// Extensions are those of the GroupContext.
	Extensions Extensions
	// Leaf describes the creator's leaf further.
	Leaf LeafOptions
}

// LeafOptions are the parts of a leaf that have defaults.
type LeafOptions struct {
	// Capabilities says what the client supports. What is left nil is filled
	// in: version mls10, the suites of the Config, the credential type that the
	// leaf uses (and those of a [MultiCredentialService]), the extension types that it uses and those of the Config, the
	// proposal types of the Config (SelfRemove, where that is on, is one).
	Capabilities Capabilities
	// Extensions are those of the leaf. If it supports the extension
	// app_data_dictionary, the components of the Config are added to that.
	Extensions Extensions
	// Lifetime applies to leaves of key packages. Default: one week from now.
	Lifetime Lifetime

	around        Extensions            // those of the key package that the leaf is made for
	beforeSigning func(*LeafNode) error // completes the leaf, if not nil
}

// NewGroup creates a group with one member, in epoch 0. RFC 9420, Section 11.
func NewGroup(cfg *Config, o GroupOptions) (*Group, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := cfg.Suites.Lookup(o.Suite)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a group: %w", err)
	}
	leaf, leafKey, err := newLeaf(cfg, s, &o.Identity, &o.Leaf)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a group: %w", err)
	}
	groupID := bytes.Clone(o.GroupID)
	if groupID == nil {
		groupID = make([]byte, 32)
		if _, err := io.ReadFull(cfg.Rand, groupID); err != nil {
			return nil, fmt.Errorf("mls: drawing a group ID: %w", err)
		}
	}
	tree := newTree(leaf)
	if err := cfg.verifyMembers(s, tree, o.Extensions, nil); err != nil {
		return nil, err
	}
	if err := cfg.verifyExtensions(InGroupContext, o.Extensions); err != nil {
		return nil, err
	}
	if err := cfg.validateExternalSenders(s, o.Extensions); err != nil {
		return nil, err
	}
	epochSecret := make([]byte, s.HashSize())
	if _, err := io.ReadFull(cfg.Rand, epochSecret); err != nil {
		return nil, fmt.Errorf("mls: drawing an epoch secret: %w", err)
	}
	defer clear(epochSecret)

	g := &Group{
		publicState: publicState{
			cfg:   cfg,
			suite: s,
			tree:  tree,
			context: groupContext{
				cipherSuite: s.ID(),
				groupID:     groupID,
				treeHash:    tree.rootHash(s),
				extensions:  o.Extensions.clone(),
			},
		},
		signer: o.Identity.Signer,
		keys:   privateKeys{{leafPosition(0), newSharedKey(leafKey)}},
	}
	g.encodedContext = marshal(&g.context)
	g.startEpoch(keysched.FirstEpoch(s, epochSecret))
	g.setConfirmationTag(keysched.ConfirmationTag(s, g.epoch.ConfirmationKey, nil))
	return g, nil
}

// startEpoch takes over the secrets of the epoch that context describes.
func (g *Group) startEpoch(e *keysched.Epoch) {
	g.epoch = e
	g.secrets = secrettree.New(g.suite, e.EncryptionSecret, uint32(g.tree.size), g.cfg.ratchetLimits())
	g.exporter = secrettree.NewExporterTree(g.suite, e.ApplicationExportSecret)
	// The trees have copies, which they use up.
	clear(e.EncryptionSecret)
	clear(e.ApplicationExportSecret)
	e.EncryptionSecret, e.ApplicationExportSecret = nil, nil
}

func (c *Config) ratchetLimits() secrettree.Limits {
	return secrettree.Limits{MaxForward: c.MaxForward, MaxSkipped: c.MaxSkipped, MaxAge: c.MaxSkippedAge, Now: c.Now}
}

// usable returns an error if the group was erased or closed.
func (g *Group) usable() error {
	switch {
	case g.erased:
		return fmt.Errorf("mls: epoch %d: %w", g.context.epoch, ErrErased)
	case g.reInit != nil:
		return ErrInactive
	}
	return nil
}

// OwnLeaf returns the index of the member whose state this is.
func (g *Group) OwnLeaf() LeafIndex { return g.own }

// ReInit returns the proposal by which the group was closed, nil if it is open.
func (g *Group) ReInit() *ReInit { return g.reInit }

// Export derives a secret of length octets from the epoch, for use outside of
// MLS. The same label and context give the same secret to all members. It
// returns an error that matches [ErrErased] after [Group.EraseExporterSecret].
// RFC 9420, Section 8.5.
func (g *Group) Export(label string, context []byte, length int) ([]byte, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: exporting: %w", ErrErased)
	}
	secret, err := g.epoch.Export(g.suite, label, context, length)
	if err != nil {
		if errors.Is(err, keysched.ErrErased) {
			err = ErrErased
		}
		return nil, fmt.Errorf("mls: exporting: %w", err)
	}
	return secret, nil
}

// EraseExpiredKeys erases the keys of overtaken messages that are older than
// [Config.MaxSkippedAge]. They cannot be used any more in any case, and those of
// one sender are erased when its next message is processed: call this now and
// then where senders may fall silent. RFC 9420, Sections 9.2 and 15.3.
func (g *Group) EraseExpiredKeys() {
	if !g.erased {
		g.secrets.EraseExpired()
	}
}

// EraseExporterSecret erases the secret behind [Group.Export], so that whoever
// steals the state later cannot repeat what was exported.
func (g *Group) EraseExporterSecret() {
	if !g.erased {
		g.epoch.EraseExporter()
	}
}

// SafeExportSecret takes the epoch's secret of a component, of the size of the
// suite's hash, out of the group. All members get the same one. It can be taken
// once in an epoch: a second call returns an error that matches [ErrErased], and
// nobody who steals the state afterwards can derive it. EraseExporterSecret does
// not concern it. draft-ietf-mls-extensions, Section 4.4.
func (g *Group) SafeExportSecret(component ComponentID) ([]byte, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: exporting to component %#04x: %w", uint16(component), ErrErased)
	}
	secret, err := g.exporter.Export(uint16(component))
	if err != nil {
		return nil, fmt.Errorf("mls: exporting to component %#04x: %w", uint16(component), ErrErased)
	}
	return secret, nil
}

// EpochAuthenticator returns a value that all members share if they agree on
// the epoch, for comparison by other means. RFC 9420, Section 8.7.
func (g *Group) EpochAuthenticator() []byte {
	if g.erased {
		return nil
	}
	return bytes.Clone(g.epoch.EpochAuthenticator)
}

// Erase erases all secrets of the epoch. Private keys that the next epoch
// uses as well are erased with that. The group cannot be used afterwards.
func (g *Group) Erase() {
	if g.erased {
		return
	}
	g.erased = true
	g.epoch.Erase()
	g.secrets.Erase()
	g.exporter.Erase()
	g.keys.erase()
	for _, p := range g.pastResumptionPSKs {
		clear(p.secret)
	}
	for _, p := range g.proposals {
		p.erase()
	}
	g.proposals = nil
	g.received, g.joinedBy = nil, nil
}

// fork returns a copy of g that can be used and erased apart from it.
func (g *Group) fork() *Group {
	f := *g
	f.keys = g.keys.share()
	f.epoch, f.secrets, f.exporter = g.epoch.Clone(), g.secrets.Clone(), g.exporter.Clone()
	f.received = slices.Clone(g.received)
	f.pastResumptionPSKs = nil
	for _, p := range g.pastResumptionPSKs {
		f.pastResumptionPSKs = append(f.pastResumptionPSKs, pastPSK{p.epoch, bytes.Clone(p.secret)})
	}
	f.proposals = nil
	for _, p := range g.proposals {
		c := *p
		if p.leafKey != nil {
			c.leafKey = p.leafKey.share()
		}
		f.proposals = append(f.proposals, &c)
	}
	return &f
}

// Protect encrypts application data to the group as an MLSMessage that holds a
// PrivateMessage. In a group with [ComponentContentMediaTypes] the data is an encoded
// [ApplicationFraming]. authenticatedData travels with it in the clear. It uses up
// one generation of the sender's ratchet, even if it fails: the state has to be
// saved before the message is sent if it is saved at all.
//
// Errors: [ErrPendingProposals] if a proposal was sent in this epoch, which has
// to be committed first; [ErrErased]; [ErrInactive]. RFC 9420, Sections 12.4 and 15.
func (g *Group) Protect(data, authenticatedData []byte) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	if len(g.proposals) > 0 {
		return nil, fmt.Errorf("%w (%d)", ErrPendingProposals, len(g.proposals))
	}
	if _, err := applicationFraming(data, g.context.extensions); err != nil {
		return nil, err
	}
	a := g.newContent(ContentApplication, WireFormatPrivateMessage, authenticatedData)
	a.content.application = data
	return g.signAndProtect(a)
}

// newContent returns content of this member that has yet to be filled in.
func (g *Group) newContent(t ContentType, f WireFormat, authenticatedData []byte) *authenticatedContent {
	return &authenticatedContent{
		wireFormat: f,
		content: framedContent{
			groupID:           g.context.groupID,
			epoch:             g.context.epoch,
			sender:            Sender{Type: SenderMember, Leaf: g.own},
			authenticatedData: authenticatedData,
			contentType:       t,
		},
	}
}

// sign signs content with the key of this epoch's leaf.
func (g *Group) sign(a *authenticatedContent) error { return g.signAs(g.signer, a) }

// signAs signs content. RFC 9420, Section 6.1.
func (s *publicState) signAs(signer crypto.Signer, a *authenticatedContent) (err error) {
	if err := verifyAuthenticatedData(a.content.authenticatedData, s.context.extensions); err != nil {
		return err
	}
	if a.wireFormat.isOneSignature() {
		return nil // its leaf has one
	}
	wire.Lend(func(w *wire.Writer) {
		a.encodeToBeSigned(w, s.encodedContext)
		a.auth.signature, err = s.suite.SignWithLabel(s.cfg.Rand, signer, "FramedContentTBS", w.Data())
	})
	if err != nil {
		return fmt.Errorf("mls: signing a message: %w", err)
	}
	return nil
}

// protect encodes signed content as an MLSMessage.
func (g *Group) protect(a *authenticatedContent) ([]byte, error) {
	if a.wireFormat == WireFormatPrivateMessage || a.wireFormat == WireFormatOneSignaturePrivateMessage {
		return protectPrivate(g.suite, g.cfg.Rand, a, g.secrets, g.epoch.SenderDataSecret, g.cfg.Padding)
	}
	m, err := protectPublic(g.suite, a, g.epoch.MembershipKey, g.encodedContext)
	if err != nil {
		return nil, err
	}
	return marshal(&mlsMessage{wireFormat: a.wireFormat, publicMessage: m}), nil
}

func (g *Group) signAndProtect(a *authenticatedContent) ([]byte, error) {
	if err := g.sign(a); err != nil {
		return nil, err
	}
	return g.protect(a)
}
