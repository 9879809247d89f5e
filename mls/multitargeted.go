package mls

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A message to several members is encrypted once. What encrypts it is a secret that
// is sealed to each recipient as a targeted message is to one, and all of it is
// signed: so no recipient, though all have the secret, can change anything for another.
// The secret is committed to under the signature as well, so that the sender
// cannot have them read different things. The format is our own
// (docs/extensions.md, "Messages to several members").

// multiTargetedMessage is the struct MultiTargetedMessage.
type multiTargetedMessage struct {
	groupID                 []byte
	epoch                   uint64
	recipients              []LeafIndex
	authenticatedData       []byte
	encryptedSenderAuthData []byte
	ciphertext              []byte
}

func (m *multiTargetedMessage) encode(w *wire.Writer) {
	m.encodeSenderAuthDataAAD(w)
	w.Opaque(m.authenticatedData)
	w.Opaque(m.encryptedSenderAuthData)
	w.Opaque(m.ciphertext)
}

func (m *multiTargetedMessage) decode(r *wire.Reader) {
	m.groupID = r.Opaque()
	m.epoch = r.Uint64()
	r.Vector(func(r *wire.Reader) { m.recipients = append(m.recipients, LeafIndex(r.Uint32())) })
	m.authenticatedData = r.Opaque()
	m.encryptedSenderAuthData = r.Opaque()
	m.ciphertext = r.Opaque()
}

// encodeSenderAuthDataAAD writes MultiSenderAuthDataAAD, which is how the message begins.
func (m *multiTargetedMessage) encodeSenderAuthDataAAD(w *wire.Writer) {
	w.Opaque(m.groupID)
	w.Uint64(m.epoch)
	w.Vector(func() {
		for _, i := range m.recipients {
			w.Uint32(uint32(i))
		}
	})
}

// multiTargetedSenderAuthData is the struct MultiTargetedSenderAuthData.
type multiTargetedSenderAuthData struct {
	sender     LeafIndex
	signature  []byte
	keys       []hpkeCiphertext // the content secret, for each recipient
	commitment []byte           // to the content secret
}

func (d *multiTargetedSenderAuthData) encode(w *wire.Writer) {
	w.Uint32(uint32(d.sender))
	w.Opaque(d.signature)
	writeVector(w, d.keys)
	w.Opaque(d.commitment)
}

func (d *multiTargetedSenderAuthData) decode(r *wire.Reader) {
	d.sender = LeafIndex(r.Uint32())
	d.signature = r.Opaque()
	d.keys = readVector[hpkeCiphertext](r)
	d.commitment = r.Opaque()
}

const (
	multiTargetedExporterLabel  = "mendlink multi-targeted message"
	multiTargetedSignatureLabel = "MendlinkMultiTargetedMessageTBS"
)

// encodeToBeSigned writes MultiTargetedMessageTBS.
func (m *multiTargetedMessage) encodeToBeSigned(w *wire.Writer, s *ciphersuite.Suite, d *multiTargetedSenderAuthData) {
	w.Uint16(uint16(MLS10))
	w.Uint16(uint16(WireFormatMultiTargetedMessage))
	m.encodeSenderAuthDataAAD(w)
	w.Opaque(m.authenticatedData)
	w.Uint32(uint32(d.sender))
	writeVector(w, d.keys)
	w.Opaque(d.commitment)
	w.Opaque(s.Hash(m.ciphertext))
}

func (m *multiTargetedMessage) pskID() []byte {
	return targetedPSKID(m.groupID, m.epoch, "Mendlink multi-targeted message psk")
}

func multiTargetedContext(recipient, sender LeafIndex) []byte {
	return targetedContext("Mendlink MultiTargetedMessageKey", recipient, sender)
}

// multiTargetedKeys derives what encrypts the content, and the commitment to the secret.
func multiTargetedKeys(s *ciphersuite.Suite, secret []byte) (key, nonce, commitment []byte) {
	return s.ExpandWithLabel(secret, "key", nil, s.KeySize()),
		s.ExpandWithLabel(secret, "nonce", nil, s.NonceSize()),
		s.ExpandWithLabel(secret, "commitment", nil, s.HashSize())
}

// ProtectToSeveral is [Group.ProtectTo] to several members, in any order, with one
// encryption of data: it costs a sealed key for each of them, and one signature. Each learns who
// the others are, and that they get the same data.
func (g *Group) ProtectToSeveral(recipients []LeafIndex, data, authenticatedData []byte) ([]byte, error) {
	if len(recipients) == 0 {
		return nil, errors.New("mls: a targeted message has no recipients")
	}
	m := &multiTargetedMessage{groupID: g.context.groupID, epoch: g.context.epoch, authenticatedData: authenticatedData}
	m.recipients = slices.Compact(slices.Sorted(slices.Values(recipients)))
	keys := make([]*ciphersuite.HPKEPublicKey, len(m.recipients))
	for i, recipient := range m.recipients {
		var err error
		if keys[i], err = g.targetedKeyOf(recipient); err != nil {
			return nil, err
		}
	}
	secrets, err := g.exportTargeted(multiTargetedExporterLabel)
	if err != nil {
		return nil, err
	}
	defer secrets.erase()
	secret := make([]byte, g.suite.HashSize())
	defer clear(secret)
	if _, err := io.ReadFull(g.cfg.Rand, secret); err != nil {
		return nil, fmt.Errorf("mls: drawing a content secret: %w", err)
	}
	d := &multiTargetedSenderAuthData{sender: g.own}
	for i, key := range keys {
		var c hpkeCiphertext
		if c.kemOutput, c.ciphertext, err = key.SealPSK(g.cfg.Rand, multiTargetedContext(m.recipients[i], g.own), nil, secret, secrets.psk, m.pskID()); err != nil {
			return nil, fmt.Errorf("mls: encrypting a content secret: %w", err)
		}
		d.keys = append(d.keys, c)
	}
	if err := m.sealContent(g.suite, secret, encodeTargetedContent(data, g.cfg.Padding), d); err != nil {
		return nil, err
	}
	if err := g.signMultiTargeted(m, d); err != nil {
		return nil, err
	}
	if m.encryptedSenderAuthData, err = secrets.sealSenderAuthData(g.suite, m.ciphertext, wire.Encode(m.encodeSenderAuthDataAAD), d); err != nil {
		return nil, err
	}
	return marshal(&mlsMessage{wireFormat: WireFormatMultiTargetedMessage, multiTargetedMessage: m}), nil
}

