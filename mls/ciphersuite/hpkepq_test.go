package ciphersuite

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"testing"

	"github.com/cloudflare/circl/kem/mlkem/mlkem512"
	"github.com/mendlink/mendlink/internal/testvectors"
)

// How far a case of the HPKE-PQ vectors is checked. The KEM half (key
// derivation, encapsulation, decapsulation) and the AEAD half (encryptions
// under the vector's key and nonce) are checked for every case; what lies
// between is a KDF.
type pqSchedule string

const (
	// The key schedule and the exports are checked through this package.
	scheduleOurs pqSchedule = "ours"
	// MLS uses no one-stage KDF. With SHAKE, crypto/hpke sets the context up
	// from our KEM's keys, and opens and exports all there is.
	scheduleStd pqSchedule = "crypto/hpke"
	// No library at hand has TurboSHAKE: the key schedule is not checked.
	scheduleNone pqSchedule = "none"
)

// pqCases is what is checked of each case. No suite uses ML-KEM-512.
var pqCases = []struct {
	name     string
	kem      kem
	schedule pqSchedule
}{
	{"ML-KEM-512 HKDF-SHA256", &pureKEM{0x0040, mlkem{mlkem512.Scheme()}}, scheduleOurs},
	{"ML-KEM-768 HKDF-SHA256", mlkem768, scheduleOurs},
	{"ML-KEM-1024 HKDF-SHA384", mlkem1024, scheduleOurs},
	{"MLKEM768-P256 HKDF-SHA256", mlkem768P256, scheduleOurs},
	{"MLKEM768-X25519 HKDF-SHA256", mlkem768X25519, scheduleOurs},
	{"MLKEM1024-P384 HKDF-SHA384", mlkem1024P384, scheduleOurs},
	{"DHKEM(P-256) SHAKE128", dhkemP256, scheduleStd},
	{"DHKEM(P-384) SHAKE256", dhkemP384, scheduleStd},
	{"DHKEM(X25519) TurboSHAKE128", dhkemX25519, scheduleNone},
	{"DHKEM(X448) TurboSHAKE256", dhkemX448, scheduleNone},
	{"MLKEM768-P256 SHAKE128", mlkem768P256, scheduleStd},
	{"MLKEM768-X25519 SHAKE256", mlkem768X25519, scheduleStd},
	{"ML-KEM-1024 TurboSHAKE256", mlkem1024, scheduleNone},
}

