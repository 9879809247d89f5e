package mls

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mendlink/mendlink/internal/wire"
)

// Tokens of which the parts say nothing: what they say is not for this package.
const (
	bareToken     = "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln"
	disclosedSome = "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~WyJzYWx0IiwibmFtZSIsMV0~WyJzYWx0IiwyXQ~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln"
)

func mustParseSDJWT(t failer, text string) SDJWT {
	t.Helper()
	token, err := ParseSDJWT([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustCompact(t failer, token SDJWT) SDJWT {
	t.Helper()
	compacted, err := token.Compact()
	if err != nil {
		t.Fatal(err)
	}
	return compacted
}

// serialized and compacted return the forms of a token that names a client.
func serialized(t failer, name string) Credential {
	return SDJWTCredential(mustParseSDJWT(t, strings.Replace(disclosedSome, "cGF5bG9hZA", string(appendBase64URL(nil, []byte(name))), 1)))
}

func compacted(t failer, name string) Credential {
	return SDJWTCredential(mustCompact(t, *serialized(t, name).SDJWT))
}

// nameIn returns the name that a client of a test gave its credential.
func nameIn(t failer, c *Credential) string {
	t.Helper()
	switch c.Type {
	case CredentialSDCWT:
		return string(c.Data)
	case CredentialSDJWT:
		compacted := mustCompact(t, *c.SDJWT)
		return string(compacted.Payload)
	}
	bindings, err := c.Bindings()
	if err != nil {
		t.Fatal(err)
	}
	if bindings != nil { // of several credentials, the first
		c = &bindings[0].Credential
	}
	return string(c.Identity)
}

func TestBothFormsOfATokenAreTheSameToken(t *testing.T) {
	for text, disclosures := range map[string][]string{
		bareToken:     nil,
		disclosedSome: {`["salt","name",1]`, `["salt",2]`},
	} {
		token := mustParseSDJWT(t, text)
		c := mustCompact(t, token)
		want := SDJWT{Compacted: true, Protected: []byte("header"), Payload: []byte("payload"), Signature: []byte("signature"), KeyBinding: []byte("aGVhZGVy.a2V5LWJpbmRpbmc.c2ln")}
		for _, d := range disclosures {
			want.Disclosures = append(want.Disclosures, []byte(d))
		}
		if !c.Equal(&want) {
			t.Errorf("compacted it is %+v, want %+v", c, want)
		}
		back, err := c.Serialize()
		if err != nil || !back.Equal(&token) {
			t.Errorf("and back %q, %v, want %q", back.Serialized, err, text)
		}
		if again := mustCompact(t, c); !again.Equal(&c) {
			t.Errorf("compacted twice it is %+v", again)
		}
		if same, err := token.Serialize(); err != nil || !same.Equal(&token) {
			t.Errorf("serialized twice it is %q, %v", same.Serialized, err)
		}
		if token.Equal(&c) || c.Equal(&token) || token.Equal(nil) || !(*SDJWT)(nil).Equal(&SDJWT{}) || (&SDJWT{}).Equal(&SDJWT{Compacted: true}) {
			t.Error("Equal takes the forms for one, or a token for none")
		}
	}
}

// notSDJWTs are serialized tokens with one thing wrong.
var notSDJWTs = map[string]string{
	"nothing":                         "",
	"no tilde":                        "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl",
	"no key binding":                  "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~",
	"disclosures and no key binding":  "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~WyJzYWx0IiwyXQ~",
	"a key binding of two parts":      "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~aGVhZGVy.a2V5LWJpbmRpbmc",
	"a key binding that is unsigned":  "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~aGVhZGVy.a2V5LWJpbmRpbmc.",
	"a JWT of two parts":              "aGVhZGVy.cGF5bG9hZA~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"a JWT of four parts":             "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl.AA~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"a JWT that is unsigned":          "aGVhZGVy.cGF5bG9hZA.~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"an empty disclosure":             "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"padding":                         "aGVhZGVy.cGF5bG9hZA==.c2lnbmF0dXJl~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"bits that do not count":          "aGVhZGVy.cGF5bG9hZB.c2lnbmF0dXJl~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"a line break":                    "aGVhZGVy.cGF5bG9h\nZA.c2lnbmF0dXJl~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"a line break in a disclosure":    "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~WyJz\rYWx0IiwyXQ~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"characters of the other base64":  "aGVhZGVy.cGF5bG9hZA.++++~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"a dot in a disclosure":           "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~WyJz.YWx0~aGVhZGVy.a2V5LWJpbmRpbmc.c2ln",
	"a key binding that is no base64": "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl~aGVhZGVy.!.c2ln",
}

func TestWhatIsNoTokenIsNoneInEitherForm(t *testing.T) {
	for name, text := range notSDJWTs {
		if _, err := ParseSDJWT([]byte(text)); !errors.Is(err, ErrSDJWT) {
			t.Errorf("%s: %v, want ErrSDJWT", name, err)
		}
		token := SDJWT{Serialized: []byte(text)}
		if _, err := token.Serialize(); !errors.Is(err, ErrSDJWT) {
			t.Errorf("%s, as it is: %v, want ErrSDJWT", name, err)
		}
	}
	for name, spoil := range map[string]func(*SDJWT){
		"no header":               func(c *SDJWT) { c.Protected = nil },
		"no payload":              func(c *SDJWT) { c.Payload = nil },
		"no signature":            func(c *SDJWT) { c.Signature = nil },
		"an empty disclosure":     func(c *SDJWT) { c.Disclosures[1] = nil },
		"no key binding":          func(c *SDJWT) { c.KeyBinding = nil },
		"half a key binding":      func(c *SDJWT) { c.KeyBinding = c.KeyBinding[:9] },
		"a key binding and more":  func(c *SDJWT) { c.KeyBinding = append(c.KeyBinding, "~AA"...) },
		"a decoded key binding":   func(c *SDJWT) { c.KeyBinding = []byte(`{"alg":"EdDSA"}`) },
		"nothing in any field":    func(c *SDJWT) { *c = SDJWT{Compacted: true} },
		"a serialization instead": func(c *SDJWT) { *c = SDJWT{Compacted: true, Serialized: []byte(disclosedSome)} },
	} {
		c := mustCompact(t, mustParseSDJWT(t, disclosedSome))
		spoil(&c)
		if _, err := c.Serialize(); !errors.Is(err, ErrSDJWT) {
			t.Errorf("compacted, with %s: %v, want ErrSDJWT", name, err)
		}
		if _, err := c.Compact(); !errors.Is(err, ErrSDJWT) {
			t.Errorf("compacted again, with %s: %v, want ErrSDJWT", name, err)
		}
	}
}

// The encodings of the draft, octet by octet.
func TestWebTokensAreEncodedAsTheDraftSays(t *testing.T) {
	token := mustParseSDJWT(t, "aA.cA.cw~ZA~YQ.Yg.Yw")
	for name, c := range map[string]struct {
		credential Credential
		want       string
	}{
		"an SD-CWT":           {SDCWTCredential([]byte("token")), "\x00\x05" + "\x05token"},
		"an SD-JWT":           {SDJWTCredential(token), "\x00\x06" + "\x00" + "\x14aA.cA.cw~ZA~YQ.Yg.Yw"},
		"a compacted SD-JWT":  {SDJWTCredential(mustCompact(t, token)), "\x00\x06" + "\x01" + "\x01h\x01p\x01s" + "\x02\x01d" + "\x08YQ.Yg.Yw"},
		"an SD-JWT of nobody": {Credential{Type: CredentialSDJWT}, "\x00\x06\x00\x00"},
	} {
		encoded := c.credential.Marshal()
		wantEqual(t, name, encoded, []byte(c.want))
		if back, err := ParseCredential(encoded); err != nil || !back.Equal(c.credential) {
			t.Errorf("%s decodes as %+v, %v", name, back, err)
		}
	}
	for name, encoded := range map[string]string{
		"another Bool":              "\x00\x06\x02\x01h\x01p\x01s\x00\x05a.b.c",
		"no Bool":                   "\x00\x06",
		"a field is missing":        "\x00\x06\x01\x01h\x01p\x01s\x00",
		"a disclosure is cut":       "\x00\x06\x01\x01h\x01p\x01s\x02\x02d\x05a.b.c",
		"something comes behind":    "\x00\x06\x00\x01a\x00",
		"a length is not the least": "\x00\x05\x40\x01a",
	} {
		if _, err := ParseCredential([]byte(encoded)); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

// A leaf that was read keeps nothing of the message that it came in.
func TestTokensOfALeafHaveMemoryOfTheirOwn(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.credential = func(name string) Credential { return compacted(t, name) }
	c.invite(LeafOptions{})
	message := marshal(&c.invited[0].bundle.KeyPackage().LeafNode)
	var leaf LeafNode
	if err := unmarshalAliased(message, &leaf); err != nil {
		t.Fatal(err)
	}
	clear(message)
	if want := c.invited[0].id.Credential; !leaf.Credential.Equal(want) {
		t.Errorf("without the message the token is %+v, was %+v", leaf.Credential.SDJWT, want.SDJWT)
	}
}

// webTokenRefusals break the rule that an sd_jwt credential has its form and its key binding.
// draft-mahy-mls-sd-cwt-credential, Section 3.2.
func webTokenRefusals() []refusal {
	var list []refusal
	for _, venue := range []string{"add", "update", "commit", "join"} {
		for name, spoiled := range map[string]*SDJWT{
			"no key binding":            {Serialized: []byte(notSDJWTs["no key binding"])},
			"compacted, no key binding": {Compacted: true, Protected: []byte("h"), Payload: []byte("p"), Signature: []byte("s")},
			"nothing":                   nil,
		} {
			list = append(list, refusal{CheckCredentialSDJWT, name + " by " + venue, func(t *testing.T) error {
				return leafVenues[venue](strictCrowd(t), func(l *LeafNode, _ *Identity) {
					l.Credential = Credential{Type: CredentialSDJWT, SDJWT: spoiled}
					l.Capabilities.Credentials = []CredentialType{CredentialBasic, CredentialSDJWT}
				}, func(*LeafNode) {})
			}})
		}
	}
	slices.SortFunc(list, func(a, b refusal) int { return strings.Compare(a.name, b.name) })
	return append(list, refusal{CheckCredentialSDJWT, "an external sender without key binding", func(t *testing.T) error {
		c := newCrowd(t, suite1, 3)
		key, err := c.suite.SignaturePublicKey(c.members[0].id.Signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		sender := ExternalSender{SignatureKey: key, Credential: SDJWTCredential(SDJWT{Serialized: []byte("a.b.c~")})}
		return c.refusedProposals(&GroupContextExtensions{Extensions{ExternalSenders(sender)}})
	}})
}

// Members with tokens come and go, update and heal, and are restarted: like any others.
func TestRandomHistoriesOfMembersWithWebTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]CredentialType{CredentialSDCWT, CredentialSDJWT}).Draw(t, "type")
		c := emptyCrowd(t, suite1)
		c.credential = func(name string) Credential {
			switch {
			case kind == CredentialSDCWT:
				return SDCWTCredential([]byte(name))
			case c.made%2 == 0:
				return compacted(t, name)
			}
			return serialized(t, name)
		}
		c.found(GroupOptions{Extensions: Extensions{(&RequiredCapabilities{Credentials: []CredentialType{kind}}).Extension()}})
		c.add(0, rapid.IntRange(1, 3).Draw(t, "members"))
		for range rapid.IntRange(1, 3).Draw(t, "epochs") {
			randomEpoch(t, c)
		}
		c.restart()
		for _, m := range c.members {
			for _, other := range c.members {
				leaf := other.g.tree.leafNode(other.g.own)
				if seen := m.g.tree.leafNode(other.g.own); seen.Credential.Type != kind || !seen.Credential.Equal(leaf.Credential) {
					t.Errorf("%s sees %+v of %s, which shows %+v", m.name, seen.Credential, other.name, leaf.Credential)
				}
			}
		}
		c.checkMessages()
	})
}

// Clients keep their groups of members with tokens over restarts.
func TestAGroupOfWebTokensLivesOnStoredStates(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1), restarting: true}
	f.credential = func(name string) Credential { return compacted(t, name) }
	f.found(3)
	f.checkMessages()
	next := compacted(t, "another token of device 1")
	changes := f.devices[1].newKey()
	changes.Identity.Credential = next
	f.commit(1, CommitOptions{Leaf: changes})
	f.checkMessages()
	for _, d := range f.devices {
		members := d.view().Members()
		if n := slices.IndexFunc(members, func(m Member) bool { return m.Leaf.Credential.Equal(next) }); n != 1 {
			t.Errorf("%d of %d members has the new token, want the one at 1", n, len(members))
		}
	}
}

