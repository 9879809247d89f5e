package ciphersuite

import "testing"

func TestEverySuiteSaysWhatItResists(t *testing.T) {
	hybrid := map[ID]bool{
		MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519: true, MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519: true,
		MLS_128_MLKEM768P256_AES128GCM_SHA256_P256: true, MLS_128_MLKEM768P256_AES256GCM_SHA384_P256: true,
		MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384: true, MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44: true,
	}
	for _, id := range Default().IDs() {
		s, err := Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		kem, signature := Traditional, Traditional
		switch {
		case hybrid[id]:
			kem = Hybrid
		case id >= MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519:
			kem = PostQuantum
		}
		if id >= MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44 {
			signature = PostQuantum
		}
		if s.KEMResistance() != kem || s.SignatureResistance() != signature {
			t.Errorf("%v: KEM %v, signatures %v, want %v and %v", id, s.KEMResistance(), s.SignatureResistance(), kem, signature)
		}
	}
}
