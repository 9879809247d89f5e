package channel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/mls"
)

// errNoPSK is the answer of an end that wants a pre-shared key to a peer that
// shares none.
var errNoPSK = because(AlertUnknownPSKIdentity, fmt.Errorf("%w: none is shared", ErrPSK))

// choosePSKs returns those of the offered pre-shared keys that this end knows.
func (c *Config) choosePSKs(offered [][]byte) (known [][]byte, err error) {
	for _, id := range offered {
		if c.PSK == nil || containsID(known, id) {
			continue
		}
		switch _, err := c.PSK(id); {
		case err == nil:
			known = append(known, id)
		case !errors.Is(err, mls.ErrUnknownPSK):
			return nil, because(AlertInternalError, fmt.Errorf("channel: looking up a pre-shared key: %w", err))
		}
	}
	if c.RequirePSK && len(known) == 0 {
		return nil, errNoPSK
	}
	return known, nil
}

// lookUpPSK answers for the external pre-shared keys of a commit or a Welcome. It
// takes note of those of the Welcome, for them to be compared with the choice. Anybody can
// send a Welcome: who does must not learn which other keys this end knows, nor have it look up more than it offered.
func (s *Session) lookUpPSK(id mls.PreSharedKeyID) ([]byte, error) {
	joins := s.state == StateAwaitingServerHello
	if id.Type != mls.PSKExternal || s.psk == nil || joins && (!containsID(s.cfg.PSKIdentities, id.ID) || containsID(s.usedPSKs, id.ID)) {
		return nil, mls.ErrUnknownPSK
	}
	secret, err := s.psk(id.ID)
	if err == nil && joins {
		s.usedPSKs = append(s.usedPSKs, bytes.Clone(id.ID))
	}
	return secret, err
}

// verifyUsedPSKs checks that the keys that went into a Welcome are those of
// the choice.
func (s *Session) verifyUsedPSKs(chosen choice) error {
	if !slices.EqualFunc(s.usedPSKs, chosen.parameters.psks, bytes.Equal) {
		return fmt.Errorf("%w: the Welcome has the pre-shared keys %s, the choice %s", ErrProfile, few("%q", s.usedPSKs), few("%q", chosen.parameters.psks))
	}
	return nil
}

// pskProposals returns the proposals that mix pre-shared keys into an epoch.
func (s *Session) pskProposals(g *mls.Group, ids [][]byte) (list []mls.Proposal, err error) {
	for _, id := range ids {
		nonce := make([]byte, g.Suite().HashSize())
		if _, err := io.ReadFull(s.mls.Rand, nonce); err != nil {
			return nil, because(AlertInternalError, fmt.Errorf("channel: drawing a nonce: %w", err))
		}
		list = append(list, &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: id, Nonce: nonce}})
	}
	return list, nil
}

// verifyOnlyPSKs checks the proposals of an update: external pre-shared keys by
// value, or none.
func verifyOnlyPSKs(proposals []mls.CommittedProposal) error {
	if len(proposals) > maxNames {
		return fmt.Errorf("%w: commit with %d proposals", ErrProfile, len(proposals))
	}
	for _, p := range proposals {
		psk, ok := p.Proposal.(*mls.PreSharedKey)
		if !ok || psk.PSK.Type != mls.PSKExternal || p.ByReference {
			return fmt.Errorf("%w: commit with a %T; only external pre-shared keys by value are allowed", ErrProfile, p.Proposal)
		}
	}
	return nil
}
