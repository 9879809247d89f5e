package webtoken

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/mendlink/mendlink/mls"
)

// Claims of CWT. RFC 8392, Section 3.1; RFC 8747; RFC 9711.
const (
	claimIssuer       int64 = 1
	claimSubject      int64 = 2
	claimAudience     int64 = 3
	claimExpiry       int64 = 4
	claimNotBefore    int64 = 5
	claimIssuedAt     int64 = 6
	claimID           int64 = 7
	claimConfirmation int64 = 8
	claimNonce        int64 = 39

	confirmationKey int64 = 1 // in a cnf
)

// Header parameters of COSE. draft-ietf-spice-sd-cwt, "IANA Considerations"; RFC 9528 (kcwt).
const (
	headerCritical        int64 = 2
	headerKeyID           int64 = 4
	headerToken           int64 = 13 // kcwt: the SD-CWT of a key binding token
	headerClaims          int64 = 15 // CWT Claims
	headerType            int64 = 16
	headerDisclosures     int64 = 17  // sd_claims
	headerHash            int64 = 170 // sd_alg
	headerEncryptedClaims int64 = 171 // sd_aead_encrypted_claims
)

// Content formats that stand for media types in typ.
const (
	typeCWT   int64 = 61
	typeSDCWT int64 = 293
	typeKBT   int64 = 294
)

// Marks of what is hidden. draft-ietf-spice-sd-cwt, "Types of Redacted Claims".
const (
	hiddenKeys = cbor.SimpleValue(59)

	tagToBeHidden    = 58
	tagHiddenElement = 60
	tagToBeDecoy     = 62
	saltSize         = 16
	maxKeyLength     = 255 // of a map key that is a text
)

// hashLabels are those of the COSE Algorithms registry.
var hashLabels = map[int64]crypto.Hash{-16: crypto.SHA256, -43: crypto.SHA384, -44: crypto.SHA512}

// cborMode refuses what SD-CWT does, and whatever is nested too deeply.
var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		IntDec:           cbor.IntDecConvertSignedOrFail,
		MaxNestedLevels:  2*maxDepth + 8, // of headers and tags as well
		MaxArrayElements: maxToken,
		MaxMapPairs:      maxToken,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}()

// parseSDCWT reads a key binding token with the SD-CWT that is in its header.
func parseSDCWT(sdKBT []byte) (*parsed, error) {
	if len(sdKBT) > maxToken {
		return nil, fmt.Errorf("%w: SD-CWT of %d octets, want %d at the most", ErrLimit, len(sdKBT), maxToken)
	}
	kbt, err := parseSign1(sdKBT)
	if err != nil {
		return nil, fmt.Errorf("key binding: %w", err)
	}
	if typ := kbt.header[headerType]; typ != typeKBT && !isMediaType(typ, "kb+cwt") {
		return nil, fmt.Errorf("%w: typ is %v, want %d", ErrBinding, typ, typeKBT)
	}
	if _, there := kbt.header[headerClaims]; there {
		return nil, fmt.Errorf("%w: there are claims in the header", ErrBinding)
	}
	var headers map[int64]cbor.RawMessage
	if err := decodeLabels(kbt.protected, &headers); err != nil {
		return nil, err
	}
	token, ok := headers[headerToken]
	if !ok {
		return nil, fmt.Errorf("%w: there is no kcwt", ErrBinding)
	}
	p, err := parseIssuedCWT(token)
	if err != nil {
		return nil, err
	}
	p.verifyBinding = kbt.verify
	return p, p.bindCWT(kbt.claims)
}

