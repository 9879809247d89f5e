package mls

import "github.com/mendlink/mendlink/internal/wire"

// AppEphemeral carries data of a component that all members see when they
// process the commit, and which changes nothing but the transcript. It takes a
// client with that [Component]. It needs no path, may come from an external
// sender and may be in an external commit.
// draft-ietf-mls-extensions, Section 4.8.
type AppEphemeral struct {
	Component ComponentID
	Data      []byte
}

// ProposalType implements [Proposal].
func (*AppEphemeral) ProposalType() ProposalType { return ProposalAppEphemeral }

func (p *AppEphemeral) encode(w *wire.Writer) {
	w.Uint16(uint16(p.Component))
	w.Opaque(p.Data)
}

func (p *AppEphemeral) decode(r *wire.Reader) {
	p.Component = ComponentID(r.Uint16())
	p.Data = r.Opaque()
}

func verifyAppEphemeral(s *publicState, sender Sender, p Proposal) error {
	e := p.(*AppEphemeral)
	if s.cfg.component(e.Component) == nil {
		return invalid(CheckAppEphemeralComponent, "component %#04x is not known", uint16(e.Component))
	}
	return s.judgeEphemeral(e, ProposalContext{sender, s.context.extensions})
}

// applyAppEphemeral gives a covered AppEphemeral to its component, which is known.
func applyAppEphemeral(s *publicState, t *transition, p *coveredProposal) error {
	return s.judgeEphemeral(p.Proposal.(*AppEphemeral), ProposalContext{p.Sender, t.extensions})
}

func (s *publicState) judgeEphemeral(e *AppEphemeral, in ProposalContext) error {
	c := s.cfg.component(e.Component)
	if c.Ephemeral == nil {
		return nil
	}
	err := c.Ephemeral(e.Data, in)
	if err == nil || namesRule(err) {
		return err
	}
	return invalid(CheckAppEphemeralData, "component %s: %w", c.Name, err)
}
