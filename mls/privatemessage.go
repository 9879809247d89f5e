package mls

import (
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// privateMessage is a signed and encrypted message. RFC 9420, Section 6.3.
type privateMessage struct {
	format              WireFormat // WireFormatPrivateMessage, or that with one signature less
	groupID             []byte
	epoch               uint64
	contentType         ContentType
	authenticatedData   []byte
	encryptedSenderData []byte
	ciphertext          []byte

	// SenderDataAAD and PrivateContentAAD of a message that was parsed.
	senderDataAAD, contentAAD []byte
}

func (m *privateMessage) encode(w *wire.Writer) {
	m.encodeContentAAD(w)
	w.Opaque(m.encryptedSenderData)
	w.Opaque(m.ciphertext)
}

func (m *privateMessage) decode(r *wire.Reader) {
	begin := r.Rest()
	read := func() []byte { return begin[:len(begin)-len(r.Rest())] }
	m.groupID = r.Opaque()
	m.epoch = r.Uint64()
	m.contentType = readContentType(r)
	m.senderDataAAD = read()
	m.authenticatedData = r.Opaque()
	m.contentAAD = read()
	m.encryptedSenderData = r.Opaque()
	m.ciphertext = r.Opaque()
}

// encodeContentAAD writes PrivateContentAAD, which is also how the message
// begins. RFC 9420, Section 6.3.1.
func (m *privateMessage) encodeContentAAD(w *wire.Writer) {
	m.encodeSenderDataAAD(w)
	w.Opaque(m.authenticatedData)
}

// encodeSenderDataAAD writes SenderDataAAD, which is how PrivateContentAAD begins.
// RFC 9420, Section 6.3.2.
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

// senderDataSize is the size of an encoded SenderData.
const senderDataSize = 4 + 4 + 4

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

// protectPrivate encrypts signed content from a member, as an MLSMessage. It uses
// up one generation of the sender's ratchet, even if it fails.
func protectPrivate(s *ciphersuite.Suite, rand io.Reader, a *authenticatedContent, tree *secrettree.Tree, senderDataSecret []byte, padding func(int) int) (message []byte, err error) {
	data := senderData{leaf: a.content.sender.Leaf}
	if _, err := io.ReadFull(rand, data.reuseGuard[:]); err != nil {
		return nil, fmt.Errorf("mls: drawing a reuse guard: %w", err)
	}
	key, err := tree.Next(uint32(data.leaf), ratchetKind(a.content.contentType))
	if err != nil {
		return nil, fmt.Errorf("mls: encrypting a message: %w", err)
	}
	defer key.Discard()
	data.generation = key.Generation
	wire.Lend(func(plaintext *wire.Writer) {
		a.content.encodeBody(plaintext)
		a.auth.encode(plaintext, a.wireFormat, a.content.contentType)
		if padding != nil {
			plaintext.Bytes(make([]byte, max(0, padding(plaintext.Len()))))
		}
		message, err = sealPrivate(s, a.wireFormat, &a.content, plaintext.Data(), &data, key, senderDataSecret)
	})
	return message, err
}

// sealPrivate encrypts PrivateMessageContent and then SenderData, each in the place
// where the message has it: that is the only buffer. RFC 9420, Sections 6.3.1 and 6.3.2.
func sealPrivate(s *ciphersuite.Suite, f WireFormat, c *framedContent, plaintext []byte, data *senderData, key *secrettree.Key, senderDataSecret []byte) ([]byte, error) {
	contentAEAD, err := s.NewAEAD(key.Key)
	if err != nil {
		return nil, err
	}
	header := privateMessage{groupID: c.groupID, epoch: c.epoch, contentType: c.contentType, authenticatedData: c.authenticatedData}
	sealedSenderData, ciphertext := senderDataSize+contentAEAD.Overhead(), len(plaintext)+contentAEAD.Overhead()
	var w wire.Writer
	w.Grow(len(c.groupID) + len(c.authenticatedData) + sealedSenderData + ciphertext + 32)
	w.Uint16(uint16(MLS10))
	w.Uint16(uint16(f))
	aadAt := w.Len()
	header.encodeSenderDataAAD(&w)
	senderAADEnd := w.Len()
	w.Opaque(c.authenticatedData)
	aadEnd := w.Len()
	w.Length(sealedSenderData)
	senderDataAt := w.Len()
	data.encode(&w)
	w.Bytes(make([]byte, contentAEAD.Overhead()))
	w.Length(ciphertext)
	contentAt := w.Len()
	w.Grow(ciphertext)
	message := w.Data()
	message = contentAEAD.Seal(message, data.guardedNonce(key.Nonce), plaintext, message[aadAt:aadEnd])

	senderKey, senderNonce := secrettree.SenderDataKey(s, senderDataSecret, message[contentAt:])
	defer clear(senderKey)
	senderAEAD, err := s.NewAEAD(senderKey)
	if err != nil {
		return nil, err
	}
	inPlace := message[senderDataAt : senderDataAt+senderDataSize]
	senderAEAD.Seal(inPlace[:0], senderNonce, inPlace, message[aadAt:senderAADEnd])
	return message, nil
}

// openPrivate decrypts a message. The ratchet is as it was until the caller
// calls Consume on the returned key; Discard leaves it so. The signature has
// yet to be verified.
func openPrivate(cfg *Config, s *ciphersuite.Suite, m *privateMessage, tree *secrettree.Tree, senderDataSecret []byte, isMember func(LeafIndex) error) (*authenticatedContent, *secrettree.Key, error) {
	senderKey, senderNonce := secrettree.SenderDataKey(s, senderDataSecret, m.ciphertext)
	defer clear(senderKey)
	aead, err := s.NewAEAD(senderKey)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := aead.Open(nil, senderNonce, m.encryptedSenderData, m.senderDataAAD)
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
		return nil, nil, fmt.Errorf("mls: decrypting a message of leaf %d: %w", data.leaf, keyError(err))
	}
	a, err := openContent(cfg, s, m, &data, key)
	if err != nil {
		key.Discard()
		return nil, nil, err
	}
	return a, key, nil
}

// keyError names the reason why there is no key for a message, for callers who cannot name secrettree's.
func keyError(err error) error {
	switch {
	case errors.Is(err, secrettree.ErrConsumed):
		return fmt.Errorf("%w: %w", ErrKeyConsumed, err)
	case errors.Is(err, secrettree.ErrTooFarAhead):
		return fmt.Errorf("%w: %w", ErrTooFarAhead, err)
	}
	return err
}

// openContent decrypts and decodes PrivateMessageContent. RFC 9420, Section 6.3.1.
func openContent(cfg *Config, s *ciphersuite.Suite, m *privateMessage, data *senderData, key *secrettree.Key) (*authenticatedContent, error) {
	aead, err := s.NewAEAD(key.Key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, data.guardedNonce(key.Nonce), m.ciphertext, m.contentAAD)
	if err != nil {
		return nil, fmt.Errorf("%w: content", ErrDecrypt)
	}
	a := &authenticatedContent{
		wireFormat: m.format,
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
	a.auth.decode(r, m.format, m.contentType)
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