// sealContent encrypts the content, which it erases, and commits to the secret.
func (m *multiTargetedMessage) sealContent(s *ciphersuite.Suite, secret, content []byte, d *multiTargetedSenderAuthData) error {
	defer clear(content)
	key, nonce, commitment := multiTargetedKeys(s, secret)
	defer clear(key)
	aead, err := s.NewAEAD(key)
	if err != nil {
		return err
	}
	d.commitment = commitment
	m.ciphertext = aead.Seal(nil, nonce, content, m.authenticatedData)
	return nil
}

func (g *Group) signMultiTargeted(m *multiTargetedMessage, d *multiTargetedSenderAuthData) (err error) {
	wire.Lend(func(w *wire.Writer) {
		m.encodeToBeSigned(w, g.suite, d)
		d.signature, err = g.suite.SignWithLabel(g.cfg.Rand, g.signer, multiTargetedSignatureLabel, w.Data())
	})
	if err != nil {
		return fmt.Errorf("mls: signing a targeted message: %w", err)
	}
	return nil
}

// openSeveral opens a message to several members, with the checks of openOne in the
// same order.
func (e *targetedEpoch) openSeveral(m *multiTargetedMessage) (*ReceivedTargeted, error) {
	if err := m.verifyRecipients(); err != nil {
		return nil, err
	}
	at, ok := slices.BinarySearch(m.recipients, e.own)
	if err := e.verifyRecipient(ok); err != nil {
		return nil, err
	}
	secrets, err := e.secrets(multiTargetedExporterLabel)
	if err != nil {
		return nil, err
	}
	defer secrets.erase()
	var d multiTargetedSenderAuthData
	if err := secrets.openSenderAuthData(e.suite, m.ciphertext, wire.Encode(m.encodeSenderAuthDataAAD), m.encryptedSenderAuthData, &d); err != nil {
		return nil, err
	}
	if err := e.verifySender(d.sender, multiTargetedSignatureLabel, d.signature, func(w *wire.Writer) { m.encodeToBeSigned(w, e.suite, &d) }); err != nil {
		return nil, err
	}
	if len(d.keys) != len(m.recipients) {
		return nil, invalid(CheckMultiTargetedKeys, "%d sealed keys for %d recipients", len(d.keys), len(m.recipients))
	}
	sealed := &d.keys[at]
	secret, err := e.suite.OpenPSK(e.key, sealed.kemOutput, multiTargetedContext(e.own, d.sender), nil, sealed.ciphertext, secrets.psk, m.pskID())
	if err != nil {
		return nil, fmt.Errorf("%w: content secret: %w", ErrDecrypt, err)
	}
	defer clear(secret)
	content, err := m.openContent(e.suite, secret, &d)
	if err != nil {
		return nil, err
	}
	data, err := decodeTargetedContent(content)
	if err != nil {
		return nil, err
	}
	return &ReceivedTargeted{Sender: d.sender, Recipients: m.recipients, AuthenticatedData: m.authenticatedData, Data: data}, nil
}

// verifyRecipients checks the list of recipients.
func (m *multiTargetedMessage) verifyRecipients() error {
	if len(m.recipients) == 0 {
		return invalid(CheckMultiTargetedRecipients, "there is none")
	}
	for i := 1; i < len(m.recipients); i++ {
		if m.recipients[i-1] >= m.recipients[i] {
			return invalid(CheckMultiTargetedRecipients, "leaf %d follows leaf %d", m.recipients[i], m.recipients[i-1])
		}
	}
	return nil
}

// openContent decrypts the content with the secret that was sealed to this member,
// once that is known to be the one that the others have as well.
func (m *multiTargetedMessage) openContent(s *ciphersuite.Suite, secret []byte, d *multiTargetedSenderAuthData) ([]byte, error) {
	key, nonce, commitment := multiTargetedKeys(s, secret)
	defer clear(key)
	if subtle.ConstantTimeCompare(commitment, d.commitment) != 1 {
		return nil, invalid(CheckMultiTargetedCommitment, "the content secret is not the one that is committed to")
	}
	aead, err := s.NewAEAD(key)
	if err != nil {
		return nil, err
	}
	content, err := aead.Open(nil, nonce, m.ciphertext, m.authenticatedData)
	if err != nil {
		return nil, fmt.Errorf("%w: content of a targeted message", ErrDecrypt)
	}
	return content, nil
}
