package record

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An EpochSecret is the traffic secret of one direction in one epoch, for a transport
// that has many streams: each of them, and the datagrams, get keys of their own. It is not
// safe for concurrent use.
type EpochSecret struct {
	suite   *ciphersuite.Suite
	epoch   uint64
	content int
	secret  []byte // nil once it is erased
}

// A StreamKey is what the records of one stream are protected with, in one direction and
// one epoch, in a form that waits for its use: Nk octets of key and 12 of IV.
type StreamKey []byte

// Erase forgets the key.
func (k StreamKey) Erase() { clear(k) }

// NewEpochSecret takes the traffic secret of an epoch, which must have suite.HashSize
// octets, and how many octets of content the receiver accepts in a record. It copies
// secret: the caller should erase its own.
func NewEpochSecret(suite *ciphersuite.Suite, epoch uint64, secret []byte, content int) (*EpochSecret, error) {
	if len(secret) != suite.HashSize() {
		return nil, fmt.Errorf("record: traffic secret has %d octets, want %d", len(secret), suite.HashSize())
	}
	if content < 1 || content > MaxPlaintext {
		return nil, fmt.Errorf("record: a limit of %d octets", content)
	}
	if err := checkSizes(suite); err != nil {
		return nil, err
	}
	return &EpochSecret{suite: suite, epoch: epoch, content: content, secret: bytes.Clone(secret)}, nil
}

// Epoch returns the number of the epoch.
func (s *EpochSecret) Epoch() uint64 { return s.epoch }

// StreamKey derives the key of a stream:
//
//	key || iv = HKDF-Expand-Label(secret, "quic stream", uint64 id, AEAD.Nk + 12)
//
// It panics if the secret is erased.
func (s *EpochSecret) StreamKey(id uint64) StreamKey {
	var context [8]byte
	binary.BigEndian.PutUint64(context[:], id)
	return s.derive("quic stream", context[:])
}

// Stream returns the protection of a stream's records, under a key that
// [EpochSecret.StreamKey] gave for this epoch or an earlier one, and erases that key.
func (s *EpochSecret) Stream(epoch uint64, key StreamKey) (*StreamProtection, error) {
	defer key.Erase()
	p := &StreamProtection{
		epoch: epoch,
		inner: Protection{suite: s.suite, limit: MaxRecords, content: s.content},
	}
	if err := s.protect(&p.inner, &p.key, key); err != nil {
		return nil, err
	}
	return p, nil
}

// Datagrams returns the protection of the epoch's datagrams:
//
//	key || iv = HKDF-Expand-Label(secret, "quic datagram", "", AEAD.Nk + 12)
//
// It panics if the secret is erased.
func (s *EpochSecret) Datagrams() (*DatagramProtection, error) {
	key := s.derive("quic datagram", nil)
	defer clear(key)
	p := &DatagramProtection{epoch: s.epoch, inner: Protection{suite: s.suite, limit: MaxRecords}}
	if err := s.protect(&p.inner, &p.key, key); err != nil {
		return nil, err
	}
	return p, nil
}

// protect gives p its key, which expanded holds from then on, and its IV.
func (s *EpochSecret) protect(p *Protection, expanded *expandedKey, keyAndIV []byte) error {
	size := s.suite.KeySize()
	if err := expanded.expand(s.suite, keyAndIV[:size]); err != nil {
		return err
	}
	p.key = expanded
	copy(p.iv[:], keyAndIV[size:])
	return nil
}

// derive returns key || iv.
func (s *EpochSecret) derive(label string, context []byte) []byte {
	if s.secret == nil {
		panic("record: key of an epoch that is erased")
	}
	return s.suite.ExpandLabel(s.secret, label, context, s.suite.KeySize()+nonceSize)
}

// Erase forgets the secret. What was derived from it stays.
func (s *EpochSecret) Erase() {
	clear(s.secret)
	s.secret = nil
}
