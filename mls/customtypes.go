package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// A CustomProposalType defines a type of proposal that the application brings.
// A client that has it in [Config.Proposals] says so in its capabilities, and a
// commit may cover such proposals as soon as all members do.
// RFC 9420, Sections 12.2 and 13.2.
type CustomProposalType struct {
	// Type is the code point. Those from 0xF000 on are for private use.
	Type ProposalType
	// Name is for messages to people.
	Name string
	// External lets external senders send such proposals.
	External bool
	// ExternalCommit lets an external commit hold such proposals.
	ExternalCommit bool
	// PathRequired says that a commit that covers such a proposal needs a path.
	PathRequired bool
	// Length says how a proposal is framed. If it is nil, the proposal is one
	// opaque<V>, whose content is [CustomProposal.Data]. Otherwise Data is all
	// that follows the type, and Length returns how many octets at the front of
	// body that is. body comes from others and may be anything.
	Length func(body []byte) (int, error)
	// Validate, if set, may refuse a proposal. It is asked when the proposal
	// arrives, by itself or in a commit, and once more when a commit covers one
	// that came before the group was restored.
	Validate func(p *CustomProposal, in ProposalContext) error
	// Apply, if set, returns the extensions that the GroupContext has after the
	// proposal. It must not change in.Extensions, and has to give the same
	// result at all members.
	Apply func(p *CustomProposal, in ProposalContext) (Extensions, error)
}

// A CustomProposal is a proposal of a [CustomProposalType].
type CustomProposal struct {
	Type ProposalType
	Data []byte

	framed bool // as one opaque<V>
}

// NewProposal returns a proposal of type t with the given data.
func (t *CustomProposalType) NewProposal(data []byte) *CustomProposal {
	return &CustomProposal{Type: t.Type, Data: data, framed: t.Length == nil}
}

// ProposalContext is what a custom proposal is judged in.
type ProposalContext struct {
	// Sender sent the proposal.
	Sender Sender
	// Extensions are those of the GroupContext, as the proposals that were
	// applied before have left them. They must not be changed.
	Extensions Extensions
}

// ProposalType implements [Proposal].
func (p *CustomProposal) ProposalType() ProposalType { return p.Type }

func (p *CustomProposal) encode(w *wire.Writer) {
	if p.framed {
		w.Opaque(p.Data)
	} else {
		w.Bytes(p.Data)
	}
}

func (p *CustomProposal) decode(r *wire.Reader) { p.Data = r.Opaque() }

// kind returns t as a row of the table of proposal types.
func (t *CustomProposalType) kind() *proposalKind {
	k := &proposalKind{
		name: t.Name, external: t.External, externalCommit: t.ExternalCommit, pathRequired: t.PathRequired,
		read: t.read,
		verify: func(s *publicState, sender Sender, p Proposal) error {
			if t.Validate == nil {
				return nil
			}
			if err := t.Validate(p.(*CustomProposal), ProposalContext{sender, s.context.extensions}); err != nil {
				return invalid(CheckProposalCustom, "%s proposal: %w", t.Name, err)
			}
			return nil
		},
		apply: func(s *publicState, tr *transition, p *coveredProposal) error {
			if t.Apply == nil {
				return nil
			}
			extensions, err := t.Apply(p.Proposal.(*CustomProposal), ProposalContext{p.Sender, tr.extensions})
			if err != nil {
				return invalid(CheckProposalCustom, "%s proposal: %w", t.Name, err)
			}
			return s.setExtensions(tr, extensions)
		},
	}
	return k
}

func (t *CustomProposalType) read(r *wire.Reader) Proposal {
	p := t.NewProposal(nil)
	if t.Length == nil {
		p.decode(r)
		return p
	}
	n, err := t.Length(r.Rest())
	if err != nil {
		r.Fail(fmt.Errorf("mls: %s proposal: %w", t.Name, err))
		return p
	}
	p.Data = r.Bytes(n)
	return p
}

// ExtensionPlace says where an extension stands. RFC 9420, Section 13.4.
type ExtensionPlace uint8

// The places of extensions.
const (
	InKeyPackage ExtensionPlace = iota + 1
	InLeafNode
	InGroupContext
	InGroupInfo
)

func (p ExtensionPlace) String() string {
	switch p {
	case InKeyPackage:
		return "KeyPackage"
	case InLeafNode:
		return "LeafNode"
	case InGroupContext:
		return "GroupContext"
	case InGroupInfo:
		return "GroupInfo"
	}
	return fmt.Sprintf("ExtensionPlace(%d)", uint8(p))
}

// A CustomExtensionType defines a type of extension that the application
// brings. A client that has it in [Config.Extensions] says so in its
// capabilities. Extensions of other types are carried and otherwise ignored,
// where the specification allows that.
type CustomExtensionType struct {
	// Type is the code point. Those from 0xF000 on are for private use.
	Type ExtensionType
	// Name is for messages to people.
	Name string
	// Validate, if set, may refuse the data of an extension in the object that
	// place names.
	Validate func(place ExtensionPlace, data []byte) error
}
