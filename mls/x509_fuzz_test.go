package mls

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

// Certificates come from whoever wants to become a member: only those under the
// root, for the key beside them, are accepted.
func FuzzX509Credential(f *testing.F) {
	root := newCA(f, "root", nil, nil)
	stranger := newCA(f, "stranger", nil, nil)
	signer, certified := certificateSigner(f, suite1)
	service := &X509AuthenticationService{Roots: pool(root.certificate), Now: atTestTime}
	genuine := X509Credential(newCA(f, "intermediate", root, nil).enroll(signer.Public(), nil)...)
	for _, c := range []Credential{
		genuine, X509Credential(root.enroll(signer.Public(), nil)...), X509Credential(stranger.enroll(signer.Public(), nil)...),
		X509Credential(root.certificate), {Type: CredentialX509}, BasicCredential([]byte("alice")),
	} {
		f.Add(marshal(&c), certified)
	}
	f.Fuzz(func(t *testing.T, credential, key []byte) {
		var c Credential
		r := wire.NewReader(credential)
		if c.decode(r); r.Finish() != nil {
			return
		}
		leaf := &LeafNode{Credential: c, SignatureKey: key}
		first := service.ValidateLeaf(leaf, nil)
		if err := service.ValidateLeaf(leaf, leaf); (err == nil) != (first == nil) {
			t.Errorf("accepted as a new member: %v; after itself: %v", first, err)
		}
		if err := service.ValidateExternalSender(&ExternalSender{Credential: c, SignatureKey: key}); (err == nil) != (first == nil) {
			t.Errorf("accepted as a member: %v; as a sender: %v", first, err)
		}
		_ = service.ValidateLeaf(leaf, &LeafNode{Credential: genuine})
		_ = service.ValidateLeaf(&LeafNode{Credential: genuine, SignatureKey: key}, leaf)
		if first == nil && !bytes.Equal(key, certified) {
			t.Errorf("accepted for the key %x", key)
		}
	})
}
