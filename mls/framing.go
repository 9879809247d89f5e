package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// ContentType says what a message carries. RFC 9420, Section 6.
type ContentType uint8

// The content types.
const (
	ContentApplication ContentType = 1
	ContentProposal    ContentType = 2
	ContentCommit      ContentType = 3
)

func (t ContentType) String() string {
	switch t {
	case ContentApplication:
		return "application"
	case ContentProposal:
		return "proposal"
	case ContentCommit:
		return "commit"
	}
	return fmt.Sprintf("ContentType(%d)", uint8(t))
}

// readContentType reads a ContentType and refuses what is not defined.
func readContentType(r *wire.Reader) ContentType {
	t := ContentType(r.Uint8())
	if r.Err() == nil && (t < ContentApplication || t > ContentCommit) {
		r.Fail(fmt.Errorf("mls: content type %d is not defined", uint8(t)))
	}
	return t
}

// SenderType says in what role the sender of a message speaks. RFC 9420, Section 6.
type SenderType uint8

// The sender types.
const (
	SenderMember            SenderType = 1
	SenderExternal          SenderType = 2
	SenderNewMemberProposal SenderType = 3
	SenderNewMemberCommit   SenderType = 4
)

// Sender identifies the sender of a message. RFC 9420, Section 6.
type Sender struct {
	Type SenderType
	// Leaf is the sender's leaf index (Type SenderMember).
	Leaf LeafIndex
	// Index points into the external_senders extension (Type SenderExternal).
	Index uint32
}

func (s *Sender) encode(w *wire.Writer) {
	w.Uint8(uint8(s.Type))
	switch s.Type {
	case SenderMember:
		w.Uint32(uint32(s.Leaf))
	case SenderExternal:
		w.Uint32(s.Index)
	}
}

func (s *Sender) decode(r *wire.Reader) {
	s.Type = SenderType(r.Uint8())
	switch s.Type {
	case SenderMember:
		s.Leaf = LeafIndex(r.Uint32())
	case SenderExternal:
		s.Index = r.Uint32()
	case SenderNewMemberProposal, SenderNewMemberCommit:
	default:
		r.Fail(fmt.Errorf("mls: sender type %d is not defined", uint8(s.Type)))
	}
}

// framedContent is the struct FramedContent. RFC 9420, Section 6.
type framedContent struct {
	groupID           []byte
	epoch             uint64
	sender            Sender
	authenticatedData []byte
	contentType       ContentType
	application       []byte   // ContentApplication
	proposal          Proposal // ContentProposal
	commit            *commit  // ContentCommit
	// body is the encoding of the field that contentType selects, if it is known:
	// what was parsed, or is large and needed more than once, is not encoded again.
	body []byte
}

func (c *framedContent) encode(w *wire.Writer) {
	w.Opaque(c.groupID)
	w.Uint64(c.epoch)
	c.sender.encode(w)
	w.Opaque(c.authenticatedData)
	w.Uint8(uint8(c.contentType))
	c.encodeBody(w)
}

func (c *framedContent) decode(r *wire.Reader) {
	c.groupID = r.Opaque()
	c.epoch = r.Uint64()
	c.sender.decode(r)
	c.authenticatedData = r.Opaque()
	c.contentType = readContentType(r)
	c.decodeBody(r)
}

// setCommit makes c a commit.
func (c *framedContent) setCommit(commit *commit) {
	c.commit, c.body = commit, marshal(commit)
}

// encodeBody writes the field that contentType selects.
func (c *framedContent) encodeBody(w *wire.Writer) {
	if c.body != nil {
		w.Bytes(c.body)
		return
	}
	switch c.contentType {
	case ContentApplication:
		w.Opaque(c.application)
	case ContentProposal:
		writeProposal(w, c.proposal)
	case ContentCommit:
		c.commit.encode(w)
	}
}

func (c *framedContent) decodeBody(r *wire.Reader) {
	if r.Err() != nil {
		return
	}
	body := r.Rest()
	switch c.contentType {
	case ContentApplication:
		c.application = r.Opaque()
	case ContentProposal:
		c.proposal = readProposal(r)
	case ContentCommit:
		c.commit = new(commit)
		c.commit.decode(r)
	}
	c.body = body[:len(body)-len(r.Rest())]
}

// framedContentAuthData is the struct FramedContentAuthData, or OSFramedContentAuthData
// without a signature. RFC 9420, Section 6.1; draft-kohbrok-mls-fewer-signatures-00.
type framedContentAuthData struct {
	signature       []byte
	confirmationTag []byte // commits only
}

func (a *framedContentAuthData) encode(w *wire.Writer, f WireFormat, t ContentType) {
	if !f.isOneSignature() {
		w.Opaque(a.signature)
	}
	if t == ContentCommit {
		w.Opaque(a.confirmationTag)
	}
}

func (a *framedContentAuthData) decode(r *wire.Reader, f WireFormat, t ContentType) {
	if !f.isOneSignature() {
		a.signature = r.Opaque()
	}
	if t == ContentCommit {
		a.confirmationTag = r.Opaque()
	}
}

// authenticatedContent is a message's content with what authenticates it,
// before it is protected or after that was taken off. RFC 9420, Section 6.
type authenticatedContent struct {
	wireFormat WireFormat
	content    framedContent
	auth       framedContentAuthData
}

func (a *authenticatedContent) encode(w *wire.Writer) {
	w.Uint16(uint16(a.wireFormat))
	a.content.encode(w)
	a.auth.encode(w, a.wireFormat, a.content.contentType)
}

func (a *authenticatedContent) decode(r *wire.Reader) {
	a.wireFormat = WireFormat(r.Uint16())
	a.content.decode(r)
	a.auth.decode(r, a.wireFormat, a.content.contentType)
}

// toBeSigned returns FramedContentTBS. encodedContext is the encoded
// GroupContext of the epoch in which the message is sent; outsiders who do not
// commit do not sign it. RFC 9420, Section 6.1.
func (a *authenticatedContent) toBeSigned(encodedContext []byte) []byte {
	return wire.Encode(func(w *wire.Writer) { a.encodeToBeSigned(w, encodedContext) })
}

// encodeToBeSigned writes what toBeSigned returns.
func (a *authenticatedContent) encodeToBeSigned(w *wire.Writer, encodedContext []byte) {
	w.Uint16(uint16(MLS10))
	w.Uint16(uint16(a.wireFormat))
	a.content.encode(w)
	switch a.content.sender.Type {
	case SenderMember, SenderNewMemberCommit:
		w.Bytes(encodedContext)
	}
}

// confirmedTranscriptHashInput returns the struct of that name. RFC 9420, Section 8.2.
func (a *authenticatedContent) confirmedTranscriptHashInput() []byte {
	return wire.Encode(a.encodeConfirmedTranscriptHashInput)
}

// encodeConfirmedTranscriptHashInput writes what confirmedTranscriptHashInput returns.
func (a *authenticatedContent) encodeConfirmedTranscriptHashInput(w *wire.Writer) {
	w.Uint16(uint16(a.wireFormat))
	a.content.encode(w)
	w.Opaque(a.auth.signature)
}
