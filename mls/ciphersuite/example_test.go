package ciphersuite_test

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func Example() {
	suite, err := ciphersuite.Default().Lookup(ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		panic(err)
	}

	// The receiver publishes a key; the sender encrypts to it.
	private, err := suite.GenerateHPKEKeyPair(rand.Reader)
	if err != nil {
		panic(err)
	}
	kemOutput, ciphertext, err := suite.EncryptWithLabel(rand.Reader, private.PublicKey(), "Example", nil, []byte("hello"))
	if err != nil {
		panic(err)
	}
	plaintext, err := suite.DecryptWithLabel(private, "Example", nil, kemOutput, ciphertext)
	if err != nil {
		panic(err)
	}
	private.Erase()
	fmt.Printf("%v: %s\n", suite, plaintext)
	// Output: MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519: hello
}

func ExampleSuite_SignWithLabel() {
	suite, err := ciphersuite.Default().Lookup(ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		panic(err)
	}
	signer, err := suite.GenerateSigner(rand.Reader) // any crypto.Signer will do
	if err != nil {
		panic(err)
	}
	public, err := suite.SignaturePublicKey(signer.Public())
	if err != nil {
		panic(err)
	}
	signature, err := suite.SignWithLabel(rand.Reader, signer, "Example", []byte("content"))
	if err != nil {
		panic(err)
	}
	fmt.Println(suite.VerifyWithLabel(public, "Example", []byte("content"), signature))
	err = suite.VerifyWithLabel(public, "Another", []byte("content"), signature)
	fmt.Println(errors.Is(err, ciphersuite.ErrSignature))
	// Output:
	// <nil>
	// true
}

// Post-quantum suites have no registered numbers yet. Peers that agreed on
// other numbers register the same algorithms under those.
func ExampleRegistry_Renumber() {
	registry, err := ciphersuite.Default().Renumber(map[ciphersuite.ID]ciphersuite.ID{
		ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519: 0xF123,
		ciphersuite.MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87:      0xF124,
	})
	if err != nil {
		panic(err)
	}
	suite, err := registry.Lookup(0xF123)
	fmt.Println(suite, err)
	_, err = registry.Lookup(ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519)
	fmt.Println(err)
	// Output:
	// MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519 <nil>
	// ciphersuite: unsupported cipher suite MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519
}

// A key that is used more than once is parsed once.
func ExampleSuite_ParseHPKEPublicKey() {
	suite, err := ciphersuite.Default().Lookup(ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		panic(err)
	}
	private, err := suite.GenerateHPKEKeyPair(rand.Reader)
	if err != nil {
		panic(err)
	}
	public, err := suite.ParseHPKEPublicKey(private.PublicKey())
	if err != nil {
		panic(err)
	}
	for _, message := range []string{"one", "two"} {
		kemOutput, ciphertext, err := public.EncryptWithLabel(rand.Reader, "Example", nil, []byte(message))
		if err != nil {
			panic(err)
		}
		plaintext, err := suite.DecryptWithLabel(private, "Example", nil, kemOutput, ciphertext)
		fmt.Println(string(plaintext), err)
	}
	// Output:
	// one <nil>
	// two <nil>
}

// In PSK mode, a ciphertext is from somebody who has the pre-shared key.
func ExampleHPKEPublicKey_SealPSK() {
	suite, err := ciphersuite.Default().Lookup(ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		panic(err)
	}
	private, err := suite.GenerateHPKEKeyPair(rand.Reader)
	if err != nil {
		panic(err)
	}
	public, err := suite.ParseHPKEPublicKey(private.PublicKey())
	if err != nil {
		panic(err)
	}
	psk, pskID := make([]byte, 32), []byte("the key of 2026")
	rand.Read(psk)

	enc, ciphertext, err := public.SealPSK(rand.Reader, []byte("info"), nil, []byte("hello"), psk, pskID)
	if err != nil {
		panic(err)
	}
	plaintext, err := suite.OpenPSK(private, enc, []byte("info"), nil, ciphertext, psk, pskID)
	fmt.Printf("%s, %v\n", plaintext, err)
	_, err = suite.OpenPSK(private, enc, []byte("info"), nil, ciphertext, []byte("another key"), pskID)
	fmt.Println(errors.Is(err, ciphersuite.ErrDecrypt))
	// Output:
	// hello, <nil>
	// true
}
