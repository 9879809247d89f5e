package mls

import (
	"crypto/subtle"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// publicMessage is a signed message in the clear. RFC 9420, Section 6.2.
type publicMessage struct {
	format        WireFormat // WireFormatPublicMessage, or that with one signature less
	content       framedContent
	auth          framedContentAuthData
	membershipTag []byte // senders that are members only
}

func (m *publicMessage) encode(w *wire.Writer) {
	m.content.encode(w)
	m.auth.encode(w, m.format, m.content.contentType)
	if m.content.sender.Type == SenderMember {
		w.Opaque(m.membershipTag)
	}
}

func (m *publicMessage) decode(r *wire.Reader) {
	m.content.decode(r)
	m.auth.decode(r, m.format, m.content.contentType)
	if m.content.sender.Type == SenderMember {
		m.membershipTag = r.Opaque()
	}
}

// authenticatedContent returns what the message protects. Its signature has yet
// to be verified.
func (m *publicMessage) authenticatedContent() *authenticatedContent {
	return &authenticatedContent{wireFormat: m.format, content: m.content, auth: m.auth}
}

// protectPublic encodes signed content as a PublicMessage.
func protectPublic(s *ciphersuite.Suite, a *authenticatedContent, membershipKey, encodedContext []byte) (*publicMessage, error) {
	if err := a.content.verifyPublic(); err != nil {
		return nil, err
	}
	m := &publicMessage{format: a.wireFormat, content: a.content, auth: a.auth}
	if a.content.sender.Type == SenderMember {
		m.membershipTag = membershipTag(s, a, membershipKey, encodedContext)
	}
	return m, nil
}

// verifyMembership checks the tag by which a member shows that it is one.
func (m *publicMessage) verifyMembership(s *ciphersuite.Suite, membershipKey, encodedContext []byte) error {
	if err := m.content.verifyPublic(); err != nil {
		return err
	}
	if m.content.sender.Type != SenderMember {
		return nil
	}
	if subtle.ConstantTimeCompare(m.membershipTag, membershipTag(s, m.authenticatedContent(), membershipKey, encodedContext)) != 1 {
		return invalid(CheckMembershipTag, "the membership tag does not match")
	}
	return nil
}

// verifyPublic checks that content may be in a PublicMessage. RFC 9420, Section 6.
func (c *framedContent) verifyPublic() error {
	if c.contentType == ContentApplication {
		return invalid(CheckApplicationPrivate, "application data in a PublicMessage, want a PrivateMessage")
	}
	return nil
}

// membershipTag is the MAC of AuthenticatedContentTBM. RFC 9420, Section 6.2.
func membershipTag(s *ciphersuite.Suite, a *authenticatedContent, membershipKey, encodedContext []byte) (tag []byte) {
	wire.Lend(func(w *wire.Writer) {
		a.encodeToBeSigned(w, encodedContext)
		a.auth.encode(w, a.wireFormat, a.content.contentType)
		tag = s.MAC(membershipKey, w.Data())
	})
	return tag
}
