package ciphersuite

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"testing"
)

// A spyHash is SHA-256 that remembers its last, unfinished block like any hash,
// where a test can see it, and tells where its results went.
type spyHash struct {
	hash.Hash
	block *[sha256.BlockSize]byte
	n     int // octets written since the last reset
	sums  *[][]byte
}

func (s *spyHash) Write(b []byte) (int, error) {
	for _, octet := range b {
		s.block[s.n%len(s.block)] = octet
		s.n++
	}
	return s.Hash.Write(b)
}

func (s *spyHash) Reset() {
	s.n = 0
	s.Hash.Reset()
}

func (s *spyHash) Sum(b []byte) []byte {
	sum := s.Hash.Sum(b)
	*s.sums = append(*s.sums, sum[len(b):])
	return sum
}

// spyKDF returns HKDF on such hashes, their blocks and their results.
func spyKDF() (k *kdf, blocks *[]*[sha256.BlockSize]byte, sums *[][]byte) {
	blocks, sums = new([]*[sha256.BlockSize]byte), new([][]byte)
	return newKDF(0x0001, sha256.Size, func() hash.Hash {
		block := new([sha256.BlockSize]byte)
		*blocks = append(*blocks, block)
		return &spyHash{Hash: sha256.New(), block: block, sums: sums}
	}), blocks, sums
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// HMACs that are kept for reuse forget their key, what they hashed, and their inner
// result, from which with an empty key anybody can compute the outer one.
func TestPooledHMACsForgetTheirKeyAndInput(t *testing.T) {
	key, input := bytes.Repeat([]byte{0xA5}, 33), bytes.Repeat([]byte{0x5A}, 33)
	for _, key := range [][]byte{nil, key, bytes.Repeat(key, 3)} {
		k, blocks, _ := spyKDF()
		p := k.newPRF(key)
		if len(*blocks) != 1 {
			t.Fatalf("%d hashes, want 1", len(*blocks))
		}
		p.mac.begin()
		p.mac.hash.Write(input)
		if block := (*blocks)[0]; !bytes.Contains(block[:], input) {
			t.Fatalf("the hash holds %x, not its input", *block)
		}
		p.mac.finish(nil)
		inner := bytes.Clone(p.mac.sum[:sha256.Size])
		if block := (*blocks)[0]; !bytes.Contains(block[:], inner) {
			t.Fatalf("the hash holds %x, not its inner result", *block)
		}
		p.release()
		if block := (*blocks)[0]; !isZero(block[:sha256.BlockSize-1]) {
			t.Errorf("a key of %d octets: the hash holds %x", len(key), *block)
		}
		if !isZero(p.mac.inner[:]) || !isZero(p.mac.outer[:]) || !isZero(p.mac.sum[:]) {
			t.Errorf("a key of %d octets is still there", len(key))
		}
	}
}

// What HKDF gives on the way to a ciphertext and back is overwritten, but for
// what is no secret.
func TestSecretsOfHPKEAreOverwritten(t *testing.T) {
	for _, group := range []struct {
		group
		mask byte
	}{{curve25519{}, 0}, {curveP256, 0xff}} {
		k, _, sums := spyKDF()
		s := newSuite(0, "", newDHKEM(0, group, k, group.mask), k, aes128GCM, nil)
		info := []byte("info")
		public := map[string]bool{
			string(k.labeledExtract(nil, s.hpke.suiteID, nil, "psk_id_hash", nil)): true,
			string(k.labeledExtract(nil, s.hpke.suiteID, nil, "info_hash", info)):  true,
		}
		check := func(what string, baseNonce []byte) {
			t.Helper()
			if len(*sums) < 10 {
				t.Fatalf("%s: %d results, want more", what, len(*sums))
			}
			for i, sum := range *sums {
				if !isZero(sum) && !public[string(sum)] && (baseNonce == nil || !bytes.HasPrefix(sum, baseNonce)) {
					t.Errorf("%s: result %d of %d is still in memory: %x", what, i, len(*sums), sum)
				}
			}
			*sums = nil
		}

		*sums = nil
		private, err := s.DeriveHPKEKeyPair(make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		for i, sum := range *sums {
			if !isZero(sum) && !public[string(sum)] {
				t.Errorf("deriving a key: result %d is still in memory: %x", i, sum)
			}
		}
		*sums = nil
		enc, ciphertext, err := s.Seal(testRand(t), private.PublicKey(), info, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		sealed := *sums
		shared, err := private.key.decap(enc)
		if err != nil {
			t.Fatal(err)
		}
		ctx := s.keySchedule(shared, s.scheduleContext(info))
		baseNonce := ctx.baseNonce()
		ctx.release()
		*sums = sealed
		check("sealing", baseNonce)
		if _, err := s.Open(private, enc, info, nil, ciphertext); err != nil {
			t.Fatal(err)
		}
		check("opening", baseNonce)
		if _, _, err := s.ExportSender(testRand(t), private.PublicKey(), info, nil, 0); err != nil {
			t.Fatal(err)
		}
		check("exporting", nil)

		psk, pskID := []byte("pre-shared key"), []byte("ID")
		public[string(k.labeledExtract(nil, s.hpke.suiteID, nil, "psk_id_hash", pskID))] = true
		parsed, err := s.ParseHPKEPublicKey(private.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		*sums = nil
		if enc, ciphertext, err = parsed.SealPSK(testRand(t), info, nil, nil, psk, pskID); err != nil {
			t.Fatal(err)
		}
		sealed = *sums
		if shared, err = private.key.decap(enc); err != nil {
			t.Fatal(err)
		}
		ctx = s.keyScheduleWith(shared, s.scheduleContextPSK(info, pskID), psk)
		baseNonce = ctx.baseNonce()
		ctx.release()
		*sums = sealed
		check("sealing with a pre-shared key", baseNonce)
		if _, err := s.OpenPSK(private, enc, info, nil, ciphertext, psk, pskID); err != nil {
			t.Fatal(err)
		}
		check("opening with a pre-shared key", baseNonce)
	}
}

func TestSignedContentIsOverwritten(t *testing.T) {
	c := newSignContent("label", []byte("content"))
	octets := c.octets
	if isZero(octets) {
		t.Fatal("there is no content")
	}
	c.release()
	if !isZero(octets) {
		t.Errorf("%q is still in memory", octets)
	}
}

// Expanded keys cannot be overwritten; at least nobody holds on to them.
func TestErasedKeysHoldNoExpandedKey(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		inner := k.key
		k.Erase()
		switch inner := inner.(type) {
		case *hybridKey:
			if inner.expanded.value.Value() != nil {
				t.Error("the expanded key is still there")
			}
		case *pureKey:
			if inner.expanded.value.Value() != nil {
				t.Error("the expanded key is still there")
			}
		}
	})
}
