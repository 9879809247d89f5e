package keysched

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"maps"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// suites counts the cases of a vector file by suite.
type suites map[ciphersuite.ID]int

func (c suites) lookup(t *testing.T, id ciphersuite.ID) *ciphersuite.Suite {
	t.Helper()
	s, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	c[id]++
	return s
}

// want checks that each suite of RFC 9420 had that many cases.
func (c suites) want(t *testing.T, each int) {
	t.Helper()
	if want := (suites{1: each, 2: each, 3: each, 4: each, 5: each, 6: each, 7: each}); !maps.Equal(c, want) {
		t.Errorf("cases checked by suite: %v, want %v", c, want)
	}
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

func TestKeyScheduleVectors(t *testing.T) {
	type hex = testvectors.Hex
	var cases []struct {
		Suite   ciphersuite.ID `json:"cipher_suite"`
		GroupID hex            `json:"group_id"`
		Init    hex            `json:"initial_init_secret"`
		Epochs  []struct {
			TreeHash     hex `json:"tree_hash"`
			CommitSecret hex `json:"commit_secret"`
			PSKSecret    hex `json:"psk_secret"`
			Confirmed    hex `json:"confirmed_transcript_hash"`

			GroupContext       hex `json:"group_context"`
			JoinerSecret       hex `json:"joiner_secret"`
			WelcomeSecret      hex `json:"welcome_secret"`
			InitSecret         hex `json:"init_secret"`
			SenderDataSecret   hex `json:"sender_data_secret"`
			EncryptionSecret   hex `json:"encryption_secret"`
			ExporterSecret     hex `json:"exporter_secret"`
			EpochAuthenticator hex `json:"epoch_authenticator"`
			ExternalSecret     hex `json:"external_secret"`
			ConfirmationKey    hex `json:"confirmation_key"`
			MembershipKey      hex `json:"membership_key"`
			ResumptionPSK      hex `json:"resumption_psk"`
			ExternalPub        hex `json:"external_pub"`
			Exporter           struct {
				Label   string `json:"label"`
				Context hex    `json:"context"`
				Length  int    `json:"length"`
				Secret  hex    `json:"secret"`
			} `json:"exporter"`
		} `json:"epochs"`
	}
	testvectors.Load(t, "key-schedule", &cases)
	count := suites{}
	epochs := 0
	for _, c := range cases {
		s := count.lookup(t, c.Suite)
		initSecret := []byte(c.Init)
		for i, v := range c.Epochs {
			epochs++
			var context wire.Writer
			context.Uint16(1) // mls10
			context.Uint16(uint16(c.Suite))
			context.Opaque(c.GroupID)
			context.Uint64(uint64(i))
			context.Opaque(v.TreeHash)
			context.Opaque(v.Confirmed)
			context.Vector(func() {}) // extensions
			equal(t, "group_context", context.Data(), v.GroupContext)

			joiner := JoinerSecret(s, initSecret, v.CommitSecret, v.GroupContext)
			equal(t, "joiner_secret", joiner, v.JoinerSecret)
			key, nonce := WelcomeKey(s, joiner, v.PSKSecret)
			equal(t, "welcome_key", key, s.ExpandWithLabel(v.WelcomeSecret, "key", nil, s.KeySize()))
			equal(t, "welcome_nonce", nonce, s.ExpandWithLabel(v.WelcomeSecret, "nonce", nil, s.NonceSize()))

			e := NewEpoch(s, joiner, v.PSKSecret, v.GroupContext)
			equal(t, "sender_data_secret", e.SenderDataSecret, v.SenderDataSecret)
			equal(t, "encryption_secret", e.EncryptionSecret, v.EncryptionSecret)
			equal(t, "exporter_secret", e.ExporterSecret, v.ExporterSecret)
			equal(t, "external_secret", e.ExternalSecret, v.ExternalSecret)
			equal(t, "confirmation_key", e.ConfirmationKey, v.ConfirmationKey)
			equal(t, "membership_key", e.MembershipKey, v.MembershipKey)
			equal(t, "resumption_psk", e.ResumptionPSK, v.ResumptionPSK)
			equal(t, "epoch_authenticator", e.EpochAuthenticator, v.EpochAuthenticator)
			equal(t, "init_secret", e.InitSecret, v.InitSecret)
			initSecret = e.InitSecret

			external, err := ExternalKeyPair(s, e.ExternalSecret)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "external_pub", external.PublicKey(), v.ExternalPub)
			exported, err := e.Export(s, v.Exporter.Label, v.Exporter.Context, v.Exporter.Length)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "exporter.secret", exported, v.Exporter.Secret)
		}
	}
	count.want(t, 1)
	if epochs != 35 {
		t.Errorf("%d epochs, want 35", epochs)
	}
}

