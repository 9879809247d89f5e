package live

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// ts-mls encodes the signature keys of NIST curves as compressed points. That is
// not what RFC 9420, Section 5.1.1, calls for, and such a key package is refused
// for that reason. In all other tests the peer's driver encodes them as it should
// be.
func TestTSMLSCompressedSignatureKeysAreRefused(t *testing.T) {
	process := tsMLS.start(t)
	for _, suite := range []ciphersuite.ID{
		ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
		ciphersuite.MLS_256_DHKEMP521_AES256GCM_SHA512_P521,
		ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384,
	} {
		bob, err := process.newMember(map[string]any{"suite": suite, "identity": []byte("bob"), "as_written": true})
		if err != nil {
			t.Fatal(err)
		}
		keyPackage, err := bob.KeyPackage()
		if err != nil {
			t.Fatal(err)
		}
		alice, err := mendlink{ciphersuite.Default()}.NewMember(suite, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Create([]byte("group")); err != nil {
			t.Fatal(err)
		}
		_, err = alice.Commit(commit{Proposals: []proposal{{Add: keyPackage}}})
		var broken *mls.Error
		if !errors.As(err, &broken) || broken.Check != mls.CheckLeafKeys {
			t.Errorf("%v: adding ts-mls: %v, want the rule %s broken", suite, err, mls.CheckLeafKeys)
		}
	}
}
