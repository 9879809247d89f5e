package webtoken

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/mendlink/mendlink/mls"
)

// validatorFor accepts what a forger makes in order.
func validatorFor(t testing.TB, f *forger) *Validator {
	t.Helper()
	return mustValidator(t, Options{Issuers: trusting(t, f.issuer.Public()), Audiences: []string{audience, "mesh-2"}, Accept: AnySubject, Now: atTestTime})
}

// nested returns levels of maps, one in the other.
func nested(levels int) any {
	var value any = true
	for range levels {
		value = map[string]any{"a": value}
	}
	return value
}

// Each JWT that is wrong in one way is refused for that; nil is one that is in order.
func TestEachSpoiltSDJWTIsRefused(t *testing.T) {
	f := newForger(t)
	v := validatorFor(t, f)
	other := newEd25519(t)
	for name, c := range map[string]struct {
		spoil func(*forgedJWT)
		want  error
	}{
		"in order":                    {func(j *forgedJWT) {}, nil},
		"with disclosures":            {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","role","db"]`), "decoy"} }, nil},
		"a hidden subject, disclosed": {func(j *forgedJWT) { delete(j.claims, "sub"); j.claims["_sd"] = []any{j.hide(`["s","sub","db-7"]`)} }, nil},
		"an ordinary JWT":             {func(j *forgedJWT) { j.header["typ"] = "JWT" }, nil},
		"without a typ":               {func(j *forgedJWT) { delete(j.header, "typ") }, nil},
		"without a kid":               {func(j *forgedJWT) { delete(j.header, "kid") }, nil},
		"another hash": {func(j *forgedJWT) {
			j.hash, j.claims["_sd_alg"] = crypto.SHA512, "sha-512"
			j.claims["_sd"] = []any{j.hide(`["s","a",1]`)}
		}, nil},
		"for several":    {func(j *forgedJWT) { j.claims["aud"] = []any{"others", "mesh-2"} }, nil},
		"a JWT-SVID":     {func(j *forgedJWT) { delete(j.claims, "iss"); j.claims["sub"] = "spiffe://example.org/db" }, ErrIssuer},
		"16 levels":      {func(j *forgedJWT) { j.claims["deep"] = nested(14) }, nil},
		"a decimal date": {func(j *forgedJWT) { j.claims["exp"] = float64(testTime.Unix()) + 0.5 }, nil},

		// The form.
		"no key binding":                      {func(j *forgedJWT) { j.change = func(s string) string { return s[:strings.LastIndexByte(s, '~')+1] } }, ErrToken},
		"no base64":                           {func(j *forgedJWT) { j.change = func(s string) string { return "!" + s } }, ErrToken},
		"claims that are no JSON":             {func(j *forgedJWT) { j.rawClaims = "{" }, ErrToken},
		"claims that are null":                {func(j *forgedJWT) { j.rawClaims = "null" }, ErrToken},
		"claims that are an array":            {func(j *forgedJWT) { j.rawClaims = "[]" }, ErrToken},
		"claims and more":                     {func(j *forgedJWT) { j.rawClaims = f.marshal(j.claims) + "{}" }, ErrToken},
		"a claim twice":                       {func(j *forgedJWT) { j.rawClaims = strings.Replace(f.marshal(j.claims), "{", `{"sub":"x",`, 1) }, ErrToken},
		"a nested claim twice":                {func(j *forgedJWT) { j.rawClaims = strings.Replace(f.marshal(j.claims), "{", `{"x":{"a":1,"a":2},`, 1) }, ErrToken},
		"crit":                                {func(j *forgedJWT) { j.header["crit"] = []any{"exp"} }, ErrToken},
		"b64":                                 {func(j *forgedJWT) { j.header["crit"], j.header["b64"] = []any{"b64"}, false }, ErrToken},
		"a kid that is a number":              {func(j *forgedJWT) { j.header["kid"] = 1 }, ErrToken},
		"a typ that is a number":              {func(j *forgedJWT) { j.header["typ"] = 1 }, ErrToken},
		"a key binding as the token":          {func(j *forgedJWT) { j.header["typ"] = "kb+jwt" }, ErrToken},
		"a key binding as the token, in full": {func(j *forgedJWT) { j.header["typ"] = "application/KB+JWT" }, ErrToken},

		// Algorithms and the issuer's signature.
		"none":                  {func(j *forgedJWT) { j.header["alg"] = "none" }, ErrAlgorithm},
		"None":                  {func(j *forgedJWT) { j.header["alg"] = "None" }, ErrAlgorithm},
		"no alg":                {func(j *forgedJWT) { delete(j.header, "alg") }, ErrAlgorithm},
		"HMAC":                  {func(j *forgedJWT) { j.header["alg"] = "HS256" }, ErrAlgorithm},
		"an alg for other keys": {func(j *forgedJWT) { j.header["alg"] = "ES256" }, ErrAlgorithm},
		"RSA":                   {func(j *forgedJWT) { j.header["alg"] = "RS256" }, ErrAlgorithm},
		"ML-DSA":                {func(j *forgedJWT) { j.header["alg"] = "ML-DSA-65" }, ErrAlgorithm},
		"HMAC with the public key": {func(j *forgedJWT) {
			j.header["alg"] = "HS256"
			j.change = func(s string) string {
				parts := strings.SplitN(s, ".", 3)
				mac := hmac.New(sha256.New, f.issuer[32:])
				mac.Write([]byte(parts[0] + "." + parts[1]))
				_, rest, _ := strings.Cut(parts[2], "~")
				return parts[0] + "." + parts[1] + "." + base64URL(mac.Sum(nil)) + "~" + rest
			}
		}, ErrAlgorithm},
		"somebody else's signature": {func(j *forgedJWT) { j.issuer = other }, ErrSignature},
		"a key in the header": {func(j *forgedJWT) {
			key, err := publicJWK(other.Public())
			if err != nil {
				t.Fatal(err)
			}
			j.issuer, j.header["jwk"] = other, key
		}, ErrSignature},
		"another issuer":        {func(j *forgedJWT) { j.claims["iss"] = "https://other.example" }, ErrIssuer},
		"no issuer":             {func(j *forgedJWT) { delete(j.claims, "iss") }, ErrToken},
		"an issuer of a number": {func(j *forgedJWT) { j.claims["iss"] = 1 }, ErrToken},
		"an unknown key":        {func(j *forgedJWT) { j.header["kid"] = "k2" }, ErrIssuer},
		"no subject":            {func(j *forgedJWT) { delete(j.claims, "sub") }, ErrToken},
		"a hidden subject":      {func(j *forgedJWT) { delete(j.claims, "sub"); j.claims["_sd"] = []any{"x"} }, ErrToken},

		// Disclosures.
		"an unknown hash":              {func(j *forgedJWT) { j.claims["_sd_alg"] = "sha3-256" }, ErrAlgorithm},
		"a weak hash":                  {func(j *forgedJWT) { j.claims["_sd_alg"] = "md5" }, ErrAlgorithm},
		"a hash of a number":           {func(j *forgedJWT) { j.claims["_sd_alg"] = 256 }, ErrAlgorithm},
		"a disclosure without a place": {func(j *forgedJWT) { j.hide(`["s","a",1]`) }, ErrDisclosure},
		"one disclosure twice":         {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","a",1]`)}; j.hide(`["s","a",1]`) }, ErrDisclosure},
		"a digest twice":               {func(j *forgedJWT) { d := j.hide(`["s","a",1]`); j.claims["_sd"] = []any{d, d} }, ErrDisclosure},
		"a decoy twice":                {func(j *forgedJWT) { j.claims["_sd"] = []any{"d"}; j.claims["list"] = []any{map[string]any{"...": "d"}} }, ErrDisclosure},
		"a digest twice, one within a disclosure": {func(j *forgedJWT) {
			inner := j.hide(`["s","a",1]`)
			j.claims["_sd"] = []any{inner, j.hide(`["s","b",{"_sd":["` + inner + `"]}]`)}
		}, ErrDisclosure},
		"a name that is there":           {func(j *forgedJWT) { j.claims["a"], j.claims["_sd"] = 0, []any{j.hide(`["s","a",1]`)} }, ErrDisclosure},
		"two of one name":                {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","a",1]`), j.hide(`["t","a",2]`)} }, ErrDisclosure},
		"the name _sd":                   {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","_sd",["x"]]`)} }, ErrDisclosure},
		"the name ...":                   {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","...","x"]`)} }, ErrDisclosure},
		"the name _sd_alg":               {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","_sd_alg","sha-256"]`)} }, ErrDisclosure},
		"a name that is a number":        {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s",1,1]`)} }, ErrDisclosure},
		"a salt that is a number":        {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`[1,"a",1]`)} }, ErrDisclosure},
		"a member without a name":        {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s",1]`)} }, ErrDisclosure},
		"an element with a name":         {func(j *forgedJWT) { j.claims["list"] = []any{map[string]any{"...": j.hide(`["s","a",1]`)}} }, ErrDisclosure},
		"a disclosure of one":            {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s"]`)} }, ErrDisclosure},
		"a disclosure of four":           {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","a",1,2]`)} }, ErrDisclosure},
		"a disclosure that is an object": {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`{"a":1}`)} }, ErrDisclosure},
		"a disclosure that is no JSON":   {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s"`)} }, ErrDisclosure},
		"a disclosure and more":          {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","a",1]1`)} }, ErrDisclosure},
		"_sd that is a string":           {func(j *forgedJWT) { j.claims["_sd"] = "x" }, ErrDisclosure},
		"_sd of numbers":                 {func(j *forgedJWT) { j.claims["_sd"] = []any{1} }, ErrDisclosure},
		"... beside something":           {func(j *forgedJWT) { j.claims["list"] = []any{map[string]any{"...": "x", "a": 1}} }, ErrDisclosure},
		"... that is a number":           {func(j *forgedJWT) { j.claims["list"] = []any{map[string]any{"...": 1}} }, ErrDisclosure},
		"... outside of an array":        {func(j *forgedJWT) { j.claims["x"] = map[string]any{"...": "x"} }, ErrDisclosure},
		"_sd_alg within":                 {func(j *forgedJWT) { j.claims["x"] = map[string]any{"_sd_alg": "sha-256"} }, ErrDisclosure},
		"a hidden issuer": {func(j *forgedJWT) {
			delete(j.claims, "iss")
			j.claims["_sd"] = []any{j.hide(`["s","iss","` + issuerName + `"]`)}
		}, ErrDisclosure},
		"a hidden expiry":    {func(j *forgedJWT) { delete(j.claims, "exp"); j.claims["_sd"] = []any{j.hide(`["s","exp",4000000000]`)} }, ErrDisclosure},
		"a hidden audience":  {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","aud","mesh"]`)} }, ErrDisclosure},
		"a hidden beginning": {func(j *forgedJWT) { j.claims["_sd"] = []any{j.hide(`["s","nbf",1]`)} }, ErrDisclosure},
		"a hidden key": {func(j *forgedJWT) {
			cnf := f.marshal(j.claims["cnf"])
			delete(j.claims, "cnf")
			j.claims["_sd"] = []any{j.hide(`["s","cnf",` + cnf + `]`)}
		}, ErrDisclosure},

		// The holder's key.
		"no cnf":           {func(j *forgedJWT) { delete(j.claims, "cnf") }, ErrToken},
		"a cnf with a kid": {func(j *forgedJWT) { j.claims["cnf"] = map[string]any{"kid": "x"} }, ErrToken},
		"a symmetric key":  {func(j *forgedJWT) { j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "oct", "k": "AAAA"}} }, ErrKeyKind},
		"a private key": {func(j *forgedJWT) {
			j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64URL(f.holder[32:]), "d": base64URL(f.holder[:32])}}
		}, ErrKeyKind},
		"a key that is a string": {func(j *forgedJWT) { j.claims["cnf"] = map[string]any{"jwk": "x"} }, ErrKeyKind},
		"an X25519 key": {func(j *forgedJWT) {
			j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "OKP", "crv": "X25519", "x": base64URL(f.holder[32:])}}
		}, ErrKeyKind},
		"an ML-DSA key": {func(j *forgedJWT) {
			j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "AKP", "alg": "ML-DSA-65", "pub": base64URL(make([]byte, 1952))}}
		}, ErrKeyKind},
		"an RSA key": {func(j *forgedJWT) {
			j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "RSA", "e": "AQAB", "n": base64URL(bytes.Repeat([]byte{0xff}, 256))}}
		}, ErrKeyKind},
		"a key off the curve": {func(j *forgedJWT) {
			j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": base64URL(bytes.Repeat([]byte{1}, 32)), "y": base64URL(bytes.Repeat([]byte{1}, 32))}}
		}, ErrKeyKind},
		"a key for another alg": {func(j *forgedJWT) {
			j.claims["cnf"] = map[string]any{"jwk": map[string]any{"kty": "OKP", "crv": "Ed25519", "alg": "ES256", "x": base64URL(f.holder[32:])}}
		}, ErrAlgorithm},
		"another leaf":              {func(j *forgedJWT) { j.leaf = encoded(t, other.Public()) }, ErrHolderKey},
		"a leaf of another kind":    {func(j *forgedJWT) { j.leaf = encoded(t, newECDSA(t, elliptic.P256()).Public()) }, ErrHolderKey},
		"a leaf with an ML-DSA key": {func(j *forgedJWT) { j.leaf = make([]byte, 1952) }, ErrHolderKey},

		// The key binding.
		"bound by somebody else":       {func(j *forgedJWT) { j.holder = other }, ErrSignature},
		"bound by the issuer":          {func(j *forgedJWT) { j.holder = j.issuer }, ErrSignature},
		"bound with none":              {func(j *forgedJWT) { j.header2["alg"] = "none" }, ErrAlgorithm},
		"bound with HMAC":              {func(j *forgedJWT) { j.header2["alg"] = "HS512" }, ErrAlgorithm},
		"bound with another algorithm": {func(j *forgedJWT) { j.header2["alg"] = "ES256" }, ErrAlgorithm},
		"bound with crit":              {func(j *forgedJWT) { j.header2["crit"] = []any{"x"} }, ErrToken},
		"a binding of no type":         {func(j *forgedJWT) { delete(j.header2, "typ") }, ErrBinding},
		"a binding of another type":    {func(j *forgedJWT) { j.header2["typ"] = "JWT" }, ErrBinding},
		"another audience":             {func(j *forgedJWT) { j.claims2["aud"] = "others" }, ErrAudience},
		"two audiences":                {func(j *forgedJWT) { j.claims2["aud"] = []any{audience, "others"} }, ErrBinding},
		"no audience":                  {func(j *forgedJWT) { delete(j.claims2, "aud") }, ErrBinding},
		"no nonce":                     {func(j *forgedJWT) { delete(j.claims2, "nonce") }, ErrBinding},
		"a nonce that is a number":     {func(j *forgedJWT) { j.claims2["nonce"] = 1 }, ErrBinding},
		"no time of binding":           {func(j *forgedJWT) { delete(j.claims2, "iat") }, ErrBinding},
		"a time of binding in words":   {func(j *forgedJWT) { j.claims2["iat"] = "now" }, ErrBinding},
		"another token's binding":      {func(j *forgedJWT) { j.claims2["sd_hash"] = base64URL(make([]byte, 32)) }, ErrBinding},
		"an sd_hash that is a number":  {func(j *forgedJWT) { j.claims2["sd_hash"] = 1 }, ErrBinding},
		"a disclosure taken away": {func(j *forgedJWT) {
			j.claims["_sd"] = []any{j.hide(`["s","a",1]`)}
			j.change = func(s string) string { parts := strings.Split(s, "~"); return parts[0] + "~" + parts[2] }
		}, ErrBinding},
		"a disclosure put in": {func(j *forgedJWT) {
			d := j.hide(`["s","a",1]`)
			j.disclosures, j.claims["_sd"] = nil, []any{d}
			j.change = func(s string) string { return strings.Replace(s, "~", "~"+base64URL([]byte(`["s","a",1]`))+"~", 1) }
		}, ErrBinding},

		// Whom and when it is for.
		"a token for others":           {func(j *forgedJWT) { j.claims["aud"] = "others" }, ErrAudience},
		"a token for nobody":           {func(j *forgedJWT) { j.claims["aud"] = []any{} }, ErrAudience},
		"an audience of numbers":       {func(j *forgedJWT) { j.claims["aud"] = []any{1} }, ErrToken},
		"an audience that is a number": {func(j *forgedJWT) { j.claims["aud"] = 1 }, ErrToken},
		"no expiry":                    {func(j *forgedJWT) { delete(j.claims, "exp") }, ErrExpired},
		"expired now":                  {func(j *forgedJWT) { j.claims["exp"] = testTime.Unix() }, ErrExpired},
		"an expiry in words":           {func(j *forgedJWT) { j.claims["exp"] = "never" }, ErrToken},
		"an expiry beyond all numbers": {func(j *forgedJWT) { j.rawClaims = strings.Replace(f.marshal(j.claims), "{", `{"nbf":1e999,`, 1) }, ErrToken},
		"an expiry beyond all dates":   {func(j *forgedJWT) { j.claims["exp"] = 1e17 }, ErrToken},
		"not yet":                      {func(j *forgedJWT) { j.claims["nbf"] = testTime.Unix() + 61 }, ErrNotYet},
		"issued later":                 {func(j *forgedJWT) { j.claims["iat"] = testTime.Unix() + 61 }, ErrNotYet},
		"bound later":                  {func(j *forgedJWT) { j.claims2["iat"] = testTime.Unix() + 61 }, ErrNotYet},
		"a binding for later":          {func(j *forgedJWT) { j.claims2["nbf"] = testTime.Unix() + 61 }, ErrNotYet},
		"a binding that has expired":   {func(j *forgedJWT) { j.claims2["exp"] = testTime.Unix() }, ErrExpired},
		"a clock that is a bit ahead":  {func(j *forgedJWT) { j.claims["iat"], j.claims2["iat"] = testTime.Unix()+60, testTime.Unix()+60 }, nil},

		// Limits.
		"too large": {func(j *forgedJWT) { j.claims["x"] = strings.Repeat("x", maxToken) }, ErrLimit},
		"17 levels": {func(j *forgedJWT) { j.claims["deep"] = nested(16) }, ErrLimit},
		"17 levels, the last disclosed": {func(j *forgedJWT) {
			j.claims["_sd"] = []any{j.hide(`["s","deep",` + f.marshal(nested(16)) + `]`)}
		}, ErrLimit},
		"17 levels of arrays": {func(j *forgedJWT) { j.claims["deep"] = rawJSON(strings.Repeat("[", 17) + strings.Repeat("]", 17)) }, ErrLimit},
		"too many disclosures": {func(j *forgedJWT) {
			var all []any
			for i := range maxDisclosures + 1 {
				all = append(all, j.hide(fmt.Sprintf(`["s","n%d",1]`, i)))
			}
			j.claims["_sd"] = all
		}, ErrLimit},
		"as many disclosures as can be": {func(j *forgedJWT) {
			var all []any
			for i := range maxDisclosures {
				all = append(all, j.hide(fmt.Sprintf(`["s","n%d",1]`, i)))
			}
			j.claims["_sd"] = all
		}, nil},
	} {
		j := f.jwt()
		c.spoil(j)
		leaf := f.leafOfJWT(j)
		if err := v.ValidateLeaf(leaf, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		// The other form is refused alike.
		if compacted, err := leaf.Credential.SDJWT.Compact(); err == nil {
			leaf.Credential.SDJWT = &compacted
			if err := v.ValidateLeaf(leaf, nil); !errors.Is(err, c.want) {
				t.Errorf("%s, compacted: %v, want %v", name, err, c.want)
			}
		} else if c.want == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each CWT that is wrong in one way is refused for that; nil is one that is in order.
func TestEachSpoiltSDCWTIsRefused(t *testing.T) {
	f := newForger(t)
	v := validatorFor(t, f)
	other := newEd25519(t)
	hidden := func(digests ...[]byte) any { return digests }
	key := func(members map[any]any) map[any]any { return map[any]any{1: members} }
	for name, c := range map[string]struct {
		spoil func(*forgedCWT)
		want  error
	}{
		"in order":                    {func(c *forgedCWT) {}, nil},
		"with disclosures":            {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, "db", "role"), []byte("decoy")) }, nil},
		"with an element":             {func(c *forgedCWT) { c.claims[500] = []any{cbor.Tag{Number: 60, Content: f.hide(c, salt, "db")}} }, nil},
		"with a decoy that is shown":  {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt)) }, nil},
		"a hidden subject, disclosed": {func(c *forgedCWT) { delete(c.claims, 2); c.claims[hiddenKeys] = hidden(f.hide(c, salt, "db-7", 2)) }, nil},
		"an ordinary CWT":             {func(c *forgedCWT) { c.header[16] = 61 }, nil},
		"without a typ":               {func(c *forgedCWT) { delete(c.header, 16) }, nil},
		"types in words":              {func(c *forgedCWT) { c.header[16], c.header2[16] = "application/sd-cwt", "application/kb+cwt" }, nil},
		"a special SD-CWT":            {func(c *forgedCWT) { c.header[16] = "application/example+sd-cwt" }, nil},
		"without a kid":               {func(c *forgedCWT) { delete(c.header, 4) }, nil},
		"fully specified algorithms":  {func(c *forgedCWT) { c.header[1], c.header2[1] = -19, -19 }, nil},
		"a cti instead of a time":     {func(c *forgedCWT) { delete(c.claims2, 6); c.claims2[7] = []byte("id") }, nil},
		"a decimal date":              {func(c *forgedCWT) { c.claims[4] = float64(testTime.Unix()) + 0.5 }, nil},
		"a simple value and a tag":    {func(c *forgedCWT) { c.claims[500] = []any{cbor.SimpleValue(99), cbor.Tag{Number: 1000, Content: "x"}} }, nil},

		// The form.
		"nothing":                     {func(c *forgedCWT) { c.change = func([]byte) []byte { return nil } }, ErrToken},
		"no CBOR":                     {func(c *forgedCWT) { c.change = func(b []byte) []byte { return b[:len(b)-1] } }, ErrToken},
		"something behind":            {func(c *forgedCWT) { c.change = func(b []byte) []byte { return append(b, 0) } }, ErrToken},
		"no tag":                      {func(c *forgedCWT) { c.change = func(b []byte) []byte { return b[1:] } }, ErrToken},
		"claims that are no map":      {func(c *forgedCWT) { c.rawClaims = f.cbor([]any{1}) }, ErrToken},
		"claims that are null":        {func(c *forgedCWT) { c.rawClaims = []byte{0xf6} }, ErrToken},
		"a claim twice":               {func(c *forgedCWT) { c.rawClaims = []byte{0xa2, 1, 1, 1, 2} }, ErrToken},
		"one number in two encodings": {func(c *forgedCWT) { c.rawClaims = []byte{0xa2, 1, 1, 0x18, 1, 2} }, ErrToken},
		"an indefinite length":        {func(c *forgedCWT) { c.rawClaims = []byte{0xbf, 1, 1, 0xff} }, ErrToken},
		"a map key that is octets":    {func(c *forgedCWT) { c.claims[500] = map[any]any{cbor.ByteString("x"): 1} }, ErrToken},
		"a map key that is true":      {func(c *forgedCWT) { c.claims[500] = map[any]any{true: 1} }, ErrToken},
		"another simple map key":      {func(c *forgedCWT) { c.claims[cbor.SimpleValue(60)] = 1 }, ErrToken},
		"a map key of 256 octets":     {func(c *forgedCWT) { c.claims[strings.Repeat("k", 256)] = 1 }, ErrToken},
		"a map key that is to be hidden": {func(c *forgedCWT) {
			c.rawClaims = append([]byte{0xa1, 0xd8, 58, 1}, 1)
		}, ErrToken},
		"an element to be hidden":  {func(c *forgedCWT) { c.claims[500] = []any{cbor.Tag{Number: 58, Content: 1}} }, ErrToken},
		"an element to be a decoy": {func(c *forgedCWT) { c.claims[500] = []any{cbor.Tag{Number: 62, Content: 1}} }, ErrToken},
		"something hidden in a tag": {func(c *forgedCWT) {
			c.claims[500] = cbor.Tag{Number: 1000, Content: []any{cbor.Tag{Number: 60, Content: []byte("x")}}}
		}, ErrToken},
		"hidden outside of an array":   {func(c *forgedCWT) { c.claims[500] = cbor.Tag{Number: 60, Content: []byte("x")} }, ErrToken},
		"crit":                         {func(c *forgedCWT) { c.header[2] = []any{16} }, ErrToken},
		"claims in the header":         {func(c *forgedCWT) { c.header[15] = map[any]any{2: "x"} }, ErrToken},
		"a key binding as the token":   {func(c *forgedCWT) { c.header[16] = 294 }, ErrToken},
		"another type":                 {func(c *forgedCWT) { c.header[16] = 99 }, ErrToken},
		"an ordinary CWT that hides":   {func(c *forgedCWT) { c.header[16] = 61; c.claims[hiddenKeys] = hidden([]byte("x")) }, ErrToken},
		"one without a typ that hides": {func(c *forgedCWT) { delete(c.header, 16); c.claims[hiddenKeys] = hidden([]byte("x")) }, ErrToken},
		"a kid that is a text":         {func(c *forgedCWT) { c.header[4] = "k1" }, ErrToken},

		// Algorithms and the issuer's signature.
		"no alg":                    {func(c *forgedCWT) { delete(c.header, 1) }, ErrAlgorithm},
		"HMAC":                      {func(c *forgedCWT) { c.header[1] = 5 }, ErrAlgorithm},
		"an alg for other keys":     {func(c *forgedCWT) { c.header[1] = -7 }, ErrAlgorithm},
		"RSA":                       {func(c *forgedCWT) { c.header[1] = -257 }, ErrAlgorithm},
		"ML-DSA":                    {func(c *forgedCWT) { c.header[1] = -49 }, ErrAlgorithm},
		"an alg in words":           {func(c *forgedCWT) { c.header[1] = "none" }, ErrAlgorithm},
		"somebody else's signature": {func(c *forgedCWT) { c.issuer = other }, ErrSignature},
		"another issuer":            {func(c *forgedCWT) { c.claims[1] = "https://other.example" }, ErrIssuer},
		"no issuer":                 {func(c *forgedCWT) { delete(c.claims, 1) }, ErrToken},
		"an unknown key":            {func(c *forgedCWT) { c.header[4] = []byte("k2") }, ErrIssuer},
		"no subject":                {func(c *forgedCWT) { delete(c.claims, 2) }, ErrToken},

		// Disclosures.
		"an unknown hash":              {func(c *forgedCWT) { c.header[170] = -14 }, ErrAlgorithm},
		"a hash in words":              {func(c *forgedCWT) { c.header[170] = "sha-256" }, ErrAlgorithm},
		"no disclosures in a list":     {func(c *forgedCWT) { c.unprotected[17] = []any{} }, ErrDisclosure},
		"no encrypted ones in a list":  {func(c *forgedCWT) { c.unprotected[171] = []any{} }, ErrDisclosure},
		"disclosures that are no list": {func(c *forgedCWT) { c.unprotected[17] = 1 }, ErrDisclosure},
		"a disclosure that is a text":  {func(c *forgedCWT) { c.unprotected[17] = []any{"x"} }, ErrDisclosure},
		"a disclosure without a place": {func(c *forgedCWT) { f.hide(c, salt, 1, "a") }, ErrDisclosure},
		"one disclosure twice":         {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, 1, "a")); f.hide(c, salt, 1, "a") }, ErrDisclosure},
		"a digest twice":               {func(c *forgedCWT) { d := f.hide(c, salt, 1, "a"); c.claims[hiddenKeys] = hidden(d, d) }, ErrDisclosure},
		"a name that is there":         {func(c *forgedCWT) { c.claims["a"], c.claims[hiddenKeys] = 0, hidden(f.hide(c, salt, 1, "a")) }, ErrDisclosure},
		"a number that is there":       {func(c *forgedCWT) { c.claims[500], c.claims[hiddenKeys] = 0, hidden(f.hide(c, salt, 1, 500)) }, ErrDisclosure},
		"a name that is octets":        {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, 1, []byte("a"))) }, ErrToken},
		"a name that is simple(59)":    {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, []any{}, hiddenKeys)) }, ErrToken},
		"a short salt":                 {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt[1:], 1, "a")) }, ErrDisclosure},
		"a salt that is a text":        {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, string(salt), 1, "a")) }, ErrDisclosure},
		"a member without a name":      {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, 1)) }, ErrDisclosure},
		"an element with a name":       {func(c *forgedCWT) { c.claims[500] = []any{cbor.Tag{Number: 60, Content: f.hide(c, salt, 1, "a")}} }, ErrDisclosure},
		"a disclosure of none":         {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c)) }, ErrDisclosure},
		"a disclosure of four":         {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, 1, "a", 2)) }, ErrDisclosure},
		"a disclosure and more":        {func(c *forgedCWT) { f.hide(c, salt, 1, "a"); c.disclosures[0] = append(c.disclosures[0], 0) }, ErrDisclosure},
		"simple(59) with a text":       {func(c *forgedCWT) { c.claims[hiddenKeys] = "x" }, ErrDisclosure},
		"simple(59) with texts":        {func(c *forgedCWT) { c.claims[hiddenKeys] = []any{"x"} }, ErrDisclosure},
		"tag 60 with a text":           {func(c *forgedCWT) { c.claims[500] = []any{cbor.Tag{Number: 60, Content: "x"}} }, ErrDisclosure},
		"a hidden expiry": {func(c *forgedCWT) {
			delete(c.claims, 4)
			c.claims[hiddenKeys] = hidden(f.hide(c, salt, int64(4000000000), 4))
		}, ErrDisclosure},
		"a hidden key": {func(c *forgedCWT) {
			cnf := c.claims[8]
			delete(c.claims, 8)
			c.claims[hiddenKeys] = hidden(f.hide(c, salt, cnf, 8))
		}, ErrDisclosure},
		"a hidden cti": {func(c *forgedCWT) { c.claims[hiddenKeys] = hidden(f.hide(c, salt, []byte("x"), 7)) }, ErrDisclosure},

		// The holder's key.
		"no cnf":                  {func(c *forgedCWT) { delete(c.claims, 8) }, ErrToken},
		"a cnf with a thumbprint": {func(c *forgedCWT) { c.claims[8] = map[any]any{5: []byte("x")} }, ErrToken},
		"a symmetric key":         {func(c *forgedCWT) { c.claims[8] = key(map[any]any{1: 4, -1: []byte("k")}) }, ErrKeyKind},
		"a curve that is a text": {func(c *forgedCWT) {
			c.claims[8] = key(map[any]any{1: 2, -1: "P-256", -2: make([]byte, 32), -3: make([]byte, 32)})
		}, ErrKeyKind},
		"an X25519 key": {func(c *forgedCWT) { c.claims[8] = key(map[any]any{1: 1, -1: 4, -2: []byte(f.holder[32:])}) }, ErrKeyKind},
		"an ML-DSA key": {func(c *forgedCWT) { c.claims[8] = key(map[any]any{1: 7, 3: -49, -1: make([]byte, 1952)}) }, ErrKeyKind},
		"a key off the curve": {func(c *forgedCWT) {
			c.claims[8] = key(map[any]any{1: 2, -1: 1, -2: bytes.Repeat([]byte{1}, 32), -3: bytes.Repeat([]byte{1}, 32)})
		}, ErrKeyKind},
		"a key without coordinates": {func(c *forgedCWT) { c.claims[8] = key(map[any]any{1: 2, -1: 1}) }, ErrKeyKind},
		"a key for another alg":     {func(c *forgedCWT) { c.claims[8] = key(map[any]any{1: 1, 3: -7, -1: 6, -2: []byte(f.holder[32:])}) }, ErrKeyKind},
		"another leaf":              {func(c *forgedCWT) { c.leaf = encoded(t, other.Public()) }, ErrHolderKey},

		// The key binding.
		"bound by somebody else":              {func(c *forgedCWT) { c.holder = other }, ErrSignature},
		"bound with HMAC":                     {func(c *forgedCWT) { c.header2[1] = 5 }, ErrAlgorithm},
		"bound with another algorithm":        {func(c *forgedCWT) { c.header2[1] = -7 }, ErrAlgorithm},
		"bound with crit":                     {func(c *forgedCWT) { c.header2[2] = []any{16} }, ErrToken},
		"a binding of no type":                {func(c *forgedCWT) { delete(c.header2, 16) }, ErrBinding},
		"a binding of another type":           {func(c *forgedCWT) { c.header2[16] = 293 }, ErrBinding},
		"a binding with claims in its header": {func(c *forgedCWT) { c.header2[15] = map[any]any{2: "x"} }, ErrBinding},
		"a binding of no token":               {func(c *forgedCWT) { c.header2[13] = nil }, ErrToken},
		"a binding of something else":         {func(c *forgedCWT) { c.header2[13] = map[any]any{} }, ErrToken},
		"a binding with an issuer":            {func(c *forgedCWT) { c.claims2[1] = issuerName }, ErrBinding},
		"a binding with a subject":            {func(c *forgedCWT) { c.claims2[2] = "db-7" }, ErrBinding},
		"a binding that hides":                {func(c *forgedCWT) { c.claims2[hiddenKeys] = []any{} }, ErrBinding},
		"a binding that hides an element":     {func(c *forgedCWT) { c.claims2[500] = []any{cbor.Tag{Number: 60, Content: []byte("x")}} }, ErrBinding},
		"another audience":                    {func(c *forgedCWT) { c.claims2[3] = "others" }, ErrAudience},
		"two audiences":                       {func(c *forgedCWT) { c.claims2[3] = []any{audience} }, ErrBinding},
		"no audience":                         {func(c *forgedCWT) { delete(c.claims2, 3) }, ErrBinding},
		"neither time nor cti":                {func(c *forgedCWT) { delete(c.claims2, 6) }, ErrBinding},
		"a cti that is a text":                {func(c *forgedCWT) { c.claims2[7] = "id" }, ErrBinding},
		"a nonce that is a text":              {func(c *forgedCWT) { c.claims2[39] = "n" }, ErrBinding},
		"an expiry and no time":               {func(c *forgedCWT) { delete(c.claims2, 6); c.claims2[7], c.claims2[4] = []byte("id"), testTime.Unix()+1 }, ErrBinding},

		// Whom and when it is for.
		"a token for others":          {func(c *forgedCWT) { c.claims[3] = "others" }, ErrAudience},
		"no expiry":                   {func(c *forgedCWT) { delete(c.claims, 4) }, ErrExpired},
		"expired now":                 {func(c *forgedCWT) { c.claims[4] = testTime.Unix() }, ErrExpired},
		"an expiry that is no number": {func(c *forgedCWT) { c.claims[4] = math.NaN() }, ErrToken},
		"an endless expiry":           {func(c *forgedCWT) { c.claims[4] = math.Inf(1) }, ErrToken},
		"an expiry with a tag":        {func(c *forgedCWT) { c.claims[4] = cbor.Tag{Number: 1, Content: testTime.Unix() + 9} }, ErrToken},
		"not yet":                     {func(c *forgedCWT) { c.claims[5] = testTime.Unix() + 61 }, ErrNotYet},
		"a binding that has expired":  {func(c *forgedCWT) { c.claims2[4] = testTime.Unix() }, ErrExpired},
		"issued before it begins":     {func(c *forgedCWT) { c.claims[5] = testTime.Unix() - 59 }, ErrDates},
		"bound before it was issued":  {func(c *forgedCWT) { c.claims2[6] = testTime.Unix() - 61 }, ErrDates},
		"bound for longer":            {func(c *forgedCWT) { c.claims2[4] = testTime.Unix() + 3601 }, ErrDates},
		"bound from before":           {func(c *forgedCWT) { c.claims[5], c.claims2[5] = testTime.Unix()-60, testTime.Unix()-61 }, ErrDates},
		"bound before its beginning":  {func(c *forgedCWT) { c.claims2[5] = testTime.Unix() + 1 }, ErrDates},

		// Limits.
		"too large":              {func(c *forgedCWT) { c.claims[500] = strings.Repeat("x", maxToken) }, ErrLimit},
		"17 levels":              {func(c *forgedCWT) { c.claims[500] = nested(16) }, ErrLimit},
		"17 levels in a binding": {func(c *forgedCWT) { c.claims2[500] = nested(16) }, ErrLimit},
		"too many disclosures": {func(c *forgedCWT) {
			var all [][]byte
			for i := range maxDisclosures + 1 {
				all = append(all, f.hide(c, salt, 1, i+500))
			}
			c.claims[hiddenKeys] = all
		}, ErrLimit},
	} {
		forged := f.cwt()
		c.spoil(forged)
		if err := v.ValidateLeaf(f.leafOfCWT(forged), nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Whatever octet of a token is changed, it is refused.
func TestEachOctetOfATokenCounts(t *testing.T) {
	f := newForger(t)
	v := validatorFor(t, f)
	j, c := f.jwt(), f.cwt()
	j.claims["_sd"] = []any{j.hide(`["s","role","db"]`)}
	c.claims[hiddenKeys] = [][]byte{f.hide(c, salt, "db", "role")}
	compacted := f.leafOfJWT(j).Credential
	token, err := compacted.SDJWT.Compact()
	if err != nil {
		t.Fatal(err)
	}
	compacted.SDJWT = &token
	for name, credential := range map[string]mls.Credential{"SD-JWT": f.leafOfJWT(j).Credential, "compacted SD-JWT": compacted, "SD-CWT": f.leafOfCWT(c).Credential} {
		encoded := credential.Marshal()
		if err := v.ValidateLeaf(&mls.LeafNode{Credential: credential, SignatureKey: j.leaf}, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range encoded {
			for _, flip := range []byte{1, 0x20, 0x80} {
				encoded[i] ^= flip
				if changed, err := mls.ParseCredential(encoded); err == nil {
					if v.ValidateLeaf(&mls.LeafNode{Credential: changed, SignatureKey: j.leaf}, nil) == nil {
						t.Errorf("%s: octet %d of %d can be changed by %#02x", name, i, len(encoded), flip)
					}
				}
				encoded[i] ^= flip
			}
		}
	}
}

type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }
