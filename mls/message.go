package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// WireFormat says what an MLSMessage holds. RFC 9420, Section 17.2.
type WireFormat uint16

// The wire formats of RFC 9420.
const (
	WireFormatPublicMessage  WireFormat = 1
	WireFormatPrivateMessage WireFormat = 2
	WireFormatWelcome        WireFormat = 3
	WireFormatGroupInfo      WireFormat = 4
	WireFormatKeyPackage     WireFormat = 5
)

func (f WireFormat) String() string {
	switch f {
	case WireFormatPublicMessage:
		return "mls_public_message"
	case WireFormatPrivateMessage:
		return "mls_private_message"
	case WireFormatWelcome:
		return "mls_welcome"
	case WireFormatGroupInfo:
		return "mls_group_info"
	case WireFormatKeyPackage:
		return "mls_key_package"
	case WireFormatTargetedMessage:
		return "mls_targeted_message"
	case WireFormatMultiTargetedMessage:
		return "multi_targeted_message"
	case WireFormatAPQMessagePair:
		return "apq_message_pair"
	case WireFormatOneSignatureKeyPackage:
		return "mls_os_key_package"
	case WireFormatOneSignaturePrivateMessage:
		return "mls_os_private_message"
	case WireFormatOneSignaturePublicMessage:
		return "mls_os_public_message"
	}
	return fmt.Sprintf("WireFormat(%#04x)", uint16(f))
}

// mlsMessage is the struct MLSMessage. Exactly the field that wireFormat
// selects is set. RFC 9420, Section 6.
type mlsMessage struct {
	wireFormat     WireFormat
	publicMessage  *publicMessage
	privateMessage *privateMessage
	welcome        *welcome
	groupInfo      *groupInfo
	keyPackage     *KeyPackage

	targetedMessage      *targetedMessage
	multiTargetedMessage *multiTargetedMessage
}

func (m *mlsMessage) encode(w *wire.Writer) {
	w.Uint16(uint16(MLS10))
	w.Uint16(uint16(m.wireFormat))
	switch m.wireFormat {
	case WireFormatPublicMessage:
		m.publicMessage.encode(w)
	case WireFormatPrivateMessage:
		m.privateMessage.encode(w)
	case WireFormatWelcome:
		m.welcome.encode(w)
	case WireFormatGroupInfo:
		m.groupInfo.encode(w)
	case WireFormatKeyPackage:
		m.keyPackage.encode(w)
	case WireFormatTargetedMessage:
		m.targetedMessage.encode(w)
	case WireFormatMultiTargetedMessage:
		m.multiTargetedMessage.encode(w)
	case WireFormatOneSignatureKeyPackage:
		m.keyPackage.encodeOneSignature(w)
	case WireFormatOneSignaturePrivateMessage:
		m.privateMessage.encode(w)
	case WireFormatOneSignaturePublicMessage:
		m.publicMessage.encode(w)
	}
}

func (m *mlsMessage) decode(r *wire.Reader) {
	readVersion(r)
	m.wireFormat = WireFormat(r.Uint16())
	if r.Err() != nil {
		return
	}
	switch m.wireFormat {
	case WireFormatPublicMessage:
		m.publicMessage = &publicMessage{format: m.wireFormat}
		m.publicMessage.decode(r)
	case WireFormatPrivateMessage:
		m.privateMessage = &privateMessage{format: m.wireFormat}
		m.privateMessage.decode(r)
	case WireFormatWelcome:
		m.welcome = new(welcome)
		m.welcome.decode(r)
	case WireFormatGroupInfo:
		m.groupInfo = new(groupInfo)
		m.groupInfo.decode(r)
	case WireFormatKeyPackage:
		m.keyPackage = new(KeyPackage)
		m.keyPackage.decode(r)
	case WireFormatTargetedMessage:
		m.targetedMessage = new(targetedMessage)
		m.targetedMessage.decode(r)
	case WireFormatMultiTargetedMessage:
		m.multiTargetedMessage = new(multiTargetedMessage)
		m.multiTargetedMessage.decode(r)
	case WireFormatOneSignatureKeyPackage:
		m.keyPackage = new(KeyPackage)
		m.keyPackage.decodeOneSignature(r)
	case WireFormatOneSignaturePrivateMessage:
		m.privateMessage = &privateMessage{format: m.wireFormat}
		m.privateMessage.decode(r)
	case WireFormatOneSignaturePublicMessage:
		m.publicMessage = &publicMessage{format: m.wireFormat}
		m.publicMessage.decode(r)
	default:
		r.Fail(fmt.Errorf("mls: wire format %#04x: %w", uint16(m.wireFormat), ErrUnsupported))
	}
}

// A Header is the part of a message that travels in the clear. It says which
// group and epoch the message is for. Nothing in it is authenticated.
type Header struct {
	WireFormat  WireFormat
	GroupID     []byte
	Epoch       uint64
	ContentType ContentType // zero for targeted messages
}

// ParseHeader reads the header of an MLSMessage that holds a PublicMessage, a
// PrivateMessage or a targeted message, without checking what follows it. It returns
// an error for any other message.
func ParseHeader(message []byte) (Header, error) {
	r := wire.NewReader(message)
	readVersion(r)
	h := Header{WireFormat: WireFormat(r.Uint16())}
	switch h.WireFormat {
	case WireFormatPublicMessage, WireFormatOneSignaturePublicMessage:
		h.GroupID = bytes.Clone(r.Opaque())
		h.Epoch = r.Uint64()
		var s Sender
		s.decode(r)
		r.Opaque() // authenticated_data
		h.ContentType = readContentType(r)
	case WireFormatPrivateMessage, WireFormatOneSignaturePrivateMessage:
		h.GroupID = bytes.Clone(r.Opaque())
		h.Epoch = r.Uint64()
		h.ContentType = readContentType(r)
	case WireFormatTargetedMessage, WireFormatMultiTargetedMessage:
		h.GroupID = bytes.Clone(r.Opaque())
		h.Epoch = r.Uint64()
	default:
		r.Fail(fmt.Errorf("mls: message is %v, want %v or %v", h.WireFormat, WireFormatPublicMessage, WireFormatPrivateMessage))
	}
	if err := r.Err(); err != nil {
		return Header{}, fmt.Errorf("mls: parsing a message header: %w", err)
	}
	return h, nil
}
