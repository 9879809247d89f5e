package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// ProtocolVersion is a version of MLS. RFC 9420, Section 6.
type ProtocolVersion uint16

// MLS10 is the version of RFC 9420, the only one there is.
const MLS10 ProtocolVersion = 1

// readVersion reads a ProtocolVersion field that must be mls10.
func readVersion(r *wire.Reader) {
	if v := ProtocolVersion(r.Uint16()); r.Err() == nil && v != MLS10 {
		r.Fail(fmt.Errorf("mls: protocol version %d, want %d (mls10): %w", v, MLS10, ErrUnsupported))
	}
}
