package webtoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/mendlink/mendlink/mls"
)

var kinds = map[string]mls.CredentialType{"SD-JWT": mls.CredentialSDJWT, "SD-CWT": mls.CredentialSDCWT}

// Tokens of each type, of issuers and for holders with each kind of key, in each form, disclose what they
// are to and nothing else.
func TestWhatAHolderChoosesIsDisclosed(t *testing.T) {
	issuerKeys, holderKeys := signers(t), signers(t)
	for name, kind := range kinds {
		for issuerKey, issuerSigner := range issuerKeys {
			for holderKey, holder := range holderKeys {
				issuer := &Issuer{Name: issuerName, KeyID: "k1", Signer: issuerSigner}
				template := template(holder.Public())
				template.Decoys = 3
				template.Claims = map[any]any{
					"role": Hidden{"db"}, "secret": Hidden{"x"}, "open": "yes",
					"region": Hidden{map[string]any{"country": "de", "city": Hidden{"Ulm"}, "street": Hidden{"x"}}},
					"ports":  []any{"a", Hidden{"b"}, Hidden{"c"}, []any{Hidden{"d"}}},
				}
				issued := issue(t, issuer, kind, template)
				for _, serialized := range []bool{false, true} {
					id := present(t, issued, PresentOptions{Signer: holder, Serialized: serialized, Disclose: func(d Disclosure) bool {
						return d.Name != "secret" && d.Name != "street" && d.Value != "c"
					}})
					var seen *Token
					v := mustValidator(t, Options{
						Issuers: trusting(t, issuerSigner.Public()), Audiences: []string{audience}, Now: atTestTime,
						Accept: func(t *Token) error { seen = t; return nil },
					})
					leaf := leafOf(t, id)
					if err := v.ValidateLeaf(leaf, nil); err != nil {
						t.Fatalf("%s by %s for %s: %v", name, issuerKey, holderKey, err)
					}
					if err := v.ValidateExternalSender(&mls.ExternalSender{Credential: leaf.Credential, SignatureKey: leaf.SignatureKey}); err != nil {
						t.Errorf("as an external sender: %v", err)
					}
					if seen.Issuer != issuerName || seen.Subject != "db-7" || !seen.Expiry.Equal(testTime.Add(time.Hour)) || seen.Type != kind {
						t.Errorf("the token is %+v", seen)
					}
					for path, want := range map[any]any{"role": "db", "open": "yes", "secret": nil, "region/country": "de", "region/city": "Ulm", "region/street": nil} {
						var steps []any
						for _, step := range strings.Split(path.(string), "/") {
							steps = append(steps, step)
						}
						if got, ok := seen.Claim(steps...); got != want || ok != (want != nil) {
							t.Errorf("%s: %v is %v, want %v", name, path, got, want)
						}
					}
					if ports, _ := seen.Claim("ports"); !reflect.DeepEqual(ports, []any{"a", "b", []any{"d"}}) {
						t.Errorf("%s: ports are %v", name, ports)
					}
					if port, ok := seen.Claim("ports", 2, 0); port != "d" || !ok {
						t.Errorf("%s: ports[2][0] is %v", name, port)
					}
					if kind == mls.CredentialSDJWT && leaf.Credential.SDJWT.Compacted == serialized {
						t.Errorf("compacted: %t", leaf.Credential.SDJWT.Compacted)
					}
				}
			}
		}
	}
}

func TestClaimPathsThatLeadNowhere(t *testing.T) {
	token := &Token{claims: map[string]any{"a": []any{"x", map[any]any{int64(5): "y"}}}}
	for _, path := range [][]any{{"b"}, {1}, {"a", "x"}, {"a", 2}, {"a", -1}, {"a", 0, "x"}, {"a", 1, 6}, {"a", 1, []byte("unhashable")}, {nil}} {
		if value, ok := token.Claim(path...); ok || value != nil {
			t.Errorf("%v leads to %v", path, value)
		}
	}
	if value, ok := token.Claim("a", 1, 5); value != "y" || !ok {
		t.Errorf("the path leads to %v", value)
	}
}

