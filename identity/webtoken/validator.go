package webtoken

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// DefaultLeeway is that of [Options.Leeway].
const DefaultLeeway = time.Minute

// Options say which tokens a [Validator] accepts.
type Options struct {
	// Issuers are the issuers to trust. Required.
	Issuers *Issuers
	// Audiences are the names by which key bindings call this end, or the group or the network that it is part
	// of: one of them has to be the key binding's, and among the token's own if it has any. Required.
	Audiences []string
	// Accept says whose tokens are accepted, and with which claims: [Subjects], [AnySubject], or a function of
	// the program's. It is given tokens that are valid, and has to be safe for concurrent use. Required.
	Accept func(*Token) error
	// Nonce decides about the nonce of a key binding, octets as they are, empty if an SD-CWT has none. Default: any
	// will do. That a credential is used by its holder shows in the signature of the leaf that it stands in.
	Nonce func(nonce string) error
	// Successor returns an error unless a peer with the token before may go on with the token after. That before
	// may have expired. Default: both have the same Issuer and Subject.
	Successor func(before, after *Token) error
	// Types are the credential types that are accepted. Default: both.
	Types []mls.CredentialType
	// WithoutExpiry accepts tokens that never expire.
	WithoutExpiry bool
	// MaxBindingAge is how long ago a key binding may have been made. Default: any time; it ends with the
	// token.
	MaxBindingAge time.Duration
	// Leeway is how far ahead an issuer's or a holder's clock may be. Nothing is added to the time at which
	// something expires. Default: [DefaultLeeway]. Negative: none.
	Leeway time.Duration
	// Now returns the current time. Default: time.Now.
	Now func() time.Time
}

// A Validator permits the peers that show a token of a trusted issuer's, valid now, for the signature key
// beside it, with a key binding by that key and for this audience, and that Accept agrees to. A token that
// takes the place of another within a session has to be the same subject's.
//
// Errors match those of this package, [mls.ErrCredentialType], [mls.ErrOtherClient], or what a function of the
// options returns. A Validator keeps nothing of what it has seen, so that it decides by the Issuers of the
// moment, and is safe for concurrent use.
type Validator struct{ options Options }

var (
	_ mls.AuthenticationService               = (*Validator)(nil)
	_ mls.ExternalSenderAuthenticationService = (*Validator)(nil)
	_ mls.ClientMatcher                       = (*Validator)(nil)
	_ mls.CredentialReader                    = (*Validator)(nil)
)

// NewValidator returns a validator. An error says what is missing from the options.
func NewValidator(o Options) (*Validator, error) {
	if o.Issuers == nil || len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") || o.Accept == nil {
		return nil, errors.New("webtoken: Options needs Issuers, Audiences, none of them empty, and Accept")
	}
	o.Audiences, o.Types = slices.Clone(o.Audiences), slices.Clone(o.Types)
	if o.Nonce == nil {
		o.Nonce = func(string) error { return nil }
	}
	if o.Successor == nil {
		o.Successor = sameSubject
	}
	if o.Types == nil {
		o.Types = []mls.CredentialType{mls.CredentialSDCWT, mls.CredentialSDJWT}
	}
	for _, t := range o.Types {
		if t != mls.CredentialSDCWT && t != mls.CredentialSDJWT {
			return nil, fmt.Errorf("webtoken: Options has the type %#04x", uint16(t))
		}
	}
	switch {
	case o.Leeway == 0:
		o.Leeway = DefaultLeeway
	case o.Leeway < 0:
		o.Leeway = 0
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Validator{o}, nil
}

// ValidateLeaf permits or refuses a leaf. RFC 9420, Section 5.3.1.
func (v *Validator) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	token, err := v.verify(&leaf.Credential, leaf.SignatureKey)
	if err != nil || previous == nil || previous.Credential.Equal(leaf.Credential) {
		return err
	}
	before, err := parse(&previous.Credential)
	if err != nil {
		return fmt.Errorf("%w: a token after a credential of type %#04x: %w", mls.ErrOtherClient, uint16(previous.Credential.Type), err)
	}
	return v.options.Successor(&before.Token, token)
}

// ValidateExternalSender permits or refuses an external sender.
func (v *Validator) ValidateExternalSender(sender *mls.ExternalSender) error {
	_, err := v.verify(&sender.Credential, sender.SignatureKey)
	return err
}

// SameClient reports whether two leaves, which were accepted, are of the same subject.
func (v *Validator) SameClient(a, b *mls.LeafNode) bool {
	x, err := parse(&a.Credential)
	if err != nil {
		return false
	}
	y, err := parse(&b.Credential)
	return err == nil && sameSubject(&x.Token, &y.Token) == nil
}

// CredentialTypes returns [Options.Types].
func (v *Validator) CredentialTypes() []mls.CredentialType { return slices.Clone(v.options.Types) }

// CredentialExpiry returns when a token or its key binding expires, whichever is first.
func (v *Validator) CredentialExpiry(c *mls.Credential) (time.Time, error) {
	p, err := parse(c)
	if err != nil {
		return time.Time{}, err
	}
	return p.expiry(), nil
}