// parseIssuedCWT reads an SD-CWT, or a CWT in which nothing is hidden, and puts its disclosures in their places.
func parseIssuedCWT(token []byte) (*parsed, error) {
	cwt, err := parseSign1(token)
	if err != nil {
		return nil, err
	}
	p := &parsed{verify: cwt.verify, ordered: true, Token: Token{Type: mls.CredentialSDCWT}}
	if _, there := cwt.header[headerClaims]; there {
		return nil, fmt.Errorf("%w: there are claims in the header", ErrToken)
	}
	if kid, there := cwt.header[headerKeyID]; there {
		octets, ok := kid.([]byte)
		if !ok {
			return nil, fmt.Errorf("%w: kid is a %T, want octets", ErrToken, kid)
		}
		p.kid, p.hasKID = string(octets), true
	}
	hash, err := hashOfCWT(cwt.header)
	if err != nil {
		return nil, err
	}
	d := newDiscloser(cborClaims{})
	disclosures, err := disclosuresOf(cwt.unprotected)
	if err != nil {
		return nil, err
	}
	for _, encoded := range disclosures {
		var content any
		if err := decodeCBOR(encoded, &content); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDisclosure, err)
		}
		if err := d.add(string(digestCWT(hash, encoded)), content); err != nil {
			return nil, err
		}
	}
	if err := d.disclose(cwt.claims); err != nil {
		return nil, err
	}
	if typ := cwt.header[headerType]; typ != typeSDCWT && !isMediaType(typ, "sd-cwt") && !isSuffix(typ, "+sd-cwt") {
		// An ordinary CWT has another type, or none, and hides nothing.
		if typ != nil && typ != typeCWT && !isMediaType(typ, "cwt") && !isSuffix(typ, "+cwt") || isSuffix(typ, "kb+cwt") || len(d.seen) > 0 {
			return nil, fmt.Errorf("%w: typ is %v, want %d", ErrToken, typ, typeSDCWT)
		}
	}
	p.claims = cwt.claims
	return p, p.readCWT(cwt.claims)
}

func isMediaType(typ any, want string) bool {
	text, ok := typ.(string)
	return ok && mediaType(text) == want
}

func isSuffix(typ any, want string) bool {
	text, ok := typ.(string)
	return ok && strings.HasSuffix(mediaType(text), want)
}

// readCWT reads the claims that this package knows.
func (p *parsed) readCWT(claims map[any]any) (err error) {
	var all [7]error
	p.Issuer, all[0] = textOf("iss", claims[claimIssuer])
	p.Subject, all[1] = textOf("sub", claims[claimSubject])
	p.Audience, all[2] = audienceOf(claims[claimAudience])
	p.Expiry, all[3] = dateOf("exp", claims[claimExpiry])
	p.NotBefore, all[4] = dateOf("nbf", claims[claimNotBefore])
	p.IssuedAt, all[5] = dateOf("iat", claims[claimIssuedAt])
	p.Key, all[6] = keyOfCWT(claims[claimConfirmation])
	if err := errors.Join(all[:]...); err != nil {
		return err
	}
	return p.nameIssuer()
}

// keyOfCWT returns the key of a cnf. RFC 8747, Section 3.2.
func keyOfCWT(cnf any) (crypto.PublicKey, error) {
	confirmation, ok := cnf.(map[any]any)
	if !ok {
		return nil, fmt.Errorf("%w: there is no cnf", ErrToken)
	}
	members, ok := confirmation[confirmationKey].(map[any]any)
	if !ok {
		return nil, fmt.Errorf("%w: there is no cnf with a COSE key", ErrToken)
	}
	// go-cose takes it for granted that a curve is a number.
	if curve, there := members[cose.KeyLabelEC2Curve]; there {
		if _, ok := curve.(int64); !ok {
			return nil, fmt.Errorf("%w: the curve of cnf is a %T", ErrKeyKind, curve)
		}
	}
	encoded, err := cbor.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: cnf: %w", ErrToken, err)
	}
	var key cose.Key
	if err := key.UnmarshalCBOR(encoded); err != nil {
		return nil, fmt.Errorf("%w: cnf: %w", ErrKeyKind, err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("%w: cnf: %w", ErrKeyKind, err)
	}
	algorithms, err := holderAlgorithms(public)
	if err != nil {
		return nil, fmt.Errorf("cnf: %w", err)
	}
	if _, ok := algorithms.cose[key.Algorithm]; !ok && key.Algorithm != cose.AlgorithmReserved {
		return nil, fmt.Errorf("%w: cnf is for %v", ErrAlgorithm, key.Algorithm)
	}
	return public, nil
}

