package mls

import (
	"fmt"
	"io"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// privateMessage is a signed and encrypted message. RFC 9420, Section 6.3.
type privateMessage struct {
	groupID             []byte
	epoch               uint64
	contentType         ContentType
	authenticatedData   []byte
	encryptedSenderData []byte
	ciphertext          []byte
}

func (m *privateMessage) encode(w *wire.Writer) {
	m.encodeContentAAD(w)
	w.Opaque(m.encryptedSenderData)
	w.Opaque(m.ciphertext)
}

func (m *privateMessage) decode(r *wire.Reader) {
	m.groupID = r.Opaque()
	m.epoch = r.Uint64()
	m.contentType = readContentType(r)
	m.authenticatedData = r.Opaque()
	m.encryptedSenderData = r.Opaque()
	m.ciphertext = r.Opaque()
}

// encodeContentAAD writes PrivateContentAAD, which is also how the message
// begins. RFC 9420, Section 6.3.1.
func (m *privateMessage) encodeContentAAD(w *wire.Writer) {
	m.encodeSenderDataAAD(w)
	w.Opaque(m.authenticatedData)
}

// encodeSenderDataAAD writes SenderDataAAD. RFC 9420, Section 6.3.2.
func (m *privateMessage) encodeSenderDataAAD(w *wire.Writer) {
	w.Opaque(m.groupID)
	w.Uint64(m.epoch)
	w.Uint8(uint8(m.contentType))
}

// senderData tells the receivers which ratchet key opens the content.
// RFC 9420, Section 6.3.2.
type senderData struct {
	leaf       LeafIndex
	generation uint32
	reuseGuard [4]byte
}

func (d *senderData) encode(w *wire.Writer) {
	w.Uint32(uint32(d.leaf))
	w.Uint32(d.generation)
	w.Bytes(d.reuseGuard[:])
}

func (d *senderData) decode(r *wire.Reader) {
	d.leaf = LeafIndex(r.Uint32())
	d.generation = r.Uint32()
	copy(d.reuseGuard[:], r.Bytes(len(d.reuseGuard)))
}

// guardedNonce mixes the reuse guard into a ratchet's nonce. RFC 9420, Section 6.3.1.
func (d *senderData) guardedNonce(nonce []byte) []byte {
	guarded := make([]byte, len(nonce))
	copy(guarded, nonce)
	for i, b := range d.reuseGuard {
		guarded[i] ^= b
	}
	return guarded
}

// ratchetKind returns which of a member's two ratchets protects content of type t.
func ratchetKind(t ContentType) secrettree.Kind {
	if t == ContentApplication {
		return secrettree.Application
	}
	return secrettree.Handshake
}

// protectPrivate encrypts signed content from a member. It uses up one
// generation of the sender's ratchet, even if it fails.
func protectPrivate(s *ciphersuite.Suite, rand io.Reader, a *authenticatedContent, tree *secrettree.Tree, senderDataSecret []byte, padding func(int) int) (*privateMessage, error) {
	c := &a.content
	m := &privateMessage{
		groupID:           c.groupID,
		epoch:             c.epoch,
		contentType:       c.contentType,
		authenticatedData: c.authenticatedData,
	}
	data := senderData{leaf: c.sender.Leaf}
	if _, err := io.ReadFull(rand, data.reuseGuard[:]); err != nil {
		return nil, fmt.Errorf("mls: drawing a reuse guard: %w", err)
	}
	key, err := tree.Next(uint32(data.leaf), ratchetKind(c.contentType))
	if err != nil {
		return nil, fmt.Errorf("mls: encrypting a message: %w", err)
	}
	defer key.Discard()
	data.generation = key.Generation

	var aad wire.Writer
	plaintext := wire.NewSecretWriter()
	plaintext.Grow(c.encodedSize() + len(a.auth.signature) + len(a.auth.confirmationTag))
	c.encodeBody(plaintext)
	a.auth.encode(plaintext, c.contentType)
	if padding != nil {
		plaintext.Bytes(make([]byte, max(0, padding(plaintext.Len()))))
	}
	m.encodeContentAAD(&aad)
	aead, err := s.NewAEAD(key.Key)
	if err != nil {
		return nil, err
	}
	m.ciphertext = aead.Seal(nil, data.guardedNonce(key.Nonce), plaintext.Data(), aad.Data())
	clear(plaintext.Data())

	var senderAAD wire.Writer
	m.encodeSenderDataAAD(&senderAAD)
	senderKey, senderNonce := secrettree.SenderDataKey(s, senderDataSecret, m.ciphertext)
	defer clear(senderKey)
	if aead, err = s.NewAEAD(senderKey); err != nil {
		return nil, err
	}
	m.encryptedSenderData = aead.Seal(nil, senderNonce, marshal(&data), senderAAD.Data())
	return m, nil
}

// openPrivate decrypts a message. The ratchet is as it was until the caller
// calls Consume on the returned key; Discard leaves it so. The signature has
// yet to be verified.
func openPrivate(cfg *Config, s *ciphersuite.Suite, m *privateMessage, tree *secrettree.Tree, senderDataSecret []byte, isMember func(LeafIndex) error) (*authenticatedContent, *secrettree.Key, error) {
	var senderAAD wire.Writer
	m.encodeSenderDataAAD(&senderAAD)
	senderKey, senderNonce := secrettree.SenderDataKey(s, senderDataSecret, m.ciphertext)
	defer clear(senderKey)
	aead, err := s.NewAEAD(senderKey)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := aead.Open(nil, senderNonce, m.encryptedSenderData, senderAAD.Data())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: sender data", ErrDecrypt)
	}
	var data senderData
	if err := unmarshalAliased(encoded, &data); err != nil {
		return nil, nil, fmt.Errorf("mls: decoding sender data: %w", err)
	}
	if err := isMember(data.leaf); err != nil {
		return nil, nil, err
	}

	key, err := tree.Peek(uint32(data.leaf), ratchetKind(m.contentType), data.generation)
	if err != nil {
		return nil, nil, fmt.Errorf("mls: decrypting a message of leaf %d: %w", data.leaf, err)
	}
	a, err := openContent(cfg, s, m, &data, key)
	if err != nil {
		key.Discard()
		return nil, nil, err
	}
	return a, key, nil
}

// openContent decrypts and decodes PrivateMessageContent. RFC 9420, Section 6.3.1.
func openContent(cfg *Config, s *ciphersuite.Suite, m *privateMessage, data *senderData, key *secrettree.Key) (*authenticatedContent, error) {
	aead, err := s.NewAEAD(key.Key)
	if err != nil {
		return nil, err
	}
	var aad wire.Writer
	m.encodeContentAAD(&aad)
	plaintext, err := aead.Open(nil, data.guardedNonce(key.Nonce), m.ciphertext, aad.Data())
	if err != nil {
		return nil, fmt.Errorf("%w: content", ErrDecrypt)
	}
	a := &authenticatedContent{
		wireFormat: WireFormatPrivateMessage,
		content: framedContent{
			groupID:           m.groupID,
			epoch:             m.epoch,
			sender:            Sender{Type: SenderMember, Leaf: data.leaf},
			authenticatedData: m.authenticatedData,
			contentType:       m.contentType,
		},
	}
	r := wire.NewReaderWithContext(plaintext, cfg.proposals)
	a.content.decodeBody(r)
	a.auth.decode(r, m.contentType)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("mls: decoding a private message: %w", err)
	}
	for _, b := range r.Rest() {
		if b != 0 {
			return nil, invalid(CheckPadding, "padding holds a non-zero octet")
		}
	}
	return a, nil
}
