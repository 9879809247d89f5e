package secrettree

import (
	"bytes"
	"maps"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestVectors(t *testing.T) {
	type hex = testvectors.Hex
	var cases []struct {
		Suite      ciphersuite.ID `json:"cipher_suite"`
		SenderData struct {
			Secret     hex `json:"sender_data_secret"`
			Ciphertext hex `json:"ciphertext"`
			Key        hex `json:"key"`
			Nonce      hex `json:"nonce"`
		} `json:"sender_data"`
		EncryptionSecret hex `json:"encryption_secret"`
		Leaves           [][]struct {
			Generation       uint32 `json:"generation"`
			HandshakeKey     hex    `json:"handshake_key"`
			HandshakeNonce   hex    `json:"handshake_nonce"`
			ApplicationKey   hex    `json:"application_key"`
			ApplicationNonce hex    `json:"application_nonce"`
		} `json:"leaves"`
	}
	testvectors.Load(t, "secret-tree", &cases)
	checked, keys := map[ciphersuite.ID]int{}, 0
	for _, c := range cases {
		s, err := ciphersuite.Default().Lookup(c.Suite)
		if err != nil {
			t.Fatal(err)
		}
		checked[c.Suite]++
		key, nonce := SenderDataKey(s, c.SenderData.Secret, c.SenderData.Ciphertext)
		if !bytes.Equal(key, c.SenderData.Key) || !bytes.Equal(nonce, c.SenderData.Nonce) {
			t.Errorf("%v: sender data key %x, nonce %x", s, key, nonce)
		}

		receiver := New(s, c.EncryptionSecret, uint32(len(c.Leaves)), Limits{})
		sender := receiver.Clone()
		for leaf, generations := range c.Leaves {
			next := [2]uint32{}
			for _, v := range generations {
				for kind, want := range map[Kind][2]hex{
					Handshake:   {v.HandshakeKey, v.HandshakeNonce},
					Application: {v.ApplicationKey, v.ApplicationNonce},
				} {
					check := func(k *Key, err error) {
						t.Helper()
						if err != nil {
							t.Fatal(err)
						}
						keys++
						if k.Generation != v.Generation || !bytes.Equal(k.Key, want[0]) || !bytes.Equal(k.Nonce, want[1]) {
							t.Errorf("%v: leaf %d, kind %d: generation %d has key %x, nonce %x", s, leaf, kind, k.Generation, k.Key, k.Nonce)
						}
						k.Consume()
					}
					check(receiver.Peek(uint32(leaf), kind, v.Generation))
					for ; next[kind] < v.Generation; next[kind]++ {
						if _, err := sender.Next(uint32(leaf), kind); err != nil {
							t.Fatal(err)
						}
					}
					check(sender.Next(uint32(leaf), kind))
					next[kind]++
				}
			}
		}
	}
	if want := map[ciphersuite.ID]int{1: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 3, 7: 3}; !maps.Equal(checked, want) {
		t.Errorf("cases checked by suite: %v, want %v", checked, want)
	}
	// Two generations of two ratchets at each of 1, 8 and 32 leaves, sent and received.
	if want := 7 * (1 + 8 + 32) * 2 * 2 * 2; keys != want {
		t.Errorf("%d keys checked, want %d", keys, want)
	}
}