func TestPSKSecretVectors(t *testing.T) {
	type hex = testvectors.Hex
	var cases []struct {
		Suite ciphersuite.ID `json:"cipher_suite"`
		PSKs  []struct {
			ID     hex `json:"psk_id"`
			Secret hex `json:"psk"`
			Nonce  hex `json:"psk_nonce"`
		} `json:"psks"`
		PSKSecret hex `json:"psk_secret"`
	}
	testvectors.Load(t, "psk_secret", &cases)
	count := suites{}
	for _, c := range cases {
		s := count.lookup(t, c.Suite)
		var psks []PSK
		for _, v := range c.PSKs {
			var id wire.Writer
			id.Uint8(1) // external
			id.Opaque(v.ID)
			id.Opaque(v.Nonce)
			psks = append(psks, PSK{ID: id.Data(), Secret: v.Secret})
		}
		got, err := PSKSecret(s, psks)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "psk_secret", got, c.PSKSecret)
	}
	count.want(t, 11)
}

func TestTranscriptHashVectors(t *testing.T) {
	type hex = testvectors.Hex
	var cases []struct {
		Suite           ciphersuite.ID `json:"cipher_suite"`
		ConfirmationKey hex            `json:"confirmation_key"`
		Content         hex            `json:"authenticated_content"`
		InterimBefore   hex            `json:"interim_transcript_hash_before"`
		ConfirmedAfter  hex            `json:"confirmed_transcript_hash_after"`
		InterimAfter    hex            `json:"interim_transcript_hash_after"`
	}
	testvectors.Load(t, "transcript-hashes", &cases)
	count := suites{}
	for _, c := range cases {
		s := count.lookup(t, c.Suite)
		// The confirmation tag, a MAC behind its length, ends the content.
		split := len(c.Content) - s.HashSize() - 1
		if s.HashSize() >= 64 {
			split--
		}
		r := wire.NewReader(c.Content[split:])
		tag := r.Opaque()
		if err := r.Finish(); err != nil {
			t.Fatal(err)
		}
		confirmed := ConfirmedTranscriptHash(s, c.InterimBefore, c.Content[:split])
		equal(t, "confirmed_transcript_hash", confirmed, c.ConfirmedAfter)
		equal(t, "confirmation_tag", ConfirmationTag(s, c.ConfirmationKey, confirmed), tag)
		equal(t, "interim_transcript_hash", InterimTranscriptHash(s, confirmed, tag), c.InterimAfter)
	}
	count.want(t, 1)
}

// each runs test for every built-in suite.
func each(t *testing.T, test func(t *testing.T, s *ciphersuite.Suite)) {
	for _, id := range ciphersuite.Default().IDs() {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(s.String(), func(t *testing.T) { test(t, s) })
	}
}

func newEpoch(s *ciphersuite.Suite) *Epoch {
	return FirstEpoch(s, bytes.Repeat([]byte{7}, s.HashSize()))
}

