package channel

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// ProfileVersion numbers what docs/protocol.md describes.
const ProfileVersion uint16 = 1

// offer is what the initiator is ready for. It stands in its leaf, so it is
// signed and part of the transcript. Types that the responder does not know
// mean nothing to it.
//
//	struct { uint16 type; opaque value<V>; } Parameter;
//	struct { uint16 versions<V>; Parameter parameters<V>; } Offer;
type offer struct {
	versions   []uint16
	parameters []parameter
}

// choice is what the responder made of an offer. It stands in the GroupContext.
//
//	struct { uint16 version; Parameter parameters<V>; } Choice;
type choice struct {
	version    uint16
	parameters []parameter
}

// parameter is a property of the channel. No types are defined yet.
type parameter struct {
	kind  uint16
	value []byte
}

func ownOffer() offer { return offer{versions: []uint16{ProfileVersion}} }

// choose answers an offer.
func (o offer) choose() (choice, error) {
	if !slices.Contains(o.versions, ProfileVersion) {
		return choice{}, because(AlertProtocolVersion, fmt.Errorf("%w: peer offers %d, want %d", ErrNoCommonVersion, o.versions, ProfileVersion))
	}
	return choice{version: ProfileVersion}, nil
}

// verify checks that a choice is an answer to the offer.
func (o offer) verify(c choice) error {
	if !slices.Contains(o.versions, c.version) {
		return because(AlertIllegalParameter, fmt.Errorf("%w: peer chose %d, offered were %d", ErrNoCommonVersion, c.version, o.versions))
	}
	for _, p := range c.parameters {
		if !slices.ContainsFunc(o.parameters, func(q parameter) bool { return q.kind == p.kind }) {
			return fmt.Errorf("%w: peer chose parameter %#04x, which was not offered", ErrProfile, p.kind)
		}
	}
	return nil
}

func (o offer) marshal() []byte {
	var w wire.Writer
	w.Vector(func() {
		for _, v := range o.versions {
			w.Uint16(v)
		}
	})
	writeParameters(&w, o.parameters)
	return w.Data()
}

func parseOffer(data []byte) (o offer, err error) {
	r := wire.NewReader(data)
	r.Vector(func(r *wire.Reader) { o.versions = append(o.versions, r.Uint16()) })
	o.parameters = readParameters(r)
	return o, r.Finish()
}

func (c choice) marshal() []byte {
	var w wire.Writer
	w.Uint16(c.version)
	writeParameters(&w, c.parameters)
	return w.Data()
}

func parseChoice(data []byte) (c choice, err error) {
	r := wire.NewReader(data)
	c.version = r.Uint16()
	c.parameters = readParameters(r)
	return c, r.Finish()
}

func writeParameters(w *wire.Writer, list []parameter) {
	w.Vector(func() {
		for _, p := range list {
			w.Uint16(p.kind)
			w.Opaque(p.value)
		}
	})
}

// readParameters reads parameters, which stand in increasing order of type.
func readParameters(r *wire.Reader) (list []parameter) {
	r.Vector(func(r *wire.Reader) {
		p := parameter{kind: r.Uint16(), value: r.Opaque()}
		if n := len(list); n > 0 && list[n-1].kind >= p.kind {
			r.Fail(fmt.Errorf("%w: parameter %#04x follows %#04x", ErrMalformed, p.kind, list[n-1].kind))
			return
		}
		list = append(list, p)
	})
	return list
}
