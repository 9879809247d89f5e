package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// observerVersion is the first field of a marshalled Observer.
const observerVersion uint16 = 1

// Marshal returns all that the observer knows, the proposals of the epoch included,
// for [RestoreObserver]. None of it is secret, but who the members are may be.
//
//	struct {
//	    uint16 version = 1;
//	    GroupContext context;
//	    optional<Node> ratchet_tree<V>;
//	    opaque confirmation_tag<V>;
//	    Extension external<V>;         /* external_pub, if it is known */
//	    ObservedProposal proposals<V>;
//	} ObserverState;
//
//	struct {
//	    opaque reference<V>;           /* ProposalRef */
//	    Sender sender;
//	    Proposal proposal;
//	} ObservedProposal;
func (o *Observer) Marshal() []byte {
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(observerVersion)
		o.context.encode(w)
		o.tree.encode(w)
		w.Opaque(o.confirmationTag)
		o.external.encode(w)
		w.Vector(func() {
			for _, p := range o.proposals {
				w.Opaque(p.ref)
				p.sender.encode(w)
				writeProposal(w, p.proposal)
			}
		})
	})
}

// RestoreObserver returns the observer that [Observer.Marshal] wrote. state has to
// come from a place that nobody else can write to: it was verified before it was
// stored, and is not again. An error matches [ErrUnsupported] where a later version
// has written it.
func RestoreObserver(cfg *Config, state []byte) (*Observer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	o := &Observer{publicState: publicState{cfg: cfg, tree: new(ratchetTree)}}
	if err := o.decode(wire.NewReaderWithContext(bytes.Clone(state), cfg.proposals)); err != nil {
		return nil, fmt.Errorf("mls: restoring an observer: %w", err)
	}
	return o, nil
}

func (o *Observer) decode(r *wire.Reader) (err error) {
	if v := r.Uint16(); r.Err() == nil && v != observerVersion {
		return fmt.Errorf("version %d, want %d: %w", v, observerVersion, ErrUnsupported)
	}
	o.context.decode(r)
	o.tree.decode(r)
	tag := r.Opaque()
	o.external = readExtensions(r)
	r.Vector(func(r *wire.Reader) {
		// A commit that covers it has it verified anew.
		p := &cachedProposal{ref: r.Opaque()}
		p.sender.decode(r)
		p.proposal = readProposal(r)
		o.proposals = append(o.proposals, p)
	})
	if err := r.Finish(); err != nil {
		return err
	}
	if o.suite, err = o.cfg.Suites.Lookup(o.context.cipherSuite); err != nil {
		return err
	}
	o.encodedContext = marshal(&o.context)
	o.setConfirmationTag(tag)
	return o.tree.parseKeys(o.suite)
}