func TestAbsentSecretsAreAllZero(t *testing.T) {
	each(t, func(t *testing.T, s *ciphersuite.Suite) {
		zero := make([]byte, s.HashSize())
		secret, context := bytes.Repeat([]byte{1}, s.HashSize()), []byte("context")
		equal(t, "joiner_secret", JoinerSecret(s, secret, nil, context), JoinerSecret(s, secret, zero, context))
		equal(t, "init_secret", NewEpoch(s, secret, nil, context).InitSecret, NewEpoch(s, secret, zero, context).InitSecret)
		key, nonce := WelcomeKey(s, secret, nil)
		key0, nonce0 := WelcomeKey(s, secret, zero)
		equal(t, "welcome_key", key, key0)
		equal(t, "welcome_nonce", nonce, nonce0)
		psk, err := PSKSecret(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "psk_secret", psk, zero)
	})
}

func TestSecretsOfAnEpochDiffer(t *testing.T) {
	each(t, func(t *testing.T, s *ciphersuite.Suite) {
		e := newEpoch(s)
		seen := map[string]bool{}
		for i, secret := range e.secrets() {
			if len(*secret) != s.HashSize() || seen[string(*secret)] {
				t.Errorf("secret %d: %d octets, repeated: %v", i, len(*secret), seen[string(*secret)])
			}
			seen[string(*secret)] = true
		}
		equal(t, "application_export_secret", e.ApplicationExportSecret,
			s.DeriveSecret(bytes.Repeat([]byte{7}, s.HashSize()), "application_export"))
	})
}

func TestExternalInitAgrees(t *testing.T) {
	each(t, func(t *testing.T, s *ciphersuite.Suite) {
		private, err := ExternalKeyPair(s, newEpoch(s).ExternalSecret)
		if err != nil {
			t.Fatal(err)
		}
		kemOutput, sent, err := SendExternalInit(s, rand.Reader, private.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		received, err := ReceiveExternalInit(s, private, kemOutput)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "init secret", received, sent)
		if len(sent) != s.HashSize() {
			t.Errorf("init secret of %d octets, want %d", len(sent), s.HashSize())
		}
		if _, err := ReceiveExternalInit(s, private, kemOutput[1:]); !errors.Is(err, ciphersuite.ErrKEMOutput) {
			t.Errorf("truncated kem_output: %v", err)
		}
		if _, _, err := SendExternalInit(s, rand.Reader, private.PublicKey()[1:]); !errors.Is(err, ciphersuite.ErrPublicKey) {
			t.Errorf("truncated external_pub: %v", err)
		}
	})
}

// No vector covers external initialization; the standard library's HPKE is the
// independent implementation.
func TestExternalInitIsAnHPKEExport(t *testing.T) {
	for id, algorithms := range map[ciphersuite.ID]struct {
		kem  hpke.KEM
		kdf  hpke.KDF
		aead hpke.AEAD
	}{
		1:      {hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.AES128GCM()},
		2:      {hpke.DHKEM(ecdh.P256()), hpke.HKDFSHA256(), hpke.AES128GCM()},
		3:      {hpke.DHKEM(ecdh.X25519()), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305()},
		5:      {hpke.DHKEM(ecdh.P521()), hpke.HKDFSHA512(), hpke.AES256GCM()},
		7:      {hpke.DHKEM(ecdh.P384()), hpke.HKDFSHA384(), hpke.AES256GCM()},
		0xF001: {hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.AES128GCM()},
	} {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		secret := newEpoch(s).ExternalSecret
		private, err := ExternalKeyPair(s, secret)
		if err != nil {
			t.Fatal(err)
		}
		kemOutput, sent, err := SendExternalInit(s, rand.Reader, private.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		independent, err := algorithms.kem.DeriveKeyPair(secret)
		if err != nil {
			t.Fatal(err)
		}
		recipient, err := hpke.NewRecipient(kemOutput, independent, algorithms.kdf, algorithms.aead, nil)
		if err != nil {
			t.Fatal(err)
		}
		received, err := recipient.Export("MLS 1.0 external init secret", s.HashSize())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, s.String(), sent, received)
	}
}