// bindCWT reads the claims of a key binding token. draft-ietf-spice-sd-cwt, "Creating a Key Binding Token".
func (p *parsed) bindCWT(claims map[any]any) error {
	for _, name := range []int64{claimIssuer, claimSubject} {
		if _, there := claims[name]; there {
			return fmt.Errorf("%w: it has claim %d", ErrBinding, name)
		}
	}
	if err := safe(claims, 1); err != nil {
		return fmt.Errorf("%w: %w", ErrBinding, err)
	}
	var all [4]error
	b := &p.binding
	b.audience, all[0] = textOf("aud", claims[claimAudience])
	b.issuedAt, all[1] = dateOf("iat", claims[claimIssuedAt])
	b.notBefore, all[2] = dateOf("nbf", claims[claimNotBefore])
	b.expiry, all[3] = dateOf("exp", claims[claimExpiry])
	if err := errors.Join(all[:]...); err != nil {
		return fmt.Errorf("%w: %w", ErrBinding, err)
	}
	if nonce, there := claims[claimNonce]; there {
		octets, ok := nonce.([]byte)
		if !ok {
			return fmt.Errorf("%w: cnonce is a %T, want octets", ErrBinding, nonce)
		}
		b.nonce = string(octets)
	}
	id, hasID := claims[claimID]
	if _, ok := id.([]byte); hasID && !ok {
		return fmt.Errorf("%w: cti is a %T, want octets", ErrBinding, id)
	}
	if b.audience == "" || b.issuedAt.IsZero() && !hasID {
		return fmt.Errorf("%w: aud is %q, want one, and iat or cti", ErrBinding, b.audience)
	}
	if b.issuedAt.IsZero() && (!b.notBefore.IsZero() || !b.expiry.IsZero()) {
		return fmt.Errorf("%w: there is exp or nbf, and no iat", ErrBinding)
	}
	return nil
}

// A sign1 is a COSE_Sign1 that has been read, and not verified.
type sign1 struct {
	message     *cose.Sign1Message
	protected   []byte      // the map
	header      map[any]any // protected
	unprotected map[any]any
	claims      map[any]any
}

// parseSign1 reads a token: its headers and its claims.
func parseSign1(data []byte) (*sign1, error) {
	s := &sign1{message: cose.NewSign1Message()}
	if err := s.message.UnmarshalCBOR(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if err := decodeCBOR(s.message.Headers.RawProtected, &s.protected); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		from []byte
		to   *map[any]any
	}{{s.protected, &s.header}, {s.message.Headers.RawUnprotected, &s.unprotected}, {s.message.Payload, &s.claims}} {
		if err := decodeCBOR(part.from, part.to); err != nil {
			return nil, err
		}
		if *part.to == nil {
			return nil, fmt.Errorf("%w: a map is null", ErrToken)
		}
	}
	if _, critical := s.header[headerCritical]; critical {
		return nil, fmt.Errorf("%w: the header says crit, of which nothing is known here", ErrToken)
	}
	return s, nil
}

// verify checks the signature. The algorithm has to be the key's.
func (s *sign1) verify(key crypto.PublicKey, a algorithms) error {
	algorithm, err := s.message.Headers.Protected.Algorithm()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	known, ok := a.cose[algorithm]
	if !ok {
		return fmt.Errorf("%w: %v (%d) does not go with a %T", ErrAlgorithm, algorithm, int64(algorithm), key)
	}
	verifier, err := cose.NewVerifier(known, key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAlgorithm, err)
	}
	if err := s.message.Verify(nil, named{verifier, algorithm}); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// hashOfCWT returns the hash of disclosures.
func hashOfCWT(header map[any]any) (crypto.Hash, error) {
	label, there := header[headerHash]
	if !there {
		return crypto.SHA256, nil
	}
	if n, ok := label.(int64); ok && hashLabels[n] != 0 {
		return hashLabels[n], nil
	}
	return 0, fmt.Errorf("%w: sd_alg is %v", ErrAlgorithm, label)
}

// digestCWT returns the digest of a disclosure: that of the octets as a CBOR byte string, with its length before
// them. So it is in all of the draft's tokens; where the draft prints a digest by itself, it is without.
func digestCWT(hash crypto.Hash, disclosure []byte) []byte {
	wrapped, err := cborEncoding.Marshal(disclosure)
	if err != nil {
		panic(err) // octets can be encoded
	}
	return digest(hash, wrapped)
}

// disclosuresOf returns the disclosures in a header that is not protected.
func disclosuresOf(header map[any]any) ([][]byte, error) {
	for _, name := range []int64{headerDisclosures, headerEncryptedClaims} {
		if list, there := header[name]; there {
			if list, ok := list.([]any); !ok || len(list) == 0 {
				return nil, fmt.Errorf("%w: header %d is empty, or no array", ErrDisclosure, name)
			}
		}
	}
	list, _ := header[headerDisclosures].([]any)
	if len(list) > maxDisclosures {
		return nil, fmt.Errorf("%w: %d disclosures, want %d at the most", ErrLimit, len(list), maxDisclosures)
	}
	disclosures := make([][]byte, 0, len(list))
	for _, d := range list {
		octets, ok := d.([]byte)
		if !ok {
			return nil, fmt.Errorf("%w: one is a %T, want octets", ErrDisclosure, d)
		}
		disclosures = append(disclosures, octets)
	}
	return disclosures, nil
}

