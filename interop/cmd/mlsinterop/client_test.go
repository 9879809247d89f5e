package main

import (
	"bytes"
	"testing"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// TestPrivateKeys checks that the private keys which the protocol asks for are those
// of the key package, in every suite.
func TestPrivateKeys(t *testing.T) {
	s := newServer(options{grease: true})
	for _, id := range s.suites.IDs() {
		r, err := s.CreateKeyPackage(t.Context(), &pb.CreateKeyPackageRequest{CipherSuite: uint32(id), Identity: []byte("alice")})
		if err != nil {
			t.Errorf("%v: %v", id, err)
			continue
		}
		checkPrivateKeys(t, s, id, r)
	}
}

func checkPrivateKeys(t *testing.T, s *server, id ciphersuite.ID, r *pb.CreateKeyPackageResponse) {
	t.Helper()
	suite, err := s.suites.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := find[*transaction](&s.ids, r.TransactionId)
	if err != nil {
		t.Fatal(err)
	}
	public := entry.keyPackage.KeyPackage()
	for _, k := range []struct {
		name            string
		private, public []byte
	}{{"init_key", r.InitPriv, public.InitKey}, {"encryption_key", r.EncryptionPriv, public.LeafNode.EncryptionKey}} {
		private, err := suite.ParseHPKEPrivateKey(k.private)
		if err != nil || !bytes.Equal(private.PublicKey(), k.public) {
			t.Errorf("%v: the private key is not that of %s (%v)", id, k.name, err)
		}
	}
	signer, err := suite.ParseSigner(r.SignaturePriv)
	if err != nil {
		t.Fatalf("%v: %v", id, err)
	}
	if key, err := suite.SignaturePublicKey(signer.Public()); err != nil || !bytes.Equal(key, public.LeafNode.SignatureKey) {
		t.Errorf("%v: the private key is not that of signature_key (%v)", id, err)
	}
}