// What somebody else has issued as an ordinary JWT, with a key in it, is enough. A JWT-SVID has no iss.
func TestAnOrdinaryJWTIsAccepted(t *testing.T) {
	holder := newEd25519(t)
	key, err := publicJWK(holder.Public())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: signer.Public(), KeyID: "rsa-1", Use: "sig"}, {Key: signer.Public(), Use: "enc"}}})
	if err != nil {
		t.Fatal(err)
	}
	issuers := new(Issuers)
	if err := issuers.SetJWKS("spiffe://example.org", public); err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range ofRSA.jose {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: signer, KeyID: "rsa-1"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := json.Marshal(map[string]any{"sub": "spiffe://example.org/db", "aud": []string{audience}, "exp": testTime.Unix() + 60, "cnf": map[string]any{"jwk": key}})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := s.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		jwt, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		id := present(t, Issued{mls.CredentialSDJWT, []byte(jwt + "\n")}, PresentOptions{Signer: holder})
		v := mustValidator(t, Options{Issuers: issuers, Audiences: []string{audience}, Now: atTestTime, Accept: Subjects("spiffe://example.org", "spiffe://example.org/db")})
		if err := v.ValidateLeaf(leafOf(t, id), nil); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

func TestWhoIsAccepted(t *testing.T) {
	f := newForger(t)
	policy := errors.New("no auditor")
	expired := f.jwt()
	expired.claims["exp"] = testTime.Unix() - 1
	for name, c := range map[string]struct {
		change func(*Options)
		forged *forgedJWT
		want   error
	}{
		"the subject":           {func(o *Options) { o.Accept = Subjects(issuerName, "web-1", "db-7") }, f.jwt(), nil},
		"another subject":       {func(o *Options) { o.Accept = Subjects(issuerName, "web-1") }, f.jwt(), ErrSubject},
		"another issuer":        {func(o *Options) { o.Accept = Subjects("https://other.example", "db-7") }, f.jwt(), ErrSubject},
		"a policy":              {func(o *Options) { o.Accept = func(t *Token) error { return policy } }, f.jwt(), policy},
		"a nonce":               {func(o *Options) { o.Nonce = func(n string) error { return fmt.Errorf("%w: %s", policy, n) } }, f.jwt(), policy},
		"a type":                {func(o *Options) { o.Types = []mls.CredentialType{mls.CredentialSDCWT} }, f.jwt(), mls.ErrCredentialType},
		"a token for ever":      {func(o *Options) { o.WithoutExpiry = true }, func() *forgedJWT { j := f.jwt(); delete(j.claims, "exp"); return j }(), nil},
		"one that did not last": {func(o *Options) { o.WithoutExpiry = true }, expired, ErrExpired},
		"a new binding":         {func(o *Options) { o.MaxBindingAge = time.Minute }, f.jwt(), nil},
		"an old binding": {func(o *Options) {
			o.MaxBindingAge = time.Minute
			o.Now = func() time.Time { return testTime.Add(61 * time.Second) }
		}, f.jwt(), ErrExpired},
		"a strict clock":          {func(o *Options) { o.Leeway = -1; o.Now = func() time.Time { return testTime.Add(-time.Second) } }, f.jwt(), ErrNotYet},
		"a generous clock":        {func(o *Options) { o.Leeway = time.Hour; o.Now = func() time.Time { return testTime.Add(-time.Hour) } }, f.jwt(), nil},
		"a generous clock at end": {func(o *Options) { o.Leeway = time.Hour; o.Now = func() time.Time { return testTime.Add(time.Hour) } }, f.jwt(), ErrExpired},
	} {
		o := Options{Issuers: trusting(t, f.issuer.Public()), Audiences: []string{audience}, Accept: AnySubject, Now: atTestTime}
		c.change(&o)
		if err := mustValidator(t, o).ValidateLeaf(f.leafOfJWT(c.forged), nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := validatorFor(t, f).ValidateLeaf(&mls.LeafNode{Credential: mls.BasicCredential([]byte("x"))}, nil); !errors.Is(err, mls.ErrCredentialType) {
		t.Errorf("a basic credential: %v", err)
	}
	if err := validatorFor(t, f).ValidateLeaf(&mls.LeafNode{Credential: mls.Credential{Type: mls.CredentialSDJWT}}, nil); !errors.Is(err, ErrToken) {
		t.Errorf("no token: %v", err)
	}
	for name, o := range map[string]Options{
		"no issuers":        {Audiences: []string{"x"}, Accept: AnySubject},
		"no audience":       {Issuers: new(Issuers), Accept: AnySubject},
		"an empty audience": {Issuers: new(Issuers), Audiences: []string{""}, Accept: AnySubject},
		"no policy":         {Issuers: new(Issuers), Audiences: []string{"x"}},
		"another type":      {Issuers: new(Issuers), Audiences: []string{"x"}, Accept: AnySubject, Types: []mls.CredentialType{mls.CredentialX509}},
	} {
		if _, err := NewValidator(o); err == nil {
			t.Errorf("%s: there is a validator", name)
		}
	}
}

// A token that takes the place of another is the same subject's. That before may have expired.
func TestASuccessorIsTheSameSubject(t *testing.T) {
	f := newForger(t)
	v := validatorFor(t, f)
	forge := func(change func(*forgedJWT)) *mls.LeafNode {
		j := f.jwt()
		change(j)
		return f.leafOfJWT(j)
	}
	now := forge(func(*forgedJWT) {})
	other := newForger(t)
	other.issuer = f.issuer
	cwt := f.leafOfCWT(f.cwt())
	for name, c := range map[string]struct {
		previous *mls.LeafNode
		want     error
		same     bool
	}{
		"the same":          {now, nil, true},
		"one before":        {forge(func(j *forgedJWT) { j.claims["exp"] = testTime.Unix() - 1 }), nil, true},
		"of another type":   {cwt, nil, true},
		"of another key":    {other.leafOfJWT(other.jwt()), nil, true},
		"another subject's": {forge(func(j *forgedJWT) { j.claims["sub"] = "db-8" }), mls.ErrOtherClient, false},
		"another issuer's":  {forge(func(j *forgedJWT) { j.claims["iss"] = "x" }), mls.ErrOtherClient, false},
		"no token":          {&mls.LeafNode{Credential: mls.BasicCredential([]byte("db-7"))}, mls.ErrOtherClient, false},
	} {
		if err := v.ValidateLeaf(now, c.previous); !errors.Is(err, c.want) {
			t.Errorf("after %s: %v, want %v", name, err, c.want)
		}
		if v.SameClient(now, c.previous) != c.same || v.SameClient(c.previous, now) != c.same {
			t.Errorf("%s: the same client: %t", name, !c.same)
		}
	}
	// A successor has to be valid itself.
	if err := v.ValidateLeaf(forge(func(j *forgedJWT) { j.claims["exp"] = testTime.Unix() }), now); !errors.Is(err, ErrExpired) {
		t.Errorf("a successor that has expired: %v", err)
	}
	refused := errors.New("role changed")
	v = mustValidator(t, Options{
		Issuers: trusting(t, f.issuer.Public()), Audiences: []string{audience}, Accept: AnySubject, Now: atTestTime,
		Successor: func(before, after *Token) error {
			if before.Subject != "db-8" || after.Subject != "db-7" {
				t.Errorf("%q after %q", after.Subject, before.Subject)
			}
			return refused
		},
	})
	if err := v.ValidateLeaf(now, forge(func(j *forgedJWT) { j.claims["sub"] = "db-8" })); !errors.Is(err, refused) {
		t.Errorf("a rule of the program's: %v", err)
	}
}

// The issuers' keys of the moment decide.
func TestIssuersChangeWhileTheyAreUsed(t *testing.T) {
	f := newForger(t)
	issuers := new(Issuers)
	v := mustValidator(t, Options{Issuers: issuers, Audiences: []string{audience}, Accept: AnySubject, Now: atTestTime})
	leaf := f.leafOfJWT(f.jwt())
	calls := 0
	stop := issuers.Watch(func() { calls++ })
	check := func(what string, want error) {
		t.Helper()
		if err := v.ValidateLeaf(leaf, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	set := func(keys ...IssuerKey) {
		t.Helper()
		if err := issuers.Set(issuerName, keys...); err != nil {
			t.Fatal(err)
		}
	}
	public, other := f.issuer.Public(), newEd25519(t).Public()
	check("nobody", ErrIssuer)
	set(IssuerKey{"k1", public})
	check("the key", nil)
	set(IssuerKey{"k2", public})
	check("the key by another name", ErrIssuer)
	set(IssuerKey{"", other}, IssuerKey{"k1", newECDSA(t, elliptic.P256()).Public()}, IssuerKey{"", public})
	check("the key without a name, behind others", nil)
	set(IssuerKey{"k1", other})
	check("another key", ErrSignature)
	var many []IssuerKey
	for range maxTries {
		many = append(many, IssuerKey{"k1", other})
	}
	set(append(many, IssuerKey{"k1", public})...)
	check("the key behind too many", ErrSignature)
	set(IssuerKey{"k1", public})
	set()
	check("no key", ErrIssuer)
	set(IssuerKey{"k1", public})
	issuers.Remove(issuerName)
	check("removed", ErrIssuer)
	if calls != 9 {
		t.Errorf("%d changes were told of, want 9", calls)
	}
	stop()
	set(IssuerKey{"k1", public})
	if calls != 9 {
		t.Error("who watches no more is told")
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.PublicKey{
		"an RSA key of 1024 bits": small.Public(), "a secret": []byte("secret"), "none": nil, "P-224": newECDSA(t, elliptic.P224()).Public(),
	} {
		if err := issuers.Set(issuerName, IssuerKey{"", key}); !errors.Is(err, ErrKeyKind) {
			t.Errorf("%s: %v, want ErrKeyKind", name, err)
		}
	}
	private := newECDSA(t, elliptic.P256())
	for name, set := range map[string]string{
		"no JSON": "{", "no keys": `{"keys":[]}`, "a secret": `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"a private key": jwks(t, jose.JSONWebKey{Key: private}), "for encryption": jwks(t, jose.JSONWebKey{Key: private.Public(), Use: "enc"}),
	} {
		if err := issuers.SetJWKS(issuerName, []byte(set)); !errors.Is(err, ErrKeyKind) {
			t.Errorf("a JWK Set with %s: %v, want ErrKeyKind", name, err)
		}
	}
	check("after all that was wrong", nil)
}

func TestATokenExpiresWithItsKeyBinding(t *testing.T) {
	f := newForger(t)
	v := validatorFor(t, f)
	at := func(n int64) time.Time { return time.Unix(testTime.Unix()+n, 0) }
	for name, c := range map[string]struct {
		leaf *mls.LeafNode
		want time.Time
		err  error
	}{
		"by the token":    {f.leafOfJWT(f.jwt()), at(3600), nil},
		"by the binding":  {f.leafOfJWT(func() *forgedJWT { j := f.jwt(); j.claims2["exp"] = testTime.Unix() + 60; return j }()), at(60), nil},
		"both, the token": {f.leafOfJWT(func() *forgedJWT { j := f.jwt(); j.claims2["exp"] = testTime.Unix() + 9999; return j }()), at(3600), nil},
		"the binding alone": {f.leafOfJWT(func() *forgedJWT {
			j := f.jwt()
			delete(j.claims, "exp")
			j.claims2["exp"] = testTime.Unix() + 60
			return j
		}()), at(60), nil},
		"never":              {f.leafOfJWT(func() *forgedJWT { j := f.jwt(); delete(j.claims, "exp"); return j }()), time.Time{}, nil},
		"an SD-CWT":          {f.leafOfCWT(f.cwt()), at(3600), nil},
		"no token":           {&mls.LeafNode{Credential: mls.SDCWTCredential(nil)}, time.Time{}, ErrToken},
		"a basic credential": {&mls.LeafNode{Credential: mls.BasicCredential(nil)}, time.Time{}, mls.ErrCredentialType},
	} {
		if expiry, err := v.CredentialExpiry(&c.leaf.Credential); !expiry.Equal(c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", name, expiry, err, c.want, c.err)
		}
	}
}

// What a holder or an issuer cannot do is an error there, and not only at the peer.
func TestPresentChecksWhatAHolderCan(t *testing.T) {
	holder, other := newEd25519(t), newEd25519(t)
	for name, kind := range kinds {
		issuer := &Issuer{Name: issuerName, Signer: newEd25519(t)}
		tokenTemplate := template(holder.Public())
		tokenTemplate.Claims = map[any]any{"region": Hidden{map[string]any{"city": Hidden{"Ulm"}}}}
		issued := issue(t, issuer, kind, tokenTemplate)
		options := PresentOptions{Signer: holder, Audience: audience, Now: atTestTime}
		for what, c := range map[string]struct {
			change func(*Issued, *PresentOptions)
			want   error
		}{
			"another's token":       {func(_ *Issued, o *PresentOptions) { o.Signer = other }, ErrHolderKey},
			"a choice within":       {func(_ *Issued, o *PresentOptions) { o.Disclose = DiscloseNames("city") }, ErrDisclosure},
			"half a token":          {func(i *Issued, _ *PresentOptions) { i.Encoded = i.Encoded[:len(i.Encoded)/2] }, ErrToken},
			"a token that is large": {func(i *Issued, _ *PresentOptions) { i.Encoded = make([]byte, maxToken+1) }, ErrLimit},
			"a bound token":         {func(i *Issued, _ *PresentOptions) { i.Encoded = append(i.Encoded, "x"...) }, ErrToken},
			"no type":               {func(i *Issued, _ *PresentOptions) { i.Type = mls.CredentialX509 }, mls.ErrCredentialType},
			"a key of another kind": {func(_ *Issued, o *PresentOptions) { o.Signer = stranger{} }, ErrKeyKind},
		} {
			i, o := Issued{issued.Type, append([]byte(nil), issued.Encoded...)}, options
			c.change(&i, &o)
			if _, err := Present(i, o); !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %v, want %v", name, what, err, c.want)
			}
		}
		for _, o := range []PresentOptions{{Audience: audience}, {Signer: holder}} {
			if _, err := Present(issued, o); err == nil {
				t.Errorf("%s: presented with %+v", name, o)
			}
		}
		expiring := present(t, issued, PresentOptions{Signer: holder, Disclose: DiscloseNames("region"), Expiry: testTime.Add(time.Minute), Nonce: "the nonce"})
		p, err := parse(&expiring.Credential)
		if err != nil || p.binding.nonce != "the nonce" || !p.expiry().Equal(testTime.Add(time.Minute)) {
			t.Errorf("%s: %+v, %v", name, p.binding, err)
		}
		if region, ok := p.Claim("region"); !ok || reflect.ValueOf(region).Len() != 0 {
			t.Errorf("%s: the region is %v", name, region)
		}

		for what, change := range map[string]func(*Template){
			"no holder":             func(t *Template) { t.Holder = nil },
			"an RSA holder":         func(t *Template) { t.Holder = &rsa.PublicKey{} },
			"a P-224 holder":        func(tt *Template) { tt.Holder = newECDSA(t, elliptic.P224()).Public() },
			"a name of octets":      func(t *Template) { t.Claims = map[any]any{1.5: 1} },
			"hidden in nothing":     func(t *Template) { t.Claims = map[any]any{"a": Hidden{Hidden{1}}} },
			"a value of no meaning": func(t *Template) { t.Claims = map[any]any{"a": func() {}} },
		} {
			broken := template(holder.Public())
			change(&broken)
			issue := issuer.SDJWT
			if kind == mls.CredentialSDCWT {
				issue = issuer.SDCWT
			}
			if _, err := issue(broken); err == nil {
				t.Errorf("%s: issued with %s", name, what)
			}
		}
		for what, signer := range map[string]crypto.Signer{"no signer": nil, "a signer of another kind": stranger{}} {
			unable := &Issuer{Name: issuerName, Signer: signer}
			_, jwt := unable.SDJWT(template(holder.Public()))
			_, cwt := unable.SDCWT(template(holder.Public()))
			if !errors.Is(jwt, ErrKeyKind) || !errors.Is(cwt, ErrKeyKind) {
				t.Errorf("%s: %v, %v", what, jwt, cwt)
			}
		}
	}
}

// stranger has a key of a kind that nobody knows here, as ML-DSA is.
type stranger struct{ *ecdsa.PrivateKey }

func (stranger) Public() crypto.PublicKey { return struct{}{} }