// decodeCBOR decodes one item, with nothing behind it.
func decodeCBOR(data []byte, v any) error {
	if err := cborMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	return nil
}

// decodeLabels decodes the members of a header whose names are numbers.
func decodeLabels(data []byte, labels *map[int64]cbor.RawMessage) error {
	var all map[any]cbor.RawMessage
	if err := decodeCBOR(data, &all); err != nil {
		return err
	}
	*labels = make(map[int64]cbor.RawMessage)
	for name, value := range all {
		if n, ok := name.(int64); ok {
			(*labels)[n] = bytes.Clone(value)
		}
	}
	return nil
}

// cborClaims is the form of SD-CWT.
type cborClaims struct{}

func (cborClaims) redacted(value any) ([]string, error) {
	at, ok := value.(map[any]any)
	if !ok {
		return nil, nil
	}
	hidden, ok := at[hiddenKeys]
	if !ok {
		return nil, nil
	}
	delete(at, hiddenKeys)
	list, ok := hidden.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: simple(59) has a %T, want an array", ErrDisclosure, hidden)
	}
	digests := make([]string, 0, len(list))
	for _, v := range list {
		digest, ok := v.([]byte)
		if !ok {
			return nil, fmt.Errorf("%w: simple(59) has a %T, want octets", ErrDisclosure, v)
		}
		digests = append(digests, string(digest))
	}
	return digests, nil
}

func (cborClaims) element(value any) (string, bool, error) {
	tag, ok := value.(cbor.Tag)
	if !ok || tag.Number != tagHiddenElement {
		return "", false, nil
	}
	digest, ok := tag.Content.([]byte)
	if !ok {
		return "", false, fmt.Errorf("%w: tag 60 has a %T, want octets", ErrDisclosure, tag.Content)
	}
	return string(digest), true, nil
}

func (cborClaims) read(content any) (d disclosure, err error) {
	list, ok := content.([]any)
	if !ok || len(list) < 1 || len(list) > 3 {
		return d, fmt.Errorf("%w: want an array of 1 to 3", ErrDisclosure)
	}
	if salt, ok := list[0].([]byte); !ok || len(salt) != saltSize {
		return d, fmt.Errorf("%w: the salt is %x, want %d octets", ErrDisclosure, list[0], saltSize)
	}
	switch len(list) {
	case 1:
		d.decoy = true
	case 2:
		d.value = list[1]
	case 3:
		d.named, d.name, d.value = true, list[2], list[1]
		if err := verifyMapKey(d.name); err != nil {
			return d, err
		}
	}
	return d, nil
}

// verify looks at the names in a map, and at tags. Tags have no maps or arrays in them here, in which
// something could be hidden.
func (cborClaims) verify(value any) error {
	switch at := value.(type) {
	case map[any]any:
		for name := range at {
			if err := verifyMapKey(name); err != nil {
				return err
			}
		}
	case cbor.Tag:
		return safe(at, 1)
	}
	return nil
}

func verifyMapKey(name any) error {
	switch name := name.(type) {
	case int64:
		return nil
	case string:
		if len(name) <= maxKeyLength {
			return nil
		}
	}
	return fmt.Errorf("%w: a map has the key %v of type %T, want a number or a text of %d octets at the most", ErrToken, name, name, maxKeyLength)
}

// safe checks that nothing is hidden in a value, nor marked to be.
func safe(value any, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: claims of more than %d levels", ErrLimit, maxDepth)
	}
	switch at := value.(type) {
	case map[any]any:
		for name, member := range at {
			if err := errors.Join(verifyMapKey(name), safe(member, depth+1)); err != nil {
				return err
			}
		}
	case []any:
		for _, element := range at {
			if err := safe(element, depth+1); err != nil {
				return err
			}
		}
	case cbor.Tag:
		switch at.Number {
		case tagToBeHidden, tagHiddenElement, tagToBeDecoy:
			return fmt.Errorf("%w: tag %d is out of place", ErrToken, at.Number)
		}
		return safe(at.Content, depth+1)
	}
	return nil
}
