package webtoken

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

var update = flag.Bool("update", false, "write testdata/vectors.json")

// A vector is a token from its issuer to its peer. Octets are in hexadecimal.
type vector struct {
	Name       string `json:"name"`
	IssuerSeed string `json:"issuer_private_key"` // Ed25519 seed, or ECDSA scalar
	HolderSeed string `json:"holder_private_key"`
	IssuerKey  string `json:"issuer_public_key"` // as MLS encodes it
	HolderKey  string `json:"holder_public_key"`
	Now        int64  `json:"now"`
	Audience   string `json:"audience"`
	Issued     string `json:"issued"`     // text of an SD-JWT, hexadecimal of an SD-CWT
	Credential string `json:"credential"` // as in a leaf, type included
	// What is seen of it.
	Issuer  string          `json:"iss"`
	Subject string          `json:"sub"`
	Expiry  int64           `json:"exp"`
	Claims  json.RawMessage `json:"disclosed"` // those of "open", "role" and "region"
}

// deterministic makes signatures without randomness: for ECDSA those of RFC 6979.
type deterministic struct{ crypto.Signer }

func (d deterministic) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.Signer.Sign(nil, digest, o)
}

// keyFrom returns a key of the curve, nil for Ed25519, from randomness, and its private octets.
func keyFrom(t testing.TB, rand io.Reader, curve elliptic.Curve) (crypto.Signer, string) {
	t.Helper()
	if curve == nil {
		seed := make([]byte, ed25519.SeedSize)
		io.ReadFull(rand, seed)
		return ed25519.NewKeyFromSeed(seed), hex.EncodeToString(seed)
	}
	size := (curve.Params().BitSize + 7) / 8
	scalar := make([]byte, size)
	io.ReadFull(rand, scalar[1:]) // below the order, by its first octet
	if curve == elliptic.P521() {
		scalar[1] = 0
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, scalar)
	if err != nil {
		t.Fatal(err)
	}
	return key, hex.EncodeToString(scalar)
}

func seen(t testing.TB, token *Token) json.RawMessage {
	t.Helper()
	claims := make(map[string]any)
	for _, name := range []string{"open", "role", "region"} {
		if value, ok := token.Claim(name); ok {
			if region, ok := value.(map[any]any); ok { // JSON has no such maps
				value = map[string]any{"country": region["country"]}
			}
			claims[name] = value
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func makeVectors(t testing.TB) []vector {
	t.Helper()
	rand := sha3.NewSHAKE256()
	rand.Write([]byte("mendlink web token vectors"))
	var all []vector
	for _, kind := range []struct {
		name       string
		kind       mls.CredentialType
		serialized bool
	}{{"SD-JWT", mls.CredentialSDJWT, true}, {"SD-JWT, compacted", mls.CredentialSDJWT, false}, {"SD-CWT", mls.CredentialSDCWT, false}} {
		for _, keys := range []struct {
			name           string
			issuer, holder elliptic.Curve
		}{{"Ed25519", nil, nil}, {"P-256 and P-384", elliptic.P256(), elliptic.P384()}, {"P-521 and P-256", elliptic.P521(), elliptic.P256()}} {
			v := vector{Name: kind.name + ", " + keys.name, Now: testTime.Unix(), Audience: audience}
			issuerKey, issuerSeed := keyFrom(t, rand, keys.issuer)
			holderKey, holderSeed := keyFrom(t, rand, keys.holder)
			v.IssuerSeed, v.HolderSeed = issuerSeed, holderSeed
			v.IssuerKey, v.HolderKey = hex.EncodeToString(encoded(t, issuerKey.Public())), hex.EncodeToString(encoded(t, holderKey.Public()))
			tokenTemplate := template(holderKey.Public())
			tokenTemplate.Decoys = 1
			tokenTemplate.Claims = map[any]any{"open": true, "role": Hidden{"db"}, "secret": Hidden{"x"}, "region": Hidden{map[string]any{"country": "de", "city": Hidden{"Ulm"}}}}
			issued := issue(t, &Issuer{Name: issuerName, KeyID: "k1", Signer: deterministic{issuerKey}, Rand: rand}, kind.kind, tokenTemplate)
			id := present(t, issued, PresentOptions{Signer: deterministic{holderKey}, Rand: rand, Serialized: kind.serialized, Disclose: DiscloseNames("role", "region")})
			if v.Issued = string(issued.Encoded); kind.kind == mls.CredentialSDCWT {
				v.Issued = hex.EncodeToString(issued.Encoded)
			}
			v.Credential = hex.EncodeToString(id.Credential.Marshal())
			token, err := Read(&id.Credential)
			if err != nil {
				t.Fatal(err)
			}
			v.Issuer, v.Subject, v.Expiry, v.Claims = token.Issuer, token.Subject, token.Expiry.Unix(), seen(t, token)
			all = append(all, v)
		}
	}
	return all
}

// The vectors are what is made today, to the octet, and are accepted.
func TestOwnVectors(t *testing.T) {
	made, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	made = append(made, '\n')
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "vectors.json"), made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, made) {
		t.Error("testdata/vectors.json is not what is made: go test . -run OwnVectors -update writes it")
	}
	var vectors []vector
	if err := json.Unmarshal(kept, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 9 {
		t.Errorf("%d vectors, want 9", len(vectors))
	}
	octets := func(text string) []byte {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, vector := range vectors {
		key, err := parseKey(octets(vector.IssuerKey))
		if err != nil {
			t.Fatal(err)
		}
		var token *Token
		v := mustValidator(t, Options{
			Issuers: trusting(t, key), Audiences: []string{vector.Audience}, Now: func() time.Time { return time.Unix(vector.Now, 0) },
			Accept: func(t *Token) error { token = t; return nil },
		})
		credential, err := mls.ParseCredential(octets(vector.Credential))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.ValidateLeaf(&mls.LeafNode{Credential: credential, SignatureKey: octets(vector.HolderKey)}, nil); err != nil {
			t.Errorf("%s: %v", vector.Name, err)
			continue
		}
		var want bytes.Buffer
		if err := json.Compact(&want, vector.Claims); err != nil {
			t.Fatal(err)
		}
		if token.Issuer != vector.Issuer || token.Subject != vector.Subject || token.Expiry.Unix() != vector.Expiry || !bytes.Equal(seen(t, token), want.Bytes()) {
			t.Errorf("%s: %+v with %s, want %s", vector.Name, token, seen(t, token), want.Bytes())
		}
	}
}

// parseKey reads a key as MLS encodes it.
func parseKey(b []byte) (crypto.PublicKey, error) {
	switch len(b) {
	case ed25519.PublicKeySize:
		return ed25519.PublicKey(b), nil
	case 65:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	case 97:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P384(), b)
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P521(), b)
}
