package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// Targeted messages go from one member to another, or to several, and the others
// cannot read them. They are encrypted to the leaves of the recipients, with a key
// in addition that only members of the epoch have, and signed by the sender. They
// change nothing in the group. draft-ietf-mls-targeted-messages-02.

// ReceivedTargeted is data from another member to this one, or to this one among
// others. Nothing keeps a message from being delivered again within its epoch: an
// application that minds puts something unique into AuthenticatedData and remembers it.
type ReceivedTargeted struct {
	Sender LeafIndex
	// Recipients are all who can read it, in increasing order.
	Recipients        []LeafIndex
	AuthenticatedData []byte
	Data              []byte
}

func (*ReceivedTargeted) received() {}

// ProtectTo encrypts data to one other member, as an MLSMessage that holds a
// TargetedMessage. authenticatedData travels with it in the clear, as does the
// recipient. It may be sent while proposals wait for a commit. The state does not
// change: nothing has to be saved.
//
// It has less forward secrecy than [Group.Protect]: whoever steals the recipient's
// state can read what was sent to it since its leaf last changed, as long as the
// keys of the epoch are there.
//
// Errors: [ErrUnsupported] without [Config.TargetedMessages]; [ErrNoSuchMember], also
// for the member itself; [ErrErased], also after [Group.EraseExporterSecret];
// [ErrInactive]. draft-ietf-mls-targeted-messages-02, Section 6.2.
func (g *Group) ProtectTo(recipient LeafIndex, data, authenticatedData []byte) ([]byte, error) {
	key, err := g.targetedKeyOf(recipient)
	if err != nil {
		return nil, err
	}
	secrets, err := g.exportTargeted(targetedExporterLabel)
	if err != nil {
		return nil, err
	}
	defer secrets.erase()
	m := &targetedMessage{groupID: g.context.groupID, epoch: g.context.epoch, recipient: recipient, authenticatedData: authenticatedData}
	d := &targetedSenderAuthData{sender: g.own}
	content := encodeTargetedContent(data, g.cfg.Padding)
	defer clear(content)
	if d.kemOutput, m.ciphertext, err = key.SealPSK(g.cfg.Rand, m.context(g.own), authenticatedData, content, secrets.psk, m.pskID()); err != nil {
		return nil, fmt.Errorf("mls: encrypting a targeted message: %w", err)
	}
	wire.Lend(func(w *wire.Writer) {
		m.encodeToBeSigned(w, g.suite, d)
		d.signature, err = g.suite.SignWithLabel(g.cfg.Rand, g.signer, targetedSignatureLabel, w.Data())
	})
	if err != nil {
		return nil, fmt.Errorf("mls: signing a targeted message: %w", err)
	}
	if m.encryptedSenderAuthData, err = secrets.sealSenderAuthData(g.suite, m.ciphertext, wire.Encode(m.encodeSenderAuthDataAAD), d); err != nil {
		return nil, err
	}
	return marshal(&mlsMessage{wireFormat: WireFormatTargetedMessage, targetedMessage: m}), nil
}

// targetedKeyOf returns the key to which messages for another member are encrypted.
func (g *Group) targetedKeyOf(recipient LeafIndex) (*ciphersuite.HPKEPublicKey, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	if !g.cfg.TargetedMessages {
		return nil, fmt.Errorf("mls: sending a targeted message: %w", ErrUnsupported)
	}
	leaf := g.tree.leafNode(recipient)
	if leaf == nil || recipient == g.own {
		return nil, fmt.Errorf("%w: leaf %d, want another member's", ErrNoSuchMember, recipient)
	}
	return leaf.parseEncryptionKey(g.suite)
}

// targetedSecrets are what an epoch's exporter gives to one format of targeted messages.
type targetedSecrets struct {
	psk, senderAuthData []byte
}

// targetedExporterLabel is the label of the draft's secrets.
// draft-ietf-mls-targeted-messages-02, Sections 5 and 6.3.
const targetedExporterLabel = "targeted message"

// exportTargeted returns the secrets under a label. The caller erases them.
func (g *Group) exportTargeted(label string) (s targetedSecrets, err error) {
	n := g.suite.HashSize()
	if s.psk, err = g.Export(label, []byte("psk"), n); err != nil {
		return s, err
	}
	s.senderAuthData, err = g.Export(label, []byte("sender auth data secret"), n)
	return s, err
}

func (s *targetedSecrets) clone() targetedSecrets {
	return targetedSecrets{bytes.Clone(s.psk), bytes.Clone(s.senderAuthData)}
}

func (s *targetedSecrets) erase() {
	clear(s.psk)
	clear(s.senderAuthData)
}

// sealSenderAuthData encrypts who sent a message, to all members.
// draft-ietf-mls-targeted-messages-02, Section 6.3.
func (s *targetedSecrets) sealSenderAuthData(suite *ciphersuite.Suite, ciphertext, aad []byte, d encoder) ([]byte, error) {
	key, nonce := secrettree.SenderDataKey(suite, s.senderAuthData, ciphertext)
	defer clear(key)
	aead, err := suite.NewAEAD(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nonce, marshal(d), aad), nil
}

// openSenderAuthData undoes sealSenderAuthData.
func (s *targetedSecrets) openSenderAuthData(suite *ciphersuite.Suite, ciphertext, aad, sealed []byte, d decoder) error {
	key, nonce := secrettree.SenderDataKey(suite, s.senderAuthData, ciphertext)
	defer clear(key)
	aead, err := suite.NewAEAD(key)
	if err != nil {
		return err
	}
	encoded, err := aead.Open(nil, nonce, sealed, aad)
	if err != nil {
		return fmt.Errorf("%w: sender auth data", ErrDecrypt)
	}
	if err := unmarshalAliased(encoded, d); err != nil {
		return fmt.Errorf("mls: decoding sender auth data: %w", err)
	}
	return nil
}