func TestExportRefusesLengthsOutOfRange(t *testing.T) {
	each(t, func(t *testing.T, s *ciphersuite.Suite) {
		e, limit := newEpoch(s), 255*s.HashSize()
		for _, length := range []int{0, 1, limit} {
			if b, err := e.Export(s, "label", nil, length); err != nil || len(b) != length {
				t.Errorf("%d octets: got %d, %v", length, len(b), err)
			}
		}
		for _, length := range []int{-1, limit + 1, 1 << 20} {
			if _, err := e.Export(s, "label", nil, length); !errors.Is(err, ErrLength) {
				t.Errorf("%d octets: %v", length, err)
			}
		}
	})
}

func TestExportDependsOnLabelContextAndEpoch(t *testing.T) {
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	e, other := newEpoch(s), FirstEpoch(s, make([]byte, s.HashSize()))
	seen := map[string]bool{}
	for _, c := range []struct {
		e              *Epoch
		label, context string
	}{{e, "a", ""}, {e, "b", ""}, {e, "a", "c"}, {e, "", "a"}, {other, "a", ""}} {
		b, err := c.e.Export(s, c.label, []byte(c.context), 32)
		if err != nil || seen[string(b)] {
			t.Errorf("%q, %q: repeated secret or %v", c.label, c.context, err)
		}
		seen[string(b)] = true
	}
}

func TestErasedSecretsAreOverwrittenAndGone(t *testing.T) {
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	e := newEpoch(s)
	exporter := e.ExporterSecret
	e.EraseExporter()
	if !isZero(exporter) {
		t.Error("the exporter secret is still in memory")
	}
	if _, err := e.Export(s, "label", nil, 32); !errors.Is(err, ErrErased) {
		t.Errorf("export after erasure: %v", err)
	}

	e = newEpoch(s)
	clone := e.Clone()
	var aliases [][]byte
	for _, secret := range e.secrets() {
		aliases = append(aliases, *secret)
	}
	e.Erase()
	for i, alias := range aliases {
		if !isZero(alias) || *e.secrets()[i] != nil {
			t.Errorf("secret %d is still in memory", i)
		}
	}
	for i, secret := range clone.secrets() {
		equal(t, "secret of the clone", *secret, *newEpoch(s).secrets()[i])
	}
}

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func TestPSKSecretDependsOnOrderAndBoundsTheCount(t *testing.T) {
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	a, b := PSK{ID: []byte("a"), Secret: []byte("1")}, PSK{ID: []byte("b"), Secret: []byte("2")}
	ab, err := PSKSecret(s, []PSK{a, b})
	if err != nil {
		t.Fatal(err)
	}
	ba, err := PSKSecret(s, []PSK{b, a})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(ab, ba) {
		t.Error("the order of PSKs does not matter")
	}
	if _, err := PSKSecret(s, make([]PSK, MaxPSKs+1)); !errors.Is(err, ErrTooManyPSKs) {
		t.Errorf("%d PSKs: %v", MaxPSKs+1, err)
	}
}

func TestInputsStayAsTheyWere(t *testing.T) {
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	secret, context := bytes.Repeat([]byte{1}, 32), []byte("context")
	JoinerSecret(s, secret, secret, context)
	NewEpoch(s, secret, secret, context)
	WelcomeKey(s, secret, secret)
	if _, err := PSKSecret(s, []PSK{{ID: secret, Secret: secret}}); err != nil {
		t.Fatal(err)
	}
	equal(t, "input", secret, bytes.Repeat([]byte{1}, 32))
}

func BenchmarkNewEpoch(b *testing.B) {
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		b.Fatal(err)
	}
	secret, context := make([]byte, 32), make([]byte, 150)
	b.ReportAllocs()
	for b.Loop() {
		joiner := JoinerSecret(s, secret, secret, context)
		NewEpoch(s, joiner, nil, context).Erase()
	}
}
