package mls

import (
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// WireFormatTargetedMessage is a message from one member to another.
// draft-ietf-mls-targeted-messages-02, Section 9.1.
const WireFormatTargetedMessage WireFormat = 0x0006

// targetedMessage is the struct TargetedMessage.
// draft-ietf-mls-targeted-messages-02, Section 3.
type targetedMessage struct {
	groupID                 []byte
	epoch                   uint64
	recipient               LeafIndex
	authenticatedData       []byte
	encryptedSenderAuthData []byte
	ciphertext              []byte
}

func (m *targetedMessage) encode(w *wire.Writer) {
	m.encodeSenderAuthDataAAD(w)
	w.Opaque(m.authenticatedData)
	w.Opaque(m.encryptedSenderAuthData)
	w.Opaque(m.ciphertext)
}

func (m *targetedMessage) decode(r *wire.Reader) {
	m.groupID = r.Opaque()
	m.epoch = r.Uint64()
	m.recipient = LeafIndex(r.Uint32())
	m.authenticatedData = r.Opaque()
	m.encryptedSenderAuthData = r.Opaque()
	m.ciphertext = r.Opaque()
}

// encodeSenderAuthDataAAD writes SenderAuthDataAAD, which is how the message begins.
// draft-ietf-mls-targeted-messages-02, Section 6.3.
func (m *targetedMessage) encodeSenderAuthDataAAD(w *wire.Writer) {
	w.Opaque(m.groupID)
	w.Uint64(m.epoch)
	w.Uint32(uint32(m.recipient))
}

// targetedSenderAuthData is the struct TargetedMessageSenderAuthData: who sent the
// message, the proof of that, and what HPKE needs.
type targetedSenderAuthData struct {
	sender    LeafIndex
	signature []byte
	kemOutput []byte
}

func (d *targetedSenderAuthData) encode(w *wire.Writer) {
	w.Uint32(uint32(d.sender))
	w.Opaque(d.signature)
	w.Opaque(d.kemOutput)
}

func (d *targetedSenderAuthData) decode(r *wire.Reader) {
	d.sender = LeafIndex(r.Uint32())
	d.signature = r.Opaque()
	d.kemOutput = r.Opaque()
}

// targetedSignatureLabel is the label of signatures over TargetedMessageTBS.
const targetedSignatureLabel = "TargetedMessageTBS"

// encodeToBeSigned writes TargetedMessageTBS. The content is in it by the hash of
// its ciphertext, so that the signature can be verified before anything is decrypted.
// draft-ietf-mls-targeted-messages-02, Sections 3 and 5.
func (m *targetedMessage) encodeToBeSigned(w *wire.Writer, s *ciphersuite.Suite, d *targetedSenderAuthData) {
	w.Uint16(uint16(MLS10))
	w.Uint16(uint16(WireFormatTargetedMessage))
	m.encodeSenderAuthDataAAD(w)
	w.Opaque(m.authenticatedData)
	w.Uint32(uint32(d.sender))
	w.Opaque(d.kemOutput)
	w.Opaque(s.Hash(m.ciphertext))
}

// pskID returns the struct PSKId.
func (m *targetedMessage) pskID() []byte {
	return targetedPSKID(m.groupID, m.epoch, "MLS 1.0 targeted message psk")
}

// context returns TargetedMessageContext, the info of HPKE. Its field context has
// no length. draft-ietf-mls-targeted-messages-02, Section 6.2.
func (m *targetedMessage) context(sender LeafIndex) []byte {
	return targetedContext("MLS 1.0 TargetedMessageData", m.recipient, sender)
}

// targetedPSKID names the pre-shared key of an epoch under a label.
func targetedPSKID(groupID []byte, epoch uint64, label string) []byte {
	return wire.Encode(func(w *wire.Writer) {
		w.Opaque(groupID)
		w.Uint64(epoch)
		w.String(label)
	})
}

// targetedContext binds what is encrypted under a label to two members.
func targetedContext(label string, recipient, sender LeafIndex) []byte {
	return wire.Encode(func(w *wire.Writer) {
		w.String(label)
		w.Uint32(uint32(recipient))
		w.Uint32(uint32(sender))
	})
}