// encodeTargetedContent returns TargetedMessageContent.
// draft-ietf-mls-targeted-messages-02, Section 6.1.
func encodeTargetedContent(data []byte, padding func(int) int) []byte {
	return wire.Encode(func(w *wire.Writer) {
		w.Opaque(data)
		if padding != nil {
			w.Bytes(make([]byte, max(0, padding(w.Len()))))
		}
	})
}

// decodeTargetedContent undoes encodeTargetedContent.
func decodeTargetedContent(content []byte) ([]byte, error) {
	r := wire.NewReader(content)
	data := r.Opaque()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("mls: decoding a targeted message: %w", err)
	}
	for _, b := range r.Rest() {
		if b != 0 {
			return nil, invalid(CheckTargetedPadding, "padding holds a non-zero octet")
		}
	}
	return data, nil
}

// A targetedEpoch is what receiving targeted messages takes of an epoch.
type targetedEpoch struct {
	suite   *ciphersuite.Suite
	own     LeafIndex
	key     *ciphersuite.HPKEPrivateKey                 // of the own leaf
	sender  func(LeafIndex) (key senderKey, ok bool)    // of a member
	secrets func(label string) (targetedSecrets, error) // which the caller erases
}

// processTargeted decrypts and verifies a message that holds a targeted one. Its
// group and epoch are checked here, and the rest in the order of
// draft-ietf-mls-targeted-messages-02, Section 7.
func (g *Group) processTargeted(m *mlsMessage) (Received, error) {
	if !g.cfg.TargetedMessages {
		return nil, fmt.Errorf("mls: processing a %v: %w", m.wireFormat, ErrUnsupported)
	}
	groupID, epoch := m.targetedAddress()
	if err := g.verifyAddress(groupID, epoch); err != nil {
		return nil, err
	}
	e := &targetedEpoch{suite: g.suite, own: g.own, key: g.keys.at(leafPosition(g.own)).HPKEPrivateKey, secrets: g.exportTargeted}
	e.sender = func(i LeafIndex) (senderKey, bool) {
		leaf := g.tree.leafNode(i)
		return senderKey{leaf: leaf}, leaf != nil
	}
	return e.open(m)
}

// targetedAddress returns the group and the epoch that a targeted message is for.
func (m *mlsMessage) targetedAddress() (groupID []byte, epoch uint64) {
	if t := m.targetedMessage; t != nil {
		return t.groupID, t.epoch
	}
	return m.multiTargetedMessage.groupID, m.multiTargetedMessage.epoch
}

// open opens a targeted message of the epoch.
func (e *targetedEpoch) open(m *mlsMessage) (Received, error) {
	open := func() (*ReceivedTargeted, error) { return e.openOne(m.targetedMessage) }
	if m.targetedMessage == nil {
		open = func() (*ReceivedTargeted, error) { return e.openSeveral(m.multiTargetedMessage) }
	}
	// A nil *ReceivedTargeted must not become a Received.
	if received, err := open(); err != nil {
		return nil, err
	} else {
		return received, nil
	}
}

// openOne opens a message to one member.
func (e *targetedEpoch) openOne(m *targetedMessage) (*ReceivedTargeted, error) {
	if err := e.verifyRecipient(m.recipient == e.own); err != nil {
		return nil, err
	}
	secrets, err := e.secrets(targetedExporterLabel)
	if err != nil {
		return nil, err
	}
	defer secrets.erase()
	var d targetedSenderAuthData
	if err := secrets.openSenderAuthData(e.suite, m.ciphertext, wire.Encode(m.encodeSenderAuthDataAAD), m.encryptedSenderAuthData, &d); err != nil {
		return nil, err
	}
	if err := e.verifySender(d.sender, targetedSignatureLabel, d.signature, func(w *wire.Writer) { m.encodeToBeSigned(w, e.suite, &d) }); err != nil {
		return nil, err
	}
	content, err := e.suite.OpenPSK(e.key, d.kemOutput, m.context(d.sender), m.authenticatedData, m.ciphertext, secrets.psk, m.pskID())
	if err != nil {
		return nil, fmt.Errorf("%w: content of a targeted message: %w", ErrDecrypt, err)
	}
	data, err := decodeTargetedContent(content)
	if err != nil {
		return nil, err
	}
	return &ReceivedTargeted{Sender: d.sender, Recipients: []LeafIndex{m.recipient}, AuthenticatedData: m.authenticatedData, Data: data}, nil
}

// verifyRecipient checks that a message is for this member.
func (e *targetedEpoch) verifyRecipient(own bool) error {
	if !own {
		return invalid(CheckTargetedRecipient, "%w: leaf %d", ErrNotRecipient, e.own)
	}
	return nil
}

// verifySender checks that a message is by another member, who has signed it.
func (e *targetedEpoch) verifySender(i LeafIndex, label string, signature []byte, encode func(*wire.Writer)) error {
	if i == e.own {
		return ErrOwnMessage
	}
	sender, ok := e.sender(i)
	if !ok {
		return invalid(CheckTargetedSender, "leaf %d is blank", i)
	}
	key, err := sender.parse(e.suite)
	if err == nil {
		wire.Lend(func(w *wire.Writer) {
			encode(w)
			err = key.VerifyWithLabel(label, w.Data(), signature)
		})
	}
	if err != nil {
		return invalid(CheckTargetedSignature, "%w", err)
	}
	return nil
}
