package conformance

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// multiCredential has a multi-credential of basic credentials, and the signature
// key of the leaf that it is for (draft-ietf-mls-extensions, Section 6.5). The
// format is our own.
type multiCredential struct {
	suited
	SignatureKey   hexBytes            `json:"signature_key"`
	CredentialType uint16              `json:"credential_type"`
	Bindings       []credentialBinding `json:"bindings"`
	Credential     hexBytes            `json:"credential"`
}

type credentialBinding struct {
	CipherSuite   ciphersuite.ID `json:"cipher_suite"`
	Identity      hexBytes       `json:"identity"`
	CredentialKey hexBytes       `json:"credential_key"`
	Signature     hexBytes       `json:"signature"`
}

func (v *multiCredential) check(c *checker) {
	c.ok("signature_key", c.suite.ValidateSignaturePublicKey(v.SignatureKey))
	want := make([]mls.CredentialBinding, len(v.Bindings))
	for i, b := range v.Bindings {
		want[i] = mls.CredentialBinding{
			CipherSuite: b.CipherSuite, Credential: mls.BasicCredential(b.Identity), CredentialKey: b.CredentialKey, Signature: b.Signature,
		}
	}
	encode := mls.MultiCredential
	if v.CredentialType == uint16(mls.CredentialWeakMulti) {
		encode = mls.WeakMultiCredential
	}
	encoded := encode(want...)
	c.that(uint16(encoded.Type) == v.CredentialType, "credential_type is %d, want %d", v.CredentialType, encoded.Type)
	c.equal("encoding bindings", encoded.Data, v.Credential)

	credential := mls.Credential{Type: mls.CredentialType(v.CredentialType), Data: v.Credential}
	bindings, err := credential.Bindings()
	if !c.ok("credential", err) || !c.that(len(bindings) == len(want), "credential has %d bindings, want %d", len(bindings), len(want)) {
		return
	}
	for i := range bindings {
		what, got := fmt.Sprintf("bindings[%d]", i), &bindings[i]
		c.that(got.CipherSuite == want[i].CipherSuite && got.Credential.Equal(want[i].Credential) && bytes.Equal(got.CredentialKey, want[i].CredentialKey),
			"%s is %+v, want %+v", what, got, want[i])
		if s, err := ciphersuite.Default().Lookup(got.CipherSuite); c.ok(what+".cipher_suite", err) {
			c.ok(what+".signature", got.Verify(s, v.SignatureKey))
		}
	}
}

// generateMultiCredentials makes credentials of type multi and weak-multi in turn,
// with a binding of the leaf's suite and others of other suites.
func generateMultiCredentials(g *generator) (vector, error) {
	v := &multiCredential{CredentialType: uint16(mls.CredentialMulti) + uint16(g.turn(2))}
	v.CipherSuite = g.suite.ID()
	leaf, err := g.signer()
	if err != nil {
		return nil, err
	}
	v.SignatureKey = leaf.public
	var bindings []mls.CredentialBinding
	for i, id := range []ciphersuite.ID{
		g.suite.ID(), ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
	} {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			return nil, err
		}
		holder, err := (&generator{suite: s, rand: g.rand}).signer()
		if err != nil {
			return nil, err
		}
		identity := mls.Identity{Credential: mls.BasicCredential(fmt.Appendf(nil, "identity %d", i)), Signer: holder}
		b, err := mls.NewCredentialBinding(s, g.rand, identity, v.SignatureKey)
		if err != nil {
			return nil, err
		}
		bindings = append(bindings, b)
		v.Bindings = append(v.Bindings, credentialBinding{b.CipherSuite, b.Credential.Identity, b.CredentialKey, b.Signature})
	}
	v.Credential = mls.MultiCredential(bindings...).Data
	return v, nil
}
