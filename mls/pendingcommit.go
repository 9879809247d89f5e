package mls

import (
	"bytes"
	"crypto"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// A PendingCommit is a commit that was made but perhaps not accepted yet, and
// the epoch that it leads to. It is detached from the [Group] that made it: that
// one knows nothing of it, goes on receiving messages, and may make others.
type PendingCommit struct {
	base     []byte // interim transcript hash of the epoch that it was made in
	message  []byte
	welcome  []byte
	contents ReceivedCommit // without its next
	next     *Group
}

// newPendingCommit returns the commit a, made in the epoch before, but for its
// messages.
func newPendingCommit(before *publicState, a *authenticatedContent, covered []coveredProposal, next *Group) *PendingCommit {
	p := &PendingCommit{base: before.interimTranscriptHash, contents: *describeCommit(&a.content, covered), next: next}
	p.contents.AuthenticatedData = bytes.Clone(p.contents.AuthenticatedData) // the caller's
	return p
}

// Message returns the commit as an MLSMessage, empty if it was made with
// [CommitOptions.WelcomeOnly].
func (p *PendingCommit) Message() []byte { return p.message }

// Welcome returns the Welcome for the new members as an MLSMessage, nil if
// nobody was added.
func (p *PendingCommit) Welcome() []byte { return p.welcome }

// RatchetTree returns the new epoch's tree, encoded as in the ratchet_tree
// extension.
func (p *PendingCommit) RatchetTree() []byte { return p.next.RatchetTree() }

// Group returns the state of the epoch that the commit leads to.
func (p *PendingCommit) Group() *Group { return p.next }

// Proposals returns the proposals that the commit covers.
func (p *PendingCommit) Proposals() []CommittedProposal { return p.contents.Proposals }

// Is reports whether message is this commit, for members to whom their own
// messages come back: to go on with [PendingCommit.Group] is what takes the place
// of [Group.Process] then.
func (p *PendingCommit) Is(message []byte) bool {
	return len(p.message) > 0 && bytes.Equal(p.message, message)
}

// Erase drops the commit: it erases the epoch that it would have led to.
func (p *PendingCommit) Erase() { p.next.Erase() }

// pendingVersion is the first field of a marshalled PendingCommit.
const pendingVersion uint16 = 1

// Marshal returns the commit and the epoch that it leads to, secrets included,
// for [RestorePendingCommit].
//
//	struct {
//	    uint16 version = 1;
//	    opaque base<V>;      /* interim_transcript_hash of the epoch before */
//	    opaque message<V>;
//	    opaque welcome<V>;   /* empty: none */
//	    Sender sender;
//	    opaque authenticated_data<V>;
//	    struct {
//	        Proposal proposal;
//	        Sender sender;
//	        uint8 by_reference;
//	    } proposals<V>;
//	    uint8 has_path;
//	    opaque next<V>;      /* Group.Marshal */
//	} PendingCommit;
func (p *PendingCommit) Marshal() ([]byte, error) {
	next, err := p.next.Marshal()
	if err != nil {
		return nil, err
	}
	defer clear(next)
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(pendingVersion)
		w.Opaque(p.base)
		w.Opaque(p.message)
		w.Opaque(p.welcome)
		p.contents.encode(w)
		w.Opaque(next)
	}), nil
}

// RestorePendingCommit returns the commit that [PendingCommit.Marshal] wrote.
// signer is the private key to the signature key that the member has after the
// commit. As for [RestoreGroup], state has to come from a safe place.
func RestorePendingCommit(cfg *Config, signer crypto.Signer, state []byte) (*PendingCommit, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := restorePendingCommit(cfg, OnlySigner(signer), bytes.Clone(state))
	if err != nil {
		return nil, fmt.Errorf("mls: restoring a pending commit: %w", err)
	}
	return p, nil
}

// restorePendingCommit keeps state.
func restorePendingCommit(cfg *Config, signers SignerLookup, state []byte) (*PendingCommit, error) {
	r := wire.NewReaderWithContext(state, cfg.proposals)
	if v := r.Uint16(); r.Err() == nil && v != pendingVersion {
		return nil, fmt.Errorf("version %d, want %d: %w", v, pendingVersion, ErrUnsupported)
	}
	p := &PendingCommit{base: r.Opaque(), message: r.Opaque(), welcome: r.Opaque()}
	p.contents.decode(r)
	next := r.Opaque()
	if err := r.Finish(); err != nil {
		return nil, err
	}
	var err error
	if p.next, err = restoreGroup(cfg, signers, wire.NewReaderWithContext(next, cfg.proposals)); err != nil {
		return nil, err
	}
	return p, nil
}

func (c *ReceivedCommit) encode(w *wire.Writer) {
	c.Sender.encode(w)
	w.Opaque(c.AuthenticatedData)
	w.Vector(func() {
		for i := range c.Proposals {
			p := &c.Proposals[i]
			writeProposal(w, p.Proposal)
			p.Sender.encode(w)
			w.Optional(p.ByReference)
		}
	})
	w.Optional(c.HasPath)
}

func (c *ReceivedCommit) decode(r *wire.Reader) {
	c.Sender.decode(r)
	c.AuthenticatedData = r.Opaque()
	r.Vector(func(r *wire.Reader) {
		p := CommittedProposal{Proposal: readProposal(r)}
		p.Sender.decode(r)
		p.ByReference = r.Optional()
		c.Proposals = append(c.Proposals, p)
	})
	c.HasPath = r.Optional()
}
