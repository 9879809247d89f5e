package conformance

import (
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// safeOperations has what components sign and encrypt
// (draft-ietf-mls-extensions, Sections 4.1 to 4.3). The format is our own.
type safeOperations struct {
	suited
	Component      uint16        `json:"component_id"`
	Label          string        `json:"label"`
	OperationLabel hexBytes      `json:"component_operation_label"`
	Sign           safeSignature `json:"safe_sign_with_label"`
	Encrypt        safeSealed    `json:"safe_encrypt_with_label"`
}

type safeSignature struct {
	Priv      hexBytes `json:"priv"`
	Pub       hexBytes `json:"pub"`
	Content   hexBytes `json:"content"`
	Signature hexBytes `json:"signature"`
}

type safeSealed struct {
	Priv       hexBytes `json:"priv"`
	Pub        hexBytes `json:"pub"`
	Context    hexBytes `json:"context"`
	Plaintext  hexBytes `json:"plaintext"`
	KEMOutput  hexBytes `json:"kem_output"`
	Ciphertext hexBytes `json:"ciphertext"`
}

func (v *safeOperations) check(c *checker) {
	label := mls.ComponentOperationLabel(mls.ComponentID(v.Component), v.Label)
	c.equal("component_operation_label", []byte(label), v.OperationLabel)

	basics := new(cryptoBasics) // the operations are those with another label
	s, x := &basics.Sign, &basics.Encrypt
	s.Label, s.Priv, s.Pub, s.Content, s.Signature = label, v.Sign.Priv, v.Sign.Pub, v.Sign.Content, v.Sign.Signature
	x.Label, x.Priv, x.Pub, x.Context, x.Plaintext = label, v.Encrypt.Priv, v.Encrypt.Pub, v.Encrypt.Context, v.Encrypt.Plaintext
	x.KEMOutput, x.Ciphertext = v.Encrypt.KEMOutput, v.Encrypt.Ciphertext
	basics.checkSignature(c)
	basics.checkEncryption(c)

	other := mls.ComponentOperationLabel(mls.ComponentID(v.Component^1), v.Label)
	c.that(c.suite.VerifyWithLabel(s.Pub, other, s.Content, s.Signature) != nil, "the signature is another component's, too")
}

func generateSafeOperations(g *generator) (vector, error) {
	s, v := g.suite, new(safeOperations)
	v.CipherSuite = s.ID()
	v.Component, v.Label = uint16(0x8000+g.number(0x8000)), fmt.Sprintf("operation %d", g.index)
	label := mls.ComponentOperationLabel(mls.ComponentID(v.Component), v.Label)
	v.OperationLabel = []byte(label)

	signer, err := g.signer()
	if err != nil {
		return nil, err
	}
	v.Sign = safeSignature{Priv: signer.private, Pub: signer.public, Content: g.octets(64)}
	if v.Sign.Signature, err = s.SignWithLabel(g.rand, signer, label, v.Sign.Content); err != nil {
		return nil, err
	}
	private, err := s.GenerateHPKEKeyPair(g.rand)
	if err != nil {
		return nil, err
	}
	x := &v.Encrypt
	x.Priv, x.Pub, x.Context, x.Plaintext = private.Bytes(), private.PublicKey(), g.octets(32), g.octets(48)
	x.KEMOutput, x.Ciphertext, err = s.EncryptWithLabel(g.rand, x.Pub, label, x.Context, x.Plaintext)
	return v, err
}
