package mls

import (
	"bytes"

	"github.com/mendlink/mendlink/internal/wire"
)

// ExternalSender may send proposals to a group without being a member.
// RFC 9420, Section 12.1.8.1.
type ExternalSender struct {
	SignatureKey []byte
	Credential   Credential
}

func (s *ExternalSender) encode(w *wire.Writer) {
	w.Opaque(s.SignatureKey)
	s.Credential.encode(w)
}

func (s *ExternalSender) decode(r *wire.Reader) {
	s.SignatureKey = r.Opaque()
	s.Credential.decode(r)
}

// ExternalSenders returns the GroupContext extension that admits senders.
func ExternalSenders(senders ...ExternalSender) Extension {
	data := wire.Encode(func(w *wire.Writer) { writeVector(w, senders) })
	return Extension{Type: ExtensionExternalSenders, Data: data}
}

func externalSenders(context Extensions) ([]ExternalSender, error) {
	data, ok := context.Find(ExtensionExternalSenders)
	if !ok {
		return nil, nil
	}
	return parseExternalSenders(data)
}

func parseExternalSenders(data []byte) ([]ExternalSender, error) {
	r := wire.NewReader(bytes.Clone(data))
	senders := readVector[ExternalSender](r)
	if err := r.Finish(); err != nil {
		return nil, invalid(CheckExternalSendersFormat, "%w", err)
	}
	return senders, nil
}
