package channel

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
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
	parameters parameters
}

// choice is what the responder made of an offer. It stands in the GroupContext.
//
//	struct { uint16 version; Parameter parameters<V>; } Choice;
type choice struct {
	version    uint16
	parameters parameters
}

// The types of parameters.
const (
	parameterALPN             uint16 = 1  // ProtocolName names[]; one of them in the choice
	parameterServerName       uint16 = 2  // opaque name[]; empty in the choice
	parameterRecordSizeLimit  uint16 = 3  // uint16
	parameterFeatures         uint16 = 4  // uint32
	parameterTransportBinding uint16 = 5  // opaque hash[32]
	parameterRetry            uint16 = 6  // opaque hash[32]; offer only
	parameterPSKs             uint16 = 7  // PSKIdentity identities[]
	parameterMaxEarlyData     uint16 = 8  // uint32
	parameterAPQ              uint16 = 9  // CipherSuite t, pq; []; the one that is used in the choice
	parameterPQKeyPackage     uint16 = 10 // opaque hash[32]; offer only
)

// Bounds on what a peer may list.
const (
	maxNames      = 64
	maxNameLength = 255
)

// parameters are properties of a channel. What is absent is zero, and the types
// that are there are listed.
type parameters struct {
	types            []uint16
	protocols        []string
	serverName       string
	recordSizeLimit  uint16
	features         Features
	transportBinding []byte
	retry            []byte
	psks             [][]byte
	maxEarlyData     uint32
	pairs            []APQSuites
	pqKeyPackage     []byte
}

// has reports whether a type is there.
func (p *parameters) has(kind uint16) bool { return slices.Contains(p.types, kind) }

// encode writes the parameters in increasing order of type.
func (p *parameters) encode(w *wire.Writer) {
	write := func(kind uint16, value func()) {
		if p.has(kind) {
			w.Uint16(kind)
			w.Vector(value)
		}
	}
	w.Vector(func() {
		write(parameterALPN, func() {
			for _, name := range p.protocols {
				w.String(name)
			}
		})
		write(parameterServerName, func() { w.Bytes([]byte(p.serverName)) })
		write(parameterRecordSizeLimit, func() { w.Uint16(p.recordSizeLimit) })
		write(parameterFeatures, func() { w.Uint32(uint32(p.features)) })
		write(parameterTransportBinding, func() { w.Bytes(p.transportBinding) })
		write(parameterRetry, func() { w.Bytes(p.retry) })
		write(parameterPSKs, func() {
			for _, id := range p.psks {
				w.Opaque(id)
			}
		})
		write(parameterMaxEarlyData, func() { w.Uint32(p.maxEarlyData) })
		write(parameterAPQ, func() { writePairs(w, p.pairs) })
		write(parameterPQKeyPackage, func() { w.Bytes(p.pqKeyPackage) })
	})
}

// decode reads parameters, which stand in increasing order of type, and passes
// over types that it does not know.
func (p *parameters) decode(r *wire.Reader) {
	r.Vector(func(r *wire.Reader) {
		kind, value := r.Uint16(), r.Opaque()
		if n := len(p.types); n > 0 && p.types[n-1] >= kind {
			r.Fail(fmt.Errorf("%w: parameter %#04x follows %#04x", ErrMalformed, kind, p.types[n-1]))
			return
		}
		p.types = append(p.types, kind)
		if err := p.decodeValue(kind, value); err != nil {
			r.Fail(fmt.Errorf("parameter %#04x: %w", kind, err))
		}
	})
}

func (p *parameters) decodeValue(kind uint16, value []byte) error {
	r := wire.NewReader(value)
	switch kind {
	case parameterALPN:
		for _, name := range readNames(r) {
			p.protocols = append(p.protocols, string(name))
		}
	case parameterServerName:
		if len(value) > maxNameLength {
			return fmt.Errorf("%w: name of %d octets, at most %d are allowed", ErrMalformed, len(value), maxNameLength)
		}
		p.serverName = string(r.Bytes(len(value)))
	case parameterRecordSizeLimit:
		p.recordSizeLimit = r.Uint16()
	case parameterFeatures:
		p.features = Features(r.Uint32())
	case parameterTransportBinding:
		p.transportBinding = r.Bytes(hashSize)
	case parameterRetry:
		p.retry = r.Bytes(hashSize)
	case parameterPSKs:
		p.psks = readNames(r)
	case parameterMaxEarlyData:
		p.maxEarlyData = r.Uint32()
	case parameterAPQ:
		p.pairs = readPairs(r)
	case parameterPQKeyPackage:
		p.pqKeyPackage = r.Bytes(hashSize)
	default:
		return nil
	}
	return r.Finish()
}

// readNames reads opaque<V> names up to the end.
func readNames(r *wire.Reader) (names [][]byte) {
	for r.More() {
		name := r.Opaque()
		if len(name) == 0 || len(name) > maxNameLength || len(names) == maxNames {
			r.Fail(fmt.Errorf("%w: name %d of %d octets; at most %d names of 1 to %d octets are allowed",
				ErrMalformed, len(names), len(name), maxNames, maxNameLength))
			return nil
		}
		names = append(names, name)
	}
	return names
}

func writePairs(w *wire.Writer, pairs []APQSuites) {
	for _, p := range pairs {
		w.Uint16(uint16(p.T))
		w.Uint16(uint16(p.PQ))
	}
}

// readPairs reads pairs of cipher suites up to the end.
func readPairs(r *wire.Reader) (pairs []APQSuites) {
	for r.More() {
		if len(pairs) == maxNames {
			r.Fail(fmt.Errorf("%w: more than %d pairs of cipher suites", ErrMalformed, maxNames))
			return nil
		}
		pairs = append(pairs, readPair(r))
	}
	return pairs
}

func readPair(r *wire.Reader) APQSuites {
	return APQSuites{T: ciphersuite.ID(r.Uint16()), PQ: ciphersuite.ID(r.Uint16())}
}

func (o offer) marshal() []byte {
	var w wire.Writer
	w.Vector(func() {
		for _, v := range o.versions {
			w.Uint16(v)
		}
	})
	o.parameters.encode(&w)
	return w.Data()
}

func parseOffer(data []byte) (o offer, err error) {
	r := wire.NewReader(data)
	r.Vector(func(r *wire.Reader) { o.versions = append(o.versions, r.Uint16()) })
	o.parameters.decode(r)
	return o, r.Finish()
}

func (c choice) marshal() []byte {
	var w wire.Writer
	w.Uint16(c.version)
	c.parameters.encode(&w)
	return w.Data()
}

func parseChoice(data []byte) (c choice, err error) {
	r := wire.NewReader(data)
	c.version = r.Uint16()
	c.parameters.decode(r)
	return c, r.Finish()
}
