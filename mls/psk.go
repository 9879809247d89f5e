package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// PSKType says where a pre-shared key comes from. RFC 9420, Section 8.4.
type PSKType uint8

// The PSK types of RFC 9420.
const (
	PSKExternal   PSKType = 1 // provided by the application
	PSKResumption PSKType = 2 // the resumption_psk of some epoch of some group
)

// PSKApplication is the type of a pre-shared key of one component. It need not
// be a key: what all members have to know, to be in the next epoch, can be any
// octets. draft-ietf-mls-extensions, Section 4.5.
const PSKApplication PSKType = 3

// ResumptionPSKUsage says what a resumption PSK is used for. RFC 9420, Section 8.4.
type ResumptionPSKUsage uint8

// The usages of resumption PSKs.
const (
	ResumptionApplication ResumptionPSKUsage = 1
	ResumptionReInit      ResumptionPSKUsage = 2
	ResumptionBranch      ResumptionPSKUsage = 3
)

// PreSharedKeyID names a pre-shared key and one use of it. RFC 9420, Section 8.4.
type PreSharedKeyID struct {
	Type      PSKType
	ID        []byte             // external and application PSKs
	Component ComponentID        // application PSKs: whose it is
	Usage     ResumptionPSKUsage // resumption PSKs, as the two fields below
	Group     []byte
	Epoch     uint64
	Nonce     []byte // fresh for each use, KDF.Nh octets
}

func (p *PreSharedKeyID) encode(w *wire.Writer) {
	w.Uint8(uint8(p.Type))
	switch p.Type {
	case PSKExternal:
		w.Opaque(p.ID)
	case PSKResumption:
		w.Uint8(uint8(p.Usage))
		w.Opaque(p.Group)
		w.Uint64(p.Epoch)
	case PSKApplication:
		w.Uint16(uint16(p.Component))
		w.Opaque(p.ID)
	}
	w.Opaque(p.Nonce)
}

func (p *PreSharedKeyID) decode(r *wire.Reader) {
	p.Type = PSKType(r.Uint8())
	switch p.Type {
	case PSKExternal:
		p.ID = r.Opaque()
	case PSKResumption:
		p.Usage = ResumptionPSKUsage(r.Uint8())
		if r.Err() == nil && (p.Usage < ResumptionApplication || p.Usage > ResumptionBranch) {
			r.Fail(fmt.Errorf("mls: resumption PSK usage %d is not defined", p.Usage))
		}
		p.Group = r.Opaque()
		p.Epoch = r.Uint64()
	case PSKApplication:
		p.Component = ComponentID(r.Uint16())
		p.ID = r.Opaque()
	default:
		r.Fail(fmt.Errorf("mls: PSK type %d: %w", p.Type, ErrUnsupported))
	}
	p.Nonce = r.Opaque()
}
