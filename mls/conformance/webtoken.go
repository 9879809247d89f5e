package conformance

import (
	"encoding/base64"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// webTokenCredentials has web tokens as credentials (draft-mahy-mls-sd-cwt-credential). The format
// is our own. What the tokens say is nothing: their parts are random.
type webTokenCredentials struct {
	SDCWT struct {
		SDKBT      hexBytes `json:"sd_kbt"`
		Credential hexBytes `json:"credential"`
	} `json:"sd_cwt"`
	SDJWT struct {
		Protected           hexBytes   `json:"protected"`
		Payload             hexBytes   `json:"payload"`
		Signature           hexBytes   `json:"signature"`
		Disclosures         []hexBytes `json:"disclosures"`
		KeyBinding          string     `json:"sd_jwt_key_binding"`
		Serialized          string     `json:"sd_jwt_kb"`
		Credential          hexBytes   `json:"credential"`
		CompactedCredential hexBytes   `json:"compacted_credential"`
	} `json:"sd_jwt"`
}

func (*webTokenCredentials) suiteID() ciphersuite.ID { return 0 }

func (v *webTokenCredentials) check(c *checker) {
	cwt := mls.SDCWTCredential(v.SDCWT.SDKBT)
	c.equal("sd_cwt", cwt.Marshal(), v.SDCWT.Credential)
	if parsed, err := mls.ParseCredential(v.SDCWT.Credential); c.ok("parsing sd_cwt", err) {
		c.that(parsed.Type == mls.CredentialSDCWT, "sd_cwt is of type %#04x", uint16(parsed.Type))
		c.equal("sd_kbt", parsed.Data, v.SDCWT.SDKBT)
	}

	compacted := v.token()
	if text, err := compacted.Serialize(); c.ok("serializing", err) {
		c.equal("sd_jwt_kb", text.Serialized, []byte(v.SDJWT.Serialized))
	}
	text, err := mls.ParseSDJWT([]byte(v.SDJWT.Serialized))
	if !c.ok("sd_jwt_kb", err) {
		return
	}
	back, err := text.Compact()
	c.ok("compacting", err)
	c.that(back.Equal(&compacted), "compacted, sd_jwt_kb is not the fields")
	c.sdJWT("credential", text, v.SDJWT.Credential)
	c.sdJWT("compacted_credential", compacted, v.SDJWT.CompactedCredential)
}

// sdJWT compares the encoding of a token, both ways.
func (c *checker) sdJWT(what string, token mls.SDJWT, want []byte) {
	credential := mls.SDJWTCredential(token)
	c.equal(what, credential.Marshal(), want)
	if parsed, err := mls.ParseCredential(want); c.ok("parsing "+what, err) {
		c.that(parsed.Equal(credential), "%s, parsed, is not the token", what)
	}
}

// token returns the compacted token of the fields.
func (v *webTokenCredentials) token() mls.SDJWT {
	t := mls.SDJWT{
		Compacted: true, Protected: v.SDJWT.Protected, Payload: v.SDJWT.Payload, Signature: v.SDJWT.Signature,
		KeyBinding: []byte(v.SDJWT.KeyBinding),
	}
	for _, d := range v.SDJWT.Disclosures {
		t.Disclosures = append(t.Disclosures, d)
	}
	return t
}

func generateWebTokenCredentials(g *generator) (vector, error) {
	v := &webTokenCredentials{}
	v.SDCWT.SDKBT = g.octets(g.number(200))
	cwt := mls.SDCWTCredential(v.SDCWT.SDKBT)
	v.SDCWT.Credential = cwt.Marshal()

	part := func() hexBytes { return g.octets(1 + g.number(80)) }
	j := &v.SDJWT
	j.Protected, j.Payload, j.Signature, j.Disclosures = part(), part(), part(), []hexBytes{}
	for range g.index {
		j.Disclosures = append(j.Disclosures, part())
	}
	encoded := base64.RawURLEncoding.EncodeToString
	j.KeyBinding = encoded(part()) + "." + encoded(part()) + "." + encoded(part())
	compacted := v.token()
	text, err := compacted.Serialize()
	if err != nil {
		return nil, err
	}
	j.Serialized = string(text.Serialized)
	credential, small := mls.SDJWTCredential(text), mls.SDJWTCredential(compacted)
	j.Credential, j.CompactedCredential = credential.Marshal(), small.Marshal()
	return v, nil
}