// expiring is an AuthenticationService that knows when credentials expire.
type expiring struct{ acceptAll }

func (expiring) CredentialTypes() []CredentialType { return []CredentialType{CredentialSDJWT} }

func (expiring) CredentialExpiry(*Credential) (time.Time, error) { return testTime, nil }

func TestAMuxReadsCredentialsByType(t *testing.T) {
	mux := CredentialMux{CredentialSDJWT: expiring{}, CredentialBasic: acceptAll{}, CredentialX509: acceptAll{}}
	if types := mux.CredentialTypes(); !slices.Equal(types, []CredentialType{CredentialBasic, CredentialX509, CredentialSDJWT}) {
		t.Errorf("types are %v", types)
	}
	for kind, want := range map[CredentialType]time.Time{CredentialSDJWT: testTime, CredentialBasic: {}, CredentialSDCWT: {}} {
		if at, err := mux.CredentialExpiry(&Credential{Type: kind}); err != nil || !at.Equal(want) {
			t.Errorf("type %d expires at %v, %v; want %v", kind, at, err, want)
		}
	}
}

// Whatever comes as a credential encodes to what it was, and its forms lead to one another.
func FuzzWebToken(f *testing.F) {
	for _, c := range []Credential{serialized(f, "client"), compacted(f, "client"), SDCWTCredential([]byte("token")), {Type: CredentialSDJWT}} {
		f.Add(marshal(&c))
	}
	for _, text := range notSDJWTs {
		c := SDJWTCredential(SDJWT{Serialized: []byte(text)})
		f.Add(marshal(&c))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Credential
		r := wire.NewReader(data)
		if c.decode(r); r.Finish() != nil {
			return
		}
		wantEqual(t, "encoded credential", marshal(&c), data)
		if c.Type != CredentialSDJWT {
			return
		}
		compacted, err := c.SDJWT.Compact()
		text, failed := c.SDJWT.Serialize()
		if (err == nil) != (failed == nil) || (err == nil) != (c.verifyWebToken() == nil) {
			t.Fatalf("compacting: %v; serializing: %v; verifying: %v", err, failed, c.verifyWebToken())
		}
		if err != nil {
			return
		}
		back, err := compacted.Serialize()
		if err != nil || !bytes.Equal(back.Serialized, text.Serialized) {
			t.Errorf("%q becomes %q, %v", text.Serialized, back.Serialized, err)
		}
		if again := mustCompact(t, text); !again.Equal(&compacted) {
			t.Errorf("%+v becomes %+v", compacted, again)
		}
	})
}
