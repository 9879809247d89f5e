package mls

// Wire formats from the range for private use, which have no number assigned.
const (
	// WireFormatMultiTargetedMessage is a message from one member to several
	// (docs/extensions.md).
	WireFormatMultiTargetedMessage WireFormat = 0xF006

	// The formats of draft-kohbrok-mls-fewer-signatures-00, which says TBD.
	WireFormatOneSignatureKeyPackage     WireFormat = 0xF007
	WireFormatOneSignaturePrivateMessage WireFormat = 0xF008
	WireFormatOneSignaturePublicMessage  WireFormat = 0xF009
)