func TestHPKEPQVectors(t *testing.T) {
	var cases []struct {
		KEM            uint16   `json:"kem_id"`
		KDF            uint16   `json:"kdf_id"`
		AEAD           uint16   `json:"aead_id"`
		Info           hexBytes `json:"info"`
		IkmE           hexBytes `json:"ikmE"`
		IkmR           hexBytes `json:"ikmR"`
		SkR            hexBytes `json:"skRm"`
		PkR            hexBytes `json:"pkRm"`
		Enc            hexBytes `json:"enc"`
		SharedSecret   hexBytes `json:"shared_secret"`
		Key            hexBytes `json:"key"`
		BaseNonce      hexBytes `json:"base_nonce"`
		ExporterSecret hexBytes `json:"exporter_secret"`
		Encryptions    []struct{ AAD, Ct, Nonce, Pt hexBytes }
		Exports        []struct {
			Context hexBytes `json:"exporter_context"`
			Length  int      `json:"L"`
			Value   hexBytes `json:"exported_value"`
		}
	}
	testvectors.Load(t, "hpke-pq", &cases)
	if len(cases) != 13 || len(pqCases) != len(cases) {
		t.Fatalf("%d cases and %d rows of what to check, want 13", len(cases), len(pqCases))
	}
	checked := map[pqSchedule]int{}
	for i, c := range cases {
		want := pqCases[i]
		t.Run(want.name, func(t *testing.T) {
			equal := func(what string, got, want []byte) {
				t.Helper()
				if !bytes.Equal(got, want) {
					t.Errorf("%s: got %x, want %x", what, got, want)
				}
			}
			if want.kem.id() != c.KEM {
				t.Fatalf("KEM 0x%04x, want 0x%04x", want.kem.id(), c.KEM)
			}
			suite := &Suite{kem: want.kem, aead: aeadByID(t, c.AEAD)} // the KDF follows if it is ours

			// The KEM.
			private, err := suite.ParseHPKEPrivateKey(c.SkR)
			if err != nil {
				t.Fatal(err)
			}
			equal("public key", private.PublicKey(), c.PkR)
			public, err := want.kem.newPublicKey(c.PkR)
			if err != nil {
				t.Fatal(err)
			}
			derived, err := suite.DeriveHPKEKeyPair(c.IkmR)
			if err != nil {
				t.Fatal(err)
			}
			equal("derived public key", derived.PublicKey(), c.PkR)
			equal("derived private key", derived.Bytes(), private.Bytes())
			secret, enc, err := public.encap(bytes.NewReader(c.IkmE))
			if err != nil {
				t.Fatal(err)
			}
			equal("encapsulated key", enc, c.Enc)
			equal("encapsulated secret", secret, c.SharedSecret)
			secret, err = private.key.decap(c.Enc)
			if err != nil {
				t.Fatal(err)
			}
			equal("decapsulated secret", secret, c.SharedSecret)

			// The key schedule.
			switch want.schedule {
			case scheduleOurs:
				suite = newSuite(0, "", want.kem, kdfByID(t, c.KDF), suite.aead, nil)
				ctx := suite.keySchedule(secret, suite.scheduleContext(c.Info))
				equal("key", ctx.key(), c.Key)
				equal("base nonce", ctx.baseNonce(), c.BaseNonce)
				equal("exporter secret", ctx.exporterSecret(), c.ExporterSecret)
				plaintext, err := suite.Open(private, c.Enc, c.Info, c.Encryptions[0].AAD, c.Encryptions[0].Ct)
				if err != nil {
					t.Fatal(err)
				}
				equal("first plaintext", plaintext, c.Encryptions[0].Pt)
				for _, e := range c.Exports {
					value, err := suite.ExportReceiver(private, c.Enc, c.Info, e.Context, e.Length)
					if err != nil {
						t.Fatal(err)
					}
					equal("export", value, e.Value)
				}
			case scheduleStd:
				r := stdRecipient(t, c.KEM, c.KDF, c.AEAD, private.Bytes(), c.Enc, c.Info)
				for _, e := range c.Encryptions {
					plaintext, err := r.Open(e.AAD, e.Ct)
					if err != nil {
						t.Fatal(err)
					}
					equal("plaintext (crypto/hpke)", plaintext, e.Pt)
				}
				for _, e := range c.Exports {
					value, err := r.Export(string(e.Context), e.Length)
					if err != nil {
						t.Fatal(err)
					}
					equal("export (crypto/hpke)", value, e.Value)
				}
			}

			// The AEAD.
			aead, err := suite.NewAEAD(c.Key)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range c.Encryptions {
				equal("ciphertext", aead.Seal(nil, e.Nonce, e.Pt, e.AAD), e.Ct)
				plaintext, err := aead.Open(nil, e.Nonce, e.Ct, e.AAD)
				if err != nil {
					t.Fatal(err)
				}
				equal("plaintext", plaintext, e.Pt)
			}
			if len(c.Encryptions) != 10 || len(c.Exports) != 5 {
				t.Errorf("%d encryptions and %d exports, want 10 and 5", len(c.Encryptions), len(c.Exports))
			}
			checked[want.schedule]++
		})
	}
	if got, want := fmt.Sprint(checked), "map[crypto/hpke:4 none:3 ours:6]"; got != want {
		t.Errorf("cases checked by key schedule: %s, want %s", got, want)
	}
}

func aeadByID(t *testing.T, id uint16) *aead {
	for _, a := range []*aead{aes128GCM, aes256GCM, chaCha20Poly1305} {
		if a.id == id {
			return a
		}
	}
	t.Fatalf("AEAD 0x%04x", id)
	return nil
}

func kdfByID(t *testing.T, id uint16) *kdf {
	for _, k := range []*kdf{hkdfSHA256, hkdfSHA384, hkdfSHA512} {
		if k.id == id {
			return k
		}
	}
	t.Fatalf("KDF 0x%04x", id)
	return nil
}

func stdRecipient(t *testing.T, kemID, kdfID, aeadID uint16, private, enc, info []byte) *hpke.Recipient {
	t.Helper()
	k, err := hpke.NewKEM(kemID)
	if err != nil {
		t.Fatal(err)
	}
	kdf, err := hpke.NewKDF(kdfID)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := hpke.NewAEAD(aeadID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := hpke.NewRecipient(enc, key, kdf, aead, info)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