// verify checks a credential against the signature key that comes with it.
func (v *Validator) verify(c *mls.Credential, signatureKey []byte) (*Token, error) {
	if !slices.Contains(v.options.Types, c.Type) {
		return nil, fmt.Errorf("%w: %#04x, want one of %#04x", mls.ErrCredentialType, uint16(c.Type), v.options.Types)
	}
	p, err := parse(c)
	if err != nil {
		return nil, err
	}
	if err := p.verifyIssuer(v.options.Issuers); err != nil {
		return nil, err
	}
	if err := p.verifyHolder(signatureKey); err != nil {
		return nil, err
	}
	if err := v.verifyAudience(p); err != nil {
		return nil, err
	}
	if err := v.verifyDates(p, v.options.Now()); err != nil {
		return nil, err
	}
	if err := v.options.Nonce(p.binding.nonce); err != nil {
		return nil, err
	}
	return &p.Token, v.options.Accept(&p.Token)
}

func (v *Validator) verifyAudience(p *parsed) error {
	if !slices.Contains(v.options.Audiences, p.binding.audience) {
		return fmt.Errorf("%w: key binding for %q, want one of %q", ErrAudience, p.binding.audience, v.options.Audiences)
	}
	isOurs := func(a string) bool { return slices.Contains(v.options.Audiences, a) }
	if p.Audience != nil && !slices.ContainsFunc(p.Audience, isOurs) {
		return fmt.Errorf("%w: token for %q, want one of %q", ErrAudience, p.Audience, v.options.Audiences)
	}
	return nil
}

// verifyDates checks the dates by the time that it is. RFC 7519, Section 4.1.
func (v *Validator) verifyDates(p *parsed, now time.Time) error {
	b, soon := &p.binding, now.Add(v.options.Leeway)
	if p.Expiry.IsZero() && !v.options.WithoutExpiry {
		return fmt.Errorf("%w: there is no exp", ErrExpired)
	}
	for _, at := range []time.Time{p.Expiry, b.expiry} {
		if !at.IsZero() && !now.Before(at) {
			return fmt.Errorf("%w: at %v, now it is %v", ErrExpired, at, now)
		}
	}
	for _, at := range []time.Time{p.NotBefore, p.IssuedAt, b.notBefore, b.issuedAt} {
		if at.After(soon) {
			return fmt.Errorf("%w: from %v, now it is %v", ErrNotYet, at, now)
		}
	}
	if age := now.Sub(b.issuedAt); v.options.MaxBindingAge > 0 && (b.issuedAt.IsZero() || age > v.options.MaxBindingAge) {
		return fmt.Errorf("%w: key binding of %v, want %v ago at the most", ErrExpired, b.issuedAt, v.options.MaxBindingAge)
	}
	if p.ordered {
		return p.verifyOrder()
	}
	return nil
}

// verifyOrder checks the order of dates. draft-ietf-spice-sd-cwt, "SD-KBT and SD-CWT Verifier
// Validation".
func (p *parsed) verifyOrder() error {
	b := &p.binding
	for _, rule := range []struct {
		what          string
		first, second time.Time
		mayBeSame     bool
	}{
		{"nbf and iat", p.NotBefore, p.IssuedAt, true},
		{"nbf and exp", p.NotBefore, p.Expiry, false},
		{"iat and exp", p.IssuedAt, p.Expiry, false},
		{"nbf and iat of the key binding", b.notBefore, b.issuedAt, true},
		{"iat and exp of the key binding", b.issuedAt, b.expiry, false},
		{"exp of the key binding and of the token", b.expiry, p.Expiry, true},
		{"nbf of the token and of the key binding", p.NotBefore, b.notBefore, true},
		{"iat of the token and of the key binding", p.IssuedAt, b.issuedAt, true},
		{"nbf of the key binding and exp of the token", b.notBefore, p.Expiry, false},
		{"iat of the key binding and exp of the token", b.issuedAt, p.Expiry, false},
		{"nbf of the token and iat of the key binding", p.NotBefore, b.issuedAt, true},
	} {
		if rule.first.IsZero() || rule.second.IsZero() || rule.first.Before(rule.second) || rule.mayBeSame && rule.first.Equal(rule.second) {
			continue
		}
		return fmt.Errorf("%w: %s are %v and %v", ErrDates, rule.what, rule.first, rule.second)
	}
	return nil
}

// sameSubject returns an error that matches [mls.ErrOtherClient] unless two tokens are one
// subject's.
func sameSubject(before, after *Token) error {
	if before.Issuer != after.Issuer || before.Subject != after.Subject {
		return fmt.Errorf("%w: %q of %q, want %q of %q", mls.ErrOtherClient, after.Subject, after.Issuer, before.Subject, before.Issuer)
	}
	return nil
}

// AnySubject accepts everybody whom the issuers vouch for. It is right where these have no other
// subjects than the peers.
func AnySubject(*Token) error { return nil }

// Subjects accepts the tokens of these subjects of an issuer. The error for others matches
// [ErrSubject].
func Subjects(issuer string, subjects ...string) func(*Token) error {
	subjects = slices.Clone(subjects)
	return func(t *Token) error {
		if t.Issuer != issuer || !slices.Contains(subjects, t.Subject) {
			return fmt.Errorf("%w: %q of %q, want one of %q of %q", ErrSubject, t.Subject, t.Issuer, subjects, issuer)
		}
		return nil
	}
}
