package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// ProposalType identifies a kind of [Proposal]. RFC 9420, Section 17.4.
type ProposalType uint16

// The proposal types of RFC 9420. Every client supports them.
const (
	ProposalAdd                    ProposalType = 1
	ProposalUpdate                 ProposalType = 2
	ProposalRemove                 ProposalType = 3
	ProposalPreSharedKey           ProposalType = 4
	ProposalReInit                 ProposalType = 5
	ProposalExternalInit           ProposalType = 6
	ProposalGroupContextExtensions ProposalType = 7
)

// The proposal types of draft-ietf-mls-extensions for components. Clients with
// [Config.Components] support them.
const (
	ProposalAppDataUpdate ProposalType = 0x0008
	ProposalAppEphemeral  ProposalType = 0x0009
)

func (t ProposalType) String() string {
	if kind, ok := builtinProposals.kinds[t]; ok {
		return kind.name
	}
	if kind, ok := componentProposals.kinds[t]; ok {
		return kind.name
	}
	if t == ProposalSelfRemove {
		return "self_remove"
	}
	return fmt.Sprintf("ProposalType(%#04x)", uint16(t))
}

// isDefault reports whether every client supports t without saying so.
func (t ProposalType) isDefault() bool {
	return t >= ProposalAdd && t <= ProposalGroupContextExtensions
}

// A Proposal is one change to a group: [*Add], [*Update], [*Remove],
// [*PreSharedKey], [*ReInit], [*ExternalInit], [*GroupContextExtensions],
// [*AppDataUpdate], [*AppEphemeral], [*SelfRemove] or [*CustomProposal].
// RFC 9420, Section 12.1.
type Proposal interface {
	// ProposalType returns the code point of the proposal's type.
	ProposalType() ProposalType
	proposal
}

// proposal is the unexported half of [Proposal]: it seals the interface.
type proposal interface {
	ProposalType() ProposalType
	encoder
	decoder
}

// Add asks for a new member. RFC 9420, Section 12.1.1.
type Add struct {
	KeyPackage *KeyPackage
}

// Update replaces its sender's leaf. RFC 9420, Section 12.1.2.
type Update struct {
	LeafNode *LeafNode
}

// Remove asks that a member be removed. RFC 9420, Section 12.1.3.
type Remove struct {
	Removed LeafIndex
}

// PreSharedKey asks that a PSK be mixed into the next epoch. RFC 9420, Section 12.1.4.
type PreSharedKey struct {
	PSK PreSharedKeyID
}

// ReInit asks that the group be closed in favour of a new one with other
// parameters. RFC 9420, Section 12.1.5.
type ReInit struct {
	GroupID     []byte
	Version     ProtocolVersion
	CipherSuite ciphersuite.ID
	Extensions  Extensions
}

// ExternalInit carries the init secret of an external commit. RFC 9420, Section 12.1.6.
type ExternalInit struct {
	KEMOutput []byte
}

// GroupContextExtensions replaces the extensions of the GroupContext.
// RFC 9420, Section 12.1.7.
type GroupContextExtensions struct {
	Extensions Extensions
}

// ProposalType implements [Proposal].
func (*Add) ProposalType() ProposalType { return ProposalAdd }

// ProposalType implements [Proposal].
func (*Update) ProposalType() ProposalType { return ProposalUpdate }

// ProposalType implements [Proposal].
func (*Remove) ProposalType() ProposalType { return ProposalRemove }

// ProposalType implements [Proposal].
func (*PreSharedKey) ProposalType() ProposalType { return ProposalPreSharedKey }

// ProposalType implements [Proposal].
func (*ReInit) ProposalType() ProposalType { return ProposalReInit }

// ProposalType implements [Proposal].
func (*ExternalInit) ProposalType() ProposalType { return ProposalExternalInit }

// ProposalType implements [Proposal].
func (*GroupContextExtensions) ProposalType() ProposalType { return ProposalGroupContextExtensions }

func (p *Add) encode(w *wire.Writer) { p.KeyPackage.encode(w) }
func (p *Add) decode(r *wire.Reader) {
	p.KeyPackage = new(KeyPackage)
	p.KeyPackage.decode(r)
}

func (p *Update) encode(w *wire.Writer) { p.LeafNode.encode(w) }
func (p *Update) decode(r *wire.Reader) {
	p.LeafNode = new(LeafNode)
	p.LeafNode.decode(r)
}

func (p *Remove) encode(w *wire.Writer) { w.Uint32(uint32(p.Removed)) }
func (p *Remove) decode(r *wire.Reader) { p.Removed = LeafIndex(r.Uint32()) }

func (p *PreSharedKey) encode(w *wire.Writer) { p.PSK.encode(w) }
func (p *PreSharedKey) decode(r *wire.Reader) { p.PSK.decode(r) }

func (p *ReInit) encode(w *wire.Writer) {
	w.Opaque(p.GroupID)
	w.Uint16(uint16(p.Version))
	w.Uint16(uint16(p.CipherSuite))
	p.Extensions.encode(w)
}

func (p *ReInit) decode(r *wire.Reader) {
	p.GroupID = r.Opaque()
	p.Version = ProtocolVersion(r.Uint16())
	p.CipherSuite = ciphersuite.ID(r.Uint16())
	p.Extensions = readExtensions(r)
}

func (p *ExternalInit) encode(w *wire.Writer) { w.Opaque(p.KEMOutput) }
func (p *ExternalInit) decode(r *wire.Reader) { p.KEMOutput = r.Opaque() }

func (p *GroupContextExtensions) encode(w *wire.Writer) { p.Extensions.encode(w) }
func (p *GroupContextExtensions) decode(r *wire.Reader) { p.Extensions = readExtensions(r) }
