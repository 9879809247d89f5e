package record

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

func newEpochSecret(t *testing.T) *EpochSecret {
	t.Helper()
	suite := newSuite(t, 1)
	s, err := NewEpochSecret(suite, 7, testSecret(suite), MaxPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The keys are those that the standard library's HKDF gives, the first one and those behind it.
func TestStreamKeys(t *testing.T) {
	s := newEpochSecret(t)
	for _, id := range []uint64{0, 5, 1 << 61} {
		info := append([]byte{0, 28, 6 + 11}, "tls13 quic stream\x08"...)
		want, err := hkdf.Expand(sha256.New, testSecret(newSuite(t, 1)), string(binary.BigEndian.AppendUint64(info, id)), 28)
		if got := s.StreamKey(id); err != nil || !bytes.Equal(got, want) {
			t.Errorf("stream %d: %x, want %x, %v", id, got, want, err)
		}
	}
}

func TestAnEpochsSecretIsErased(t *testing.T) {
	s := newEpochSecret(t)
	s.StreamKey(0)
	secret := s.secret
	if bytes.Equal(secret, make([]byte, len(secret))) {
		t.Fatal("nothing to erase")
	}
	s.Erase()
	if !bytes.Equal(secret, make([]byte, len(secret))) {
		t.Error("the secret is still there")
	}
	defer func() {
		if recover() == nil {
			t.Error("an erased epoch has keys")
		}
	}()
	s.StreamKey(0)
}

// An idle epoch is small, and what ends a stream takes one allocation.
func TestEpochSecretsAllocateLittle(t *testing.T) {
	s := newEpochSecret(t)
	p, err := s.Stream(s.Epoch(), s.StreamKey(0))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := p.Seal(nil, ContentEpochEnd, nil); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations for the end of an epoch", n)
	}
	if n := testing.AllocsPerRun(100, func() { s.StreamKey(4) }); n > 2 {
		t.Errorf("%v allocations for a key", n)
	}
}
