package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
)

type publicKey interface{ Equal(crypto.PublicKey) bool }

func TestKeysSurviveMarshalling(t *testing.T) {
	ed, err := Generate(rand.Reader, "x")
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, signer := range []crypto.Signer{ed.Signer, ec} {
		text, err := MarshalPrivateKey(signer)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if !back.Public().(publicKey).Equal(signer.Public()) {
			t.Errorf("%T: another private key came back", signer)
		}
		text, err = MarshalPublicKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		public, err := ParsePublicKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if !public.(publicKey).Equal(signer.Public()) {
			t.Errorf("%T: another public key came back", signer)
		}
		if _, err := ParsePrivateKey(text); !errors.Is(err, ErrKey) {
			t.Errorf("%T: a public key is taken for a private one: %v", signer, err)
		}
	}
}

func TestParseRefusesWhatIsNoKey(t *testing.T) {
	block := func(kind, content string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(content)}))
	}
	for _, text := range []string{"", "key", block("CERTIFICATE", "x"), block(privateKeyBlock, "x"), block(publicKeyBlock, "x"), block(privateKeyBlock, "")} {
		if _, err := ParsePrivateKey([]byte(text)); !errors.Is(err, ErrKey) {
			t.Errorf("private key from %q: %v", text, err)
		}
		if _, err := ParsePublicKey([]byte(text)); !errors.Is(err, ErrKey) {
			t.Errorf("public key from %q: %v", text, err)
		}
	}
}

func TestGenerateDependsOnItsRandomnessAlone(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	id, err := Generate(bytes.NewReader(seed), "replica-7")
	if err != nil {
		t.Fatal(err)
	}
	if want := ed25519.NewKeyFromSeed(seed); !want.Equal(id.Signer) {
		t.Error("the key is not the one that the randomness gives")
	}
	if string(id.Credential.Identity) != "replica-7" {
		t.Errorf("credential bears %q", id.Credential.Identity)
	}
	if _, err := Generate(strings.NewReader("too short"), "x"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too little randomness: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	// printf abc | sha256sum
	if got, want := Fingerprint([]byte("abc")), "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzParseKeys(f *testing.F) {
	id, err := Generate(bytes.NewReader(make([]byte, 32)), "x")
	if err != nil {
		f.Fatal(err)
	}
	private, _ := MarshalPrivateKey(id.Signer)
	public, _ := MarshalPublicKey(id.Signer.Public())
	f.Add(private)
	f.Add(public)
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := ParsePublicKey(text); err == nil {
			if _, err := NewPinned(key); err != nil {
				t.Fatalf("a key that was parsed cannot be pinned: %v", err)
			}
		}
		ParsePrivateKey(text)
	})
}
