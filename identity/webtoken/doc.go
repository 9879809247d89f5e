// Package webtoken takes and makes web tokens as credentials: SD-JWT (RFC 9901) and SD-CWT
// (draft-ietf-spice-sd-cwt), both with key binding, as draft-mahy-mls-sd-cwt-credential-02 puts them into
// MLS, and ordinary JWTs and CWTs that are for a key (cnf), such as JWT-SVIDs. It is a module of its own,
// because of the libraries for JOSE and COSE that this takes.
//
//	issuer                       holder                          peer
//	Issuer.SDJWT ---token---> Present(chosen disclosures) --credential--> Validator
//	  hides claims              signs with its MLS key           Issuers: whose tokens; Accept: for whom
//
// [NewValidator] makes the Validator of a connection's configuration. A peer is who its token says: iss and
// sub, and the claims that it has disclosed. The token's key is the peer's MLS signature key: Ed25519,
// P-256, P-384 or P-521.
//
// [Open] gives a [Source] of own identities, which gets a new token before the old one expires. Living
// connections show it to the peer by themselves, drop a peer whose token expires, and ask about it again when
// an issuer's keys change:
//
//	source, err := webtoken.Open(ctx, webtoken.SourceOptions{Fetch: fetch})
//	defer source.Close()
//	issuers := new(webtoken.Issuers)
//	err = issuers.SetJWKS("https://issuer.example", set)
//	peers, err := webtoken.NewValidator(webtoken.Options{Issuers: issuers, Audiences: []string{"mesh"}, Accept: webtoken.AnySubject})
//	config := &netconn.Config{Identities: issuers.With(source), Validator: peers}
//
// Where some peers have certificates, an [mls.CredentialMux] of both validators is one.
//
// Not supported: keys of ML-DSA, of which the libraries have none; confirmation by other than the key itself;
// SD-CWT's encrypted disclosures, which stay undisclosed, and CWT claims in headers; status lists. Whether an issuer has
// withdrawn a token shows only when its key goes or the token expires: let tokens be short-lived.
package webtoken
