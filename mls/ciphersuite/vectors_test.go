package ciphersuite

import (
	"bytes"
	"maps"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
)

type hexBytes = testvectors.Hex

func TestCryptoBasicsVectors(t *testing.T) {
	type labeled struct {
		Secret     hexBytes `json:"secret"`
		Label      string   `json:"label"`
		Context    hexBytes `json:"context"`
		Generation uint32   `json:"generation"`
		Length     int      `json:"length"`
		Out        hexBytes `json:"out"`
	}
	var cases []struct {
		Suite   ID `json:"cipher_suite"`
		RefHash struct {
			Label string   `json:"label"`
			Value hexBytes `json:"value"`
			Out   hexBytes `json:"out"`
		} `json:"ref_hash"`
		Expand        labeled `json:"expand_with_label"`
		DeriveSecret  labeled `json:"derive_secret"`
		DeriveTree    labeled `json:"derive_tree_secret"`
		SignWithLabel struct {
			Priv, Pub, Content hexBytes
			Label              string
			Signature          hexBytes
		} `json:"sign_with_label"`
		Encrypt struct {
			Priv, Pub, Context, Plaintext, Ciphertext hexBytes
			Label                                     string
			KEMOutput                                 hexBytes `json:"kem_output"`
		} `json:"encrypt_with_label"`
	}
	testvectors.Load(t, "crypto-basics", &cases)

	checked := map[ID]int{}
	for _, c := range cases {
		s, err := Default().Lookup(c.Suite)
		if err != nil {
			t.Fatal(err)
		}
		checked[c.Suite]++
		t.Run(s.String(), func(t *testing.T) {
			equal := func(what string, got, want []byte) {
				t.Helper()
				if !bytes.Equal(got, want) {
					t.Errorf("%s: got %x, want %x", what, got, want)
				}
			}
			equal("RefHash", s.RefHash(c.RefHash.Label, c.RefHash.Value), c.RefHash.Out)
			e := c.Expand
			equal("ExpandWithLabel", s.ExpandWithLabel(e.Secret, e.Label, e.Context, e.Length), e.Out)
			equal("DeriveSecret", s.DeriveSecret(c.DeriveSecret.Secret, c.DeriveSecret.Label), c.DeriveSecret.Out)
			d := c.DeriveTree
			equal("DeriveTreeSecret", s.DeriveTreeSecret(d.Secret, d.Label, d.Generation, d.Length), d.Out)

			sign := c.SignWithLabel
			if err := s.VerifyWithLabel(sign.Pub, sign.Label, sign.Content, sign.Signature); err != nil {
				t.Error("official signature:", err)
			}
			signer, err := s.ParseSigner(sign.Priv)
			if err != nil {
				t.Fatal(err)
			}
			public, err := s.SignaturePublicKey(signer.Public())
			if err != nil {
				t.Fatal(err)
			}
			equal("signature public key", public, sign.Pub)
			signature, err := s.SignWithLabel(testRand(t), signer, sign.Label, sign.Content)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.VerifyWithLabel(sign.Pub, sign.Label, sign.Content, signature); err != nil {
				t.Error("own signature:", err)
			}

			enc := c.Encrypt
			private, err := s.ParseHPKEPrivateKey(enc.Priv)
			if err != nil {
				t.Fatal(err)
			}
			equal("HPKE public key", private.PublicKey(), enc.Pub)
			plaintext, err := s.DecryptWithLabel(private, enc.Label, enc.Context, enc.KEMOutput, enc.Ciphertext)
			if err != nil {
				t.Fatal("official ciphertext:", err)
			}
			equal("official ciphertext", plaintext, enc.Plaintext)
			kemOutput, ciphertext, err := s.EncryptWithLabel(testRand(t), enc.Pub, enc.Label, enc.Context, enc.Plaintext)
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err = s.DecryptWithLabel(private, enc.Label, enc.Context, kemOutput, ciphertext)
			if err != nil {
				t.Fatal("own ciphertext:", err)
			}
			equal("own ciphertext", plaintext, enc.Plaintext)
		})
	}
	want := map[ID]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1}
	if len(cases) != 7 || !maps.Equal(checked, want) {
		t.Errorf("checked cases by suite: %v, want %v", checked, want)
	}
}
