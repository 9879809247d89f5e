package ciphersuite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"testing/iotest"

	circl "github.com/cloudflare/circl/hpke"
	"github.com/mendlink/mendlink/internal/testvectors"
)

// The vectors of RFC 9180 say what the sender's randomness is, so that what is
// sealed has to be theirs to the octet.
func TestHPKEVectorsInPSKMode(t *testing.T) {
	var cases []struct {
		Mode        uint8    `json:"mode"`
		KEM         uint16   `json:"kem_id"`
		KDF         uint16   `json:"kdf_id"`
		AEAD        uint16   `json:"aead_id"`
		Info        hexBytes `json:"info"`
		IkmE        hexBytes `json:"ikmE"`
		SkR         hexBytes `json:"skRm"`
		PkR         hexBytes `json:"pkRm"`
		PSK         hexBytes `json:"psk"`
		PSKID       hexBytes `json:"psk_id"`
		Enc         hexBytes `json:"enc"`
		Context     hexBytes `json:"key_schedule_context"`
		Encryptions []struct{ AAD, Ct, Nonce, Pt hexBytes }
	}
	testvectors.Load(t, "hpke-psk", &cases)
	checked := map[ID]bool{}
	for _, c := range cases {
		at := slices.IndexFunc(builtin[:], func(s *Suite) bool {
			return s.kem.id() == c.KEM && s.kdf.id == c.KDF && s.aead.id == c.AEAD
		})
		if at < 0 || c.Mode != modePSK || len(c.Encryptions) != 1 {
			t.Fatalf("mode %d of KEM %#04x, KDF %#04x, AEAD %#04x: no suite, or no case of PSK mode", c.Mode, c.KEM, c.KDF, c.AEAD)
		}
		s, e := builtin[at], c.Encryptions[0]
		checked[s.ID()] = true
		if got := s.scheduleContextPSK(c.Info, c.PSKID); !bytes.Equal(got, c.Context) {
			t.Errorf("%v: key_schedule_context is %x, want %x", s, got, c.Context)
		}
		public, err := s.ParseHPKEPublicKey(c.PkR)
		if err != nil {
			t.Fatal(err)
		}
		enc, ciphertext, err := public.SealPSK(bytes.NewReader(c.IkmE), c.Info, e.AAD, e.Pt, c.PSK, c.PSKID)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(enc, c.Enc) || !bytes.Equal(ciphertext, e.Ct) {
			t.Errorf("%v: sealed %x, %x, want %x, %x", s, enc, ciphertext, c.Enc, e.Ct)
		}
		private, err := s.ParseHPKEPrivateKey(c.SkR)
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := s.OpenPSK(private, c.Enc, c.Info, e.AAD, e.Ct, c.PSK, c.PSKID)
		if err != nil || !bytes.Equal(plaintext, e.Pt) {
			t.Errorf("%v: opened %x, %v, want %x", s, plaintext, err, e.Pt)
		}
	}
	if len(cases) != 6 || len(checked) != 6 {
		t.Errorf("%d cases of %d suites, want 6 of 6", len(cases), len(checked))
	}
}

