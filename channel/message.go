package channel

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// MessageType says how a two-party message is used. The values are of the
// private-use range of TLS handshake types, so that no TLS message is taken for
// one of ours, nor ours for one of TLS.
type MessageType uint8

// The two-party messages. Those of the hellos and of resumption travel in the
// clear, all others under the keys of an epoch.
const (
	MessageClientHello            MessageType = 0xE0 // MLSMessage(KeyPackage), or of a OneSignatureKeyPackage
	MessageServerHello            MessageType = 0xE1 // MLSMessage(Welcome)
	MessageHandshakeDone          MessageType = 0xE2 // empty
	MessageConnectionUpdate       MessageType = 0xE3 // MLSMessage(PrivateMessage(Commit))
	MessageEpochKeyUpdate         MessageType = 0xE4 // MLSMessage(PrivateMessage(application)) of the new epoch
	MessageKeySwitch              MessageType = 0xE5 // uint64 epoch, opaque confirmation[16]
	MessageResumptionRequest      MessageType = 0xE6 // MLSMessage(PrivateMessage(Commit))
	MessageResumptionResponse     MessageType = 0xE7 // MLSMessage(PrivateMessage(Commit))
	MessageResumptionRefused      MessageType = 0xE8 // uint8 RefusalReason
	MessageHelloRetry             MessageType = 0xE9 // CipherSuite suites<V>
	MessageKeyUpdate              MessageType = 0xEA // uint8 request
	MessageEarlyData              MessageType = 0xEB // opaque nonce[32], opaque ciphertext<V>
	MessageEarlyDataStatus        MessageType = 0xEC // uint8 delivered (0, 1 or 2), opaque digest[32]
	MessageResumptionAcknowledged MessageType = 0xED // the EpochKeyUpdate that acknowledged the commit
)

var messageNames = map[MessageType]string{
	MessageClientHello:            "ClientHello",
	MessageServerHello:            "ServerHello",
	MessageHandshakeDone:          "HandshakeDone",
	MessageConnectionUpdate:       "ConnectionUpdate",
	MessageEpochKeyUpdate:         "EpochKeyUpdate",
	MessageKeySwitch:              "KeySwitch",
	MessageResumptionRequest:      "ResumptionRequest",
	MessageResumptionResponse:     "ResumptionResponse",
	MessageResumptionRefused:      "ResumptionRefused",
	MessageHelloRetry:             "HelloRetry",
	MessageKeyUpdate:              "KeyUpdate",
	MessageEarlyData:              "EarlyData",
	MessageEarlyDataStatus:        "EarlyDataStatus",
	MessageResumptionAcknowledged: "ResumptionAcknowledged",
}

func (t MessageType) String() string {
	if name, ok := messageNames[t]; ok {
		return name
	}
	return fmt.Sprintf("MessageType(%#02x)", uint8(t))
}

// Protected reports whether messages of this type travel under an epoch's keys.
func (t MessageType) Protected() bool {
	switch t {
	case MessageHandshakeDone, MessageConnectionUpdate, MessageEpochKeyUpdate, MessageKeySwitch,
		MessageKeyUpdate, MessageEarlyDataStatus:
		return true
	}
	return false
}

// A Message is one two-party message. On the wire it is
//
//	struct { uint8 msg_type; uint24 length; opaque body[length]; }
//
// like a handshake message of TLS (RFC 8446, Section 4).
type Message struct {
	Type MessageType
	Body []byte
	// Protected says that the message arrived, or has to leave, under the
	// keys of an epoch. It is not part of the encoding.
	Protected bool
}

// headerSize is the size in octets of a message's type and length.
const headerSize = 4

// DefaultMaxMessageSize bounds a message's body, in octets, where
// [Config.MaxMessageSize] is zero. The largest messages, a ServerHello and a
// commit of the suite with ML-KEM-1024, take some 10 KiB without certificates.
const DefaultMaxMessageSize = 1 << 17

// AppendTo appends the encoded message to b. It panics if the body has 2^24
// octets or more, which no message that a Session made has.
func (m Message) AppendTo(b []byte) []byte {
	w := wire.NewWriter(b)
	w.Uint8(uint8(m.Type))
	w.Uint24(uint32(len(m.Body)))
	w.Bytes(m.Body)
	return w.Data()
}

// An Assembler makes messages out of the payloads of records, however the
// messages were cut up or put together in them. It holds at most one unfinished
// message, of at most the size that it was made with, and what it was fed last. The zero value takes messages
// of up to [DefaultMaxMessageSize]. It is not safe for concurrent use.
type Assembler struct {
	max int
	buf []byte
	err error
}

// NewAssembler returns an Assembler for messages whose bodies have at most max
// octets. Default, if max is zero: [DefaultMaxMessageSize].
func NewAssembler(max int) *Assembler { return &Assembler{max: max} }

// Feed adds the payload of a record, of which it keeps a copy. [Assembler.Next]
// is to be called until it has no more before the next call.
func (a *Assembler) Feed(payload []byte) {
	if a.err == nil {
		a.buf = append(a.buf, payload...)
	}
}

// Next returns the next complete message, if there is one. The body belongs to
// the caller. A message that is too large is an [*Error] that matches
// [ErrMessageSize], as soon as its header is there; the Assembler is of no use any more then.
func (a *Assembler) Next() (m Message, ok bool, err error) {
	if a.err != nil || len(a.buf) < headerSize {
		return Message{}, false, a.err
	}
	r := wire.NewReader(a.buf)
	m.Type = MessageType(r.Uint8())
	size := int(r.Uint24())
	if limit := a.limit(); size > limit {
		a.err = &Error{Alert: AlertRecordOverflow, Err: fmt.Errorf("%w: %v announces %d octets, the limit is %d", ErrMessageSize, m.Type, size, limit)}
		a.buf = nil
		return Message{}, false, a.err
	}
	if len(r.Rest()) < size {
		return Message{}, false, nil
	}
	// What is left moves to a buffer of its own, so that the message owns this
	// one and nothing is held while no message is under way.
	m.Body = r.Bytes(size)
	if a.buf = nil; r.More() {
		a.buf = append(a.buf, r.Rest()...)
	}
	return m, true, nil
}

// Empty reports that no part of a message is waiting for its rest. Keys may
// change only then, as a message must not span two epochs (RFC 8446, Section 5.1).
func (a *Assembler) Empty() bool { return len(a.buf) == 0 }

func (a *Assembler) limit() int {
	if a.max == 0 {
		return DefaultMaxMessageSize
	}
	return a.max
}
