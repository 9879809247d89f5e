package webtoken

import (
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// seeds are credentials of all forms, and some that are nearly ones.
func seeds(f *testing.F) (v *Validator, key []byte) {
	maker := newForger(f)
	v = validatorFor(f, maker)
	add := func(c mls.Credential) {
		encoded := c.Marshal()
		f.Add(encoded)
		f.Add(encoded[:len(encoded)/2])
	}
	j := maker.jwt()
	j.claims["_sd"] = []any{j.hide(`["s","a",{"b":[{"...":"x"}]}]`), "decoy"}
	j.claims["list"] = []any{map[string]any{"...": j.hide(`["s",["x"]]`)}}
	text := maker.leafOfJWT(j).Credential
	add(text)
	compacted, err := text.SDJWT.Compact()
	if err != nil {
		f.Fatal(err)
	}
	add(mls.SDJWTCredential(compacted))
	c := maker.cwt()
	c.claims[hiddenKeys] = [][]byte{maker.hide(c, salt, map[any]any{1: 2}, "a"), maker.hide(c, salt)}
	add(maker.leafOfCWT(c).Credential)
	return v, j.leaf
}

// Whatever comes as a credential is read or refused, and what is accepted is what the genuine holder has shown.
func FuzzCredential(f *testing.F) {
	v, key := seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := mls.ParseCredential(data)
		if err != nil {
			return
		}
		leaf := &mls.LeafNode{Credential: c, SignatureKey: key}
		accepted := v.ValidateLeaf(leaf, nil) == nil
		if again := v.ValidateLeaf(leaf, leaf) == nil; again != accepted {
			t.Errorf("accepted as a new member: %t; after itself: %t", accepted, again)
		}
		token, err := Read(&c)
		if _, failed := v.CredentialExpiry(&c); (failed == nil) != (err == nil) {
			t.Errorf("read: %v; its expiry: %v", err, failed)
		}
		if accepted && (err != nil || token.Issuer != issuerName || token.Subject != "db-7") {
			t.Errorf("accepted %+v, %v", token, err)
		}
		if err != nil {
			return
		}
		if _, ok := token.Claim(); !ok {
			t.Error("a token without claims")
		}
		if !v.SameClient(leaf, leaf) {
			t.Error("a token is not its own subject's")
		}
	})
}

// Whatever comes from an issuer is shown or refused.
func FuzzPresent(f *testing.F) {
	holder := newEd25519(f)
	for _, kind := range []mls.CredentialType{mls.CredentialSDJWT, mls.CredentialSDCWT} {
		issuer := &Issuer{Name: issuerName, Signer: newEd25519(f)}
		t := template(holder.Public())
		t.Claims = map[any]any{"a": Hidden{[]any{Hidden{1}}}, "b": true}
		t.Decoys = 1
		f.Add(issue(f, issuer, kind, t).Encoded, kind == mls.CredentialSDCWT)
	}
	f.Fuzz(func(t *testing.T, encoded []byte, isCWT bool) {
		issued := Issued{mls.CredentialSDJWT, encoded}
		if isCWT {
			issued.Type = mls.CredentialSDCWT
		}
		id, err := Present(issued, PresentOptions{Signer: holder, Audience: audience, Disclose: DiscloseAll, Now: atTestTime})
		if err != nil {
			return
		}
		if _, err := Read(&id.Credential); err != nil {
			t.Errorf("what is shown cannot be read: %v", err)
		}
	})
}