// circl has PSK mode for the curves and X-Wing: what either side makes, the other
// must take.
func TestPSKModeInteroperatesWithCircl(t *testing.T) {
	info, aad, message := []byte("info"), []byte("aad"), []byte("message")
	psk, pskID := bytes.Repeat([]byte{9}, 32), []byte("which key")
	tried := 0
	forEachSuite(t, func(t *testing.T, s *Suite) {
		kem := circl.KEM(s.kem.id())
		if !kem.IsValid() {
			return // ML-KEM by itself and the NIST hybrids
		}
		tried++
		suite, scheme := circl.NewSuite(kem, circl.KDF(s.kdf.id), circl.AEAD(s.aead.id)), kem.Scheme()
		ours := mustHPKEKey(t, s)
		private, err := scheme.UnmarshalBinaryPrivateKey(ours.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		public, err := scheme.UnmarshalBinaryPublicKey(ours.PublicKey())
		if err != nil {
			t.Fatal(err)
		}

		sender, err := suite.NewSender(public, info)
		if err != nil {
			t.Fatal(err)
		}
		enc, sealer, err := sender.SetupPSK(rand.Reader, psk, pskID)
		if err != nil {
			t.Fatal(err)
		}
		ciphertext, err := sealer.Seal(message, aad)
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := s.OpenPSK(ours, enc, info, aad, ciphertext, psk, pskID); err != nil || !bytes.Equal(plaintext, message) {
			t.Errorf("opening what circl sealed: %q, %v", plaintext, err)
		}

		parsed, err := s.ParseHPKEPublicKey(ours.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		if enc, ciphertext, err = parsed.SealPSK(testRand(t), info, aad, message, psk, pskID); err != nil {
			t.Fatal(err)
		}
		receiver, err := suite.NewReceiver(private, info)
		if err != nil {
			t.Fatal(err)
		}
		opener, err := receiver.SetupPSK(enc, psk, pskID)
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := opener.Open(ciphertext, aad); err != nil || !bytes.Equal(plaintext, message) {
			t.Errorf("circl opening what we sealed: %q, %v", plaintext, err)
		}
	})
	if tried != 10 {
		t.Errorf("%d suites, want the seven of RFC 9420 and the three with X-Wing", tried)
	}
}

func TestPSKModeIsBoundToItsInputs(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		public, err := s.ParseHPKEPublicKey(k.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		psk, pskID, info, aad := []byte("a key"), []byte("its ID"), []byte("info"), []byte("aad")
		enc, ciphertext, err := public.SealPSK(testRand(t), info, aad, []byte("m"), psk, pskID)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.OpenPSK(k, enc, info, aad, ciphertext, psk, pskID); err != nil || string(got) != "m" {
			t.Fatalf("opened %q, %v", got, err)
		}
		other := []byte("other")
		if _, err := s.OpenPSK(k, enc, info, aad, ciphertext, other, pskID); !errors.Is(err, ErrDecrypt) {
			t.Errorf("other key: got %v, want ErrDecrypt", err)
		}
		if _, err := s.OpenPSK(k, enc, info, aad, ciphertext, psk, other); !errors.Is(err, ErrDecrypt) {
			t.Errorf("other ID: got %v, want ErrDecrypt", err)
		}
		if _, err := s.OpenPSK(k, enc, other, aad, ciphertext, psk, pskID); !errors.Is(err, ErrDecrypt) {
			t.Errorf("other info: got %v, want ErrDecrypt", err)
		}
		if _, err := s.OpenPSK(k, enc, info, other, ciphertext, psk, pskID); !errors.Is(err, ErrDecrypt) {
			t.Errorf("other AAD: got %v, want ErrDecrypt", err)
		}
		if _, err := s.Open(k, enc, info, aad, ciphertext); !errors.Is(err, ErrDecrypt) {
			t.Errorf("base mode: got %v, want ErrDecrypt", err)
		}
		if _, err := s.OpenPSK(k, enc[1:], info, aad, ciphertext, psk, pskID); !errors.Is(err, ErrKEMOutput) {
			t.Errorf("truncated KEM output: got %v, want ErrKEMOutput", err)
		}
		if _, err := s.OpenPSK(nil, enc, info, aad, ciphertext, psk, pskID); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("no private key: got %v, want ErrPrivateKey", err)
		}
		for name, missing := range map[string][2][]byte{"key": {nil, pskID}, "ID": {psk, nil}, "both": {nil, nil}} {
			if _, _, err := public.SealPSK(testRand(t), info, aad, nil, missing[0], missing[1]); !errors.Is(err, ErrPSK) {
				t.Errorf("%s missing: sealing says %v, want ErrPSK", name, err)
			}
			if _, err := s.OpenPSK(k, enc, info, aad, ciphertext, missing[0], missing[1]); !errors.Is(err, ErrPSK) {
				t.Errorf("%s missing: opening says %v, want ErrPSK", name, err)
			}
		}
		broken := errors.New("broken")
		if _, _, err := public.SealPSK(iotest.ErrReader(broken), info, aad, nil, psk, pskID); !errors.Is(err, broken) {
			t.Errorf("without randomness: got %v", err)
		}
	})
}
