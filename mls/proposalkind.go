package mls

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// A proposalKind is all that a client knows of one type of proposal. The types
// of RFC 9420 and those of the application ([Config.Proposals]) are rows of one
// table, so nothing else asks which types there are.
type proposalKind struct {
	name           string
	external       bool // an external sender may send it
	externalCommit bool // an external commit may hold it
	pathRequired   bool
	read           func(r *wire.Reader) Proposal
	verify         func(s *publicState, sender Sender, p Proposal) error         // the rules on a single proposal
	apply          func(s *publicState, t *transition, p *coveredProposal) error // what it changes
	applied        func(s *publicState, t *transition) error                     // if set: called after the last of the type
}

// proposalKinds is the table of proposal types.
type proposalKinds struct {
	kinds map[ProposalType]*proposalKind
	// order is the one in which a list of proposals is applied. RFC 9420,
	// Section 12.3.
	order []ProposalType
}

// builtinProposals has the types of RFC 9420. "external" and "pathRequired" are
// the columns "Ext" and "Path" of Section 17.4. It is set by init because
// reading a proposal may end in reading a proposal.
var builtinProposals *proposalKinds

// componentProposals are those of clients with components. They are applied after
// all others, in this order. draft-ietf-mls-extensions, Sections 4.7 and 4.8.
var componentProposals = &proposalKinds{
	kinds: map[ProposalType]*proposalKind{
		ProposalAppEphemeral: {name: "app_ephemeral", external: true, externalCommit: true,
			read: readAs[AppEphemeral], verify: verifyAppEphemeral, apply: applyAppEphemeral},
		ProposalAppDataUpdate: {name: "app_data_update", external: true, externalCommit: true,
			read: readAs[AppDataUpdate], verify: verifyAppDataUpdate, apply: applyAppDataUpdate, applied: updateDictionary},
	},
	order: []ProposalType{ProposalAppEphemeral, ProposalAppDataUpdate},
}

// allProposals are those of RFC 9420 and those of components.
var allProposals *proposalKinds

func init() {
	builtinProposals = &proposalKinds{
		kinds: map[ProposalType]*proposalKind{
			ProposalAdd: {name: "add", external: true,
				read: readAs[Add], verify: verifyAdd, apply: applyAdd},
			ProposalUpdate: {name: "update", pathRequired: true,
				read: readAs[Update], verify: verifyUpdate, apply: applyUpdate},
			ProposalRemove: {name: "remove", external: true, externalCommit: true, pathRequired: true,
				read: readAs[Remove], verify: verifyRemove, apply: applyRemove, applied: truncateRemoved},
			ProposalPreSharedKey: {name: "psk", external: true, externalCommit: true,
				read: readAs[PreSharedKey], verify: verifyPreSharedKey, apply: applyPreSharedKey},
			ProposalReInit: {name: "reinit", external: true,
				read: readAs[ReInit], verify: verifyReInit, apply: applyReInit},
			ProposalExternalInit: {name: "external_init", externalCommit: true, pathRequired: true,
				read: readAs[ExternalInit], verify: verifyExternalInit, apply: applyExternalInit},
			ProposalGroupContextExtensions: {name: "group_context_extensions", external: true, pathRequired: true,
				read: readAs[GroupContextExtensions], verify: verifyGroupContextExtensions, apply: applyGroupContextExtensions},
		},
		order: []ProposalType{
			ProposalGroupContextExtensions, ProposalUpdate, ProposalRemove, ProposalAdd,
			ProposalPreSharedKey, ProposalExternalInit, ProposalReInit,
		},
	}
	allProposals = builtinProposals.followedBy(componentProposals)
}

// with returns the table with the application's types added. They are applied
// after GroupContextExtensions, in the order of registration.
func (k *proposalKinds) with(custom []CustomProposalType) (*proposalKinds, error) {
	if len(custom) == 0 {
		return k, nil
	}
	all := &proposalKinds{kinds: make(map[ProposalType]*proposalKind, len(k.kinds)+len(custom))}
	for t, kind := range k.kinds {
		all.kinds[t] = kind
	}
	all.order = append(all.order, k.order[0])
	for i := range custom {
		t := custom[i].Type
		if _, ok := all.kinds[t]; ok {
			return nil, fmt.Errorf("mls: Config.Proposals: type %#04x is defined already", uint16(t))
		}
		all.kinds[t] = custom[i].kind()
		all.order = append(all.order, t)
	}
	all.order = append(all.order, k.order[1:]...)
	return all, nil
}

// followedBy returns the table with the rows of later added, which are applied
// after all others.
func (k *proposalKinds) followedBy(later *proposalKinds) *proposalKinds {
	all := &proposalKinds{kinds: maps.Clone(k.kinds), order: slices.Concat(k.order, later.order)}
	maps.Copy(all.kinds, later.kinds)
	return all
}

// lookup returns the row of a type. That of a type which is not in the table
// refuses all proposals.
func (k *proposalKinds) lookup(t ProposalType) *proposalKind {
	if kind, ok := k.kinds[t]; ok {
		return kind
	}
	unknown := fmt.Errorf("mls: proposal type %#04x: %w", uint16(t), ErrUnsupported)
	return &proposalKind{
		read:   func(r *wire.Reader) Proposal { r.Fail(unknown); return nil },
		verify: func(*publicState, Sender, Proposal) error { return unknown },
	}
}

// writeProposal writes a Proposal with its type.
func writeProposal(w *wire.Writer, p Proposal) {
	w.Uint16(uint16(p.ProposalType()))
	p.encode(w)
}

// readProposal reads a Proposal with its type, which has to be known: there is
// no length by which one of an unknown type could be stepped over.
func readProposal(r *wire.Reader) Proposal {
	t := ProposalType(r.Uint16())
	if r.Err() != nil {
		return nil
	}
	kinds, ok := r.Context().(*proposalKinds)
	if !ok {
		kinds = builtinProposals
	}
	return kinds.lookup(t).read(r)
}

func readAs[T any, P interface {
	*T
	Proposal
}](r *wire.Reader) Proposal {
	p := P(new(T))
	p.decode(r)
	return p
}
