package conformance

import "crypto/rand"

// cryptoBasics has each labeled operation once.
type cryptoBasics struct {
	suited
	RefHash struct {
		Label string   `json:"label"`
		Value hexBytes `json:"value"`
		Out   hexBytes `json:"out"`
	} `json:"ref_hash"`
	Expand struct {
		Secret  hexBytes `json:"secret"`
		Label   string   `json:"label"`
		Context hexBytes `json:"context"`
		Length  uint16   `json:"length"`
		Out     hexBytes `json:"out"`
	} `json:"expand_with_label"`
	DeriveSecret struct {
		Secret hexBytes `json:"secret"`
		Label  string   `json:"label"`
		Out    hexBytes `json:"out"`
	} `json:"derive_secret"`
	DeriveTree struct {
		Secret     hexBytes `json:"secret"`
		Label      string   `json:"label"`
		Generation uint32   `json:"generation"`
		Length     uint16   `json:"length"`
		Out        hexBytes `json:"out"`
	} `json:"derive_tree_secret"`
	Sign struct {
		Priv      hexBytes `json:"priv"`
		Pub       hexBytes `json:"pub"`
		Content   hexBytes `json:"content"`
		Label     string   `json:"label"`
		Signature hexBytes `json:"signature"`
	} `json:"sign_with_label"`
	Encrypt struct {
		Priv       hexBytes `json:"priv"`
		Pub        hexBytes `json:"pub"`
		Label      string   `json:"label"`
		Context    hexBytes `json:"context"`
		Plaintext  hexBytes `json:"plaintext"`
		KEMOutput  hexBytes `json:"kem_output"`
		Ciphertext hexBytes `json:"ciphertext"`
	} `json:"encrypt_with_label"`
}

func (v *cryptoBasics) check(c *checker) {
	s := c.suite
	c.equal("ref_hash", s.RefHash(v.RefHash.Label, v.RefHash.Value), v.RefHash.Out)
	if e := &v.Expand; c.length("expand_with_label", int(e.Length)) {
		c.equal("expand_with_label", s.ExpandWithLabel(e.Secret, e.Label, e.Context, int(e.Length)), e.Out)
	}
	c.equal("derive_secret", s.DeriveSecret(v.DeriveSecret.Secret, v.DeriveSecret.Label), v.DeriveSecret.Out)
	if d := &v.DeriveTree; c.length("derive_tree_secret", int(d.Length)) {
		c.equal("derive_tree_secret", s.DeriveTreeSecret(d.Secret, d.Label, d.Generation, int(d.Length)), d.Out)
	}
	v.checkSignature(c)
	v.checkEncryption(c)
}

func (v *cryptoBasics) checkSignature(c *checker) {
	s, sign := c.suite, &v.Sign
	c.ok("verifying signature", s.VerifyWithLabel(sign.Pub, sign.Label, sign.Content, sign.Signature))
	signer, err := s.ParseSigner(sign.Priv)
	if !c.ok("sign_with_label.priv", err) {
		return
	}
	public, err := s.SignaturePublicKey(signer.Public())
	c.ok("public key of sign_with_label.priv", err)
	c.equal("public key of sign_with_label.priv", public, sign.Pub)
	own, err := s.SignWithLabel(rand.Reader, signer, sign.Label, sign.Content)
	if c.ok("signing", err) {
		c.ok("verifying a signature of our own", s.VerifyWithLabel(sign.Pub, sign.Label, sign.Content, own))
	}
}

func (v *cryptoBasics) checkEncryption(c *checker) {
	s, e := c.suite, &v.Encrypt
	private, err := s.ParseHPKEPrivateKey(e.Priv)
	if !c.ok("encrypt_with_label.priv", err) {
		return
	}
	c.equal("public key of encrypt_with_label.priv", private.PublicKey(), e.Pub)
	plaintext, err := s.DecryptWithLabel(private, e.Label, e.Context, e.KEMOutput, e.Ciphertext)
	if c.ok("decrypting ciphertext", err) {
		c.equal("plaintext", plaintext, e.Plaintext)
	}
	kemOutput, ciphertext, err := s.EncryptWithLabel(rand.Reader, e.Pub, e.Label, e.Context, e.Plaintext)
	if !c.ok("encrypting", err) {
		return
	}
	plaintext, err = s.DecryptWithLabel(private, e.Label, e.Context, kemOutput, ciphertext)
	if c.ok("decrypting a ciphertext of our own", err) {
		c.equal("plaintext of a ciphertext of our own", plaintext, e.Plaintext)
	}
}

func generateCryptoBasics(g *generator) (vector, error) {
	s, v := g.suite, new(cryptoBasics)
	v.CipherSuite = s.ID()
	v.RefHash.Label, v.RefHash.Value = "RefHash", g.octets(64)
	v.RefHash.Out = s.RefHash(v.RefHash.Label, v.RefHash.Value)

	e := &v.Expand
	e.Secret, e.Label, e.Context, e.Length = g.secret(), "ExpandWithLabel", g.octets(32), 16
	e.Out = s.ExpandWithLabel(e.Secret, e.Label, e.Context, int(e.Length))

	v.DeriveSecret.Secret, v.DeriveSecret.Label = g.secret(), "DeriveSecret"
	v.DeriveSecret.Out = s.DeriveSecret(v.DeriveSecret.Secret, v.DeriveSecret.Label)

	d := &v.DeriveTree
	d.Secret, d.Label, d.Generation, d.Length = g.secret(), "DeriveTreeSecret", g.uint32(), 32
	d.Out = s.DeriveTreeSecret(d.Secret, d.Label, d.Generation, int(d.Length))

	signer, err := g.signer()
	if err != nil {
		return nil, err
	}
	sign := &v.Sign
	sign.Priv, sign.Pub, sign.Content, sign.Label = signer.private, signer.public, g.octets(64), "SignWithLabel"
	if sign.Signature, err = s.SignWithLabel(g.rand, signer, sign.Label, sign.Content); err != nil {
		return nil, err
	}

	private, err := s.GenerateHPKEKeyPair(g.rand)
	if err != nil {
		return nil, err
	}
	x := &v.Encrypt
	x.Priv, x.Pub = private.Bytes(), private.PublicKey()
	x.Label, x.Context, x.Plaintext = "EncryptWithLabel", g.octets(32), g.octets(48)
	x.KEMOutput, x.Ciphertext, err = s.EncryptWithLabel(g.rand, x.Pub, x.Label, x.Context, x.Plaintext)
	return v, err
}
