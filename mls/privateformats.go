package mls

// Wire formats from the range for private use, which have no number assigned.
const (
	// WireFormatMultiTargetedMessage is a message from one member to several
	// (docs/extensions.md).
	WireFormatMultiTargetedMessage WireFormat = 0xF006
)
