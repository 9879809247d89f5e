// Package credentials says who this end of a forward is and who may be at the other, as the files say that the
// configuration names, while connections live.
package credentials

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// A Source is the identity source of a forward, and has its validators. What it knows is replaced as a whole by
// [Source.Replace]; certificates in files are followed in between. It is safe for concurrent use.
type Source struct {
	identity.Feed
	server  bool // the end that listens with Mendlink
	log     *slog.Logger
	mu      sync.Mutex // guards what follows
	current *known
	damage  error // why current's file of known hosts permits nobody; nil if it is right
}

// known is what the files said at one time.
type known struct {
	bare      *mls.Identity  // a key alone; nil for certificates, which live has
	live      *identity.Live // the files that are followed; nil if there are none
	hosts     string         // the file of known hosts; empty if there is none
	stop      func()         // ends the watching of live
	validator func(address string) (mls.AuthenticationService, error)
}

// Open reads the files of a forward.
func Open(f *config.Forward, log *slog.Logger) (*Source, error) {
	s := &Source{server: f.Role == config.Server, log: log}
	if err := s.Replace(f); err != nil {
		return nil, err
	}
	return s, nil
}

// Replace reads the files that f names. If one of them is not right, nothing changes. Living connections show the
// new identity then, and ask about their peer again.
func (s *Source) Replace(f *config.Forward) error {
	next, err := s.read(f)
	if err == nil {
		s.take(next)
	}
	return err
}

// Prepare reads the files that f names, as [Source.Replace], and leaves it to the caller to take them over
// or to leave them: one of the functions has to be called.
func (s *Source) Prepare(f *config.Forward) (commit, discard func(), err error) {
	next, err := s.read(f)
	if err != nil {
		return nil, nil, err
	}
	return func() { s.take(next) }, func() { next.close() }, nil
}

func (s *Source) take(next *known) {
	s.mu.Lock()
	before := s.current
	s.current, s.damage = next, nil
	s.mu.Unlock()
	if before != nil {
		before.close()
	}
	if next.live != nil {
		next.stop = next.live.Watch(func() { s.follow(next) })
	}
	s.follow(next)
}

// follow takes over the identity that the files have now, and has connections looked at again. A reload and a look at
// the files may come here at the same time: so each sees afterwards whether it has set what the files have by then.
func (s *Source) follow(k *known) {
	s.lookAtHosts(k)
	told := false
	for {
		identities := k.identities()
		if slices.EqualFunc(identities, s.Identities(), same) {
			break
		}
		s.log.Info("own identity", "fingerprint", fingerprintOf(identities[0].Signer.Public()), Expires(identities[0].Credential))
		s.SetIdentities(identities...)
		told = true
	}
	if !told {
		s.SetTrust(nil) // what is trusted is in k; this tells the watchers
	}
}

// lookAtHosts says so if the file of known hosts cannot be understood: nobody is permitted then, and the file is read
// where somebody asks for a peer, who cannot tell.
func (s *Source) lookAtHosts(k *known) {
	if k.hosts == "" {
		return
	}
	_, err := identity.OpenKnownHosts(k.hosts, identity.KnownHostsOptions{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != k {
		return
	}
	if s.damage = err; err != nil {
		s.log.Error("the file of known hosts permits nobody", "error", err)
	}
}

// identities returns the own ones of the moment.
func (k *known) identities() []mls.Identity {
	if k.bare != nil {
		return []mls.Identity{*k.bare}
	}
	return k.live.Identities()
}

// same reports whether two identities look the same to a peer.
func same(a, b mls.Identity) bool {
	return a.Credential.Equal(b.Credential) && fingerprintOf(a.Signer.Public()) == fingerprintOf(b.Signer.Public())
}

// Validator returns who decides, by what is known at the time, about the peer of a link to a server's address. Where
// this end listens, the address makes no difference.
func (s *Source) Validator(address string) mls.AuthenticationService { return validator{s, address} }

type validator struct {
	source  *Source
	address string
}

func (v validator) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	v.source.mu.Lock()
	known := v.source.current
	v.source.mu.Unlock()
	now, err := known.validator(v.address)
	if err != nil {
		return err
	}
	return now.ValidateLeaf(leaf, previous)
}

// Err returns what is wrong with the files that are followed, nil if all is in force.
func (s *Source) Err() error {
	s.mu.Lock()
	live, damage := s.current.live, s.damage
	s.mu.Unlock()
	if live == nil {
		return nil
	}
	return errors.Join(live.Err(), damage)
}

// Fingerprint returns that of the own key.
func (s *Source) Fingerprint() string { return fingerprintOf(s.Identities()[0].Signer.Public()) }

// Expiry returns the end of the own certificate, the zero time if there is none.
func (s *Source) Expiry() time.Time { return ExpiryOf(s.Identities()[0].Credential) }

// Close ends the looking at files.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.close()
}

func (k *known) close() {
	if k.stop != nil {
		k.stop()
	}
	if k.live != nil {
		k.live.Close() // has no error
	}
}

// read reads all that f names.
func (s *Source) read(f *config.Forward) (_ *known, err error) {
	k := new(known)
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	files := identity.Files{Roots: f.Peers.Roots, Revoked: f.Peers.Revoked, Every: f.FilesEvery, Report: s.report}
	if f.Identity.Certificate != "" {
		files.Pairs = []identity.KeyPair{{Certificate: f.Identity.Certificate, Key: f.Identity.Key, GroupReadable: f.Identity.GroupReadable}}
	} else {
		signer, err := identity.LoadPrivateKey(f.Identity.Key)
		if err != nil {
			return nil, err
		}
		bare := identity.New(signer, f.Identity.Name)
		k.bare = &bare
	}
	if k.hosts = f.Peers.KnownHosts; k.hosts != "" {
		files.Also = []string{k.hosts}
	}
	if len(files.Pairs)+len(files.Roots)+len(files.Also) > 0 {
		if k.live, err = identity.Open(files); err != nil {
			return nil, err
		}
	}
	if k.validator, err = s.validator(f.Peers, k.live); err == nil {
		_, err = k.validator(f.Forward)
	}
	return k, err
}

// report is told what could not be taken over of the files.
func (s *Source) report(err error) {
	if err != nil {
		s.log.Error("a file is not taken over; what was there before stays in force", "error", err)
		return
	}
	s.log.Info("all files are in force again")
}

// validator returns whoever decides about peers, given the address of the server.
func (s *Source) validator(p *config.Peers, live *identity.Live) (func(address string) (mls.AuthenticationService, error), error) {
	everywhere := func(v mls.AuthenticationService) func(string) (mls.AuthenticationService, error) {
		return func(string) (mls.AuthenticationService, error) { return v, nil }
	}
	switch {
	case len(p.Roots) > 0:
		names := identity.NameRule(identity.AnyName)
		if !p.AnyName {
			rules, err := namesOf(p.Names)
			if err != nil {
				return nil, err
			}
			names = identity.AnyOf(rules...)
		}
		v, err := identity.NewX509Validator(identity.X509Options{RootsFor: live.RootsFor, Names: names, Revoked: live.Revoked,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}})
		return everywhere(v), err
	case p.KnownHosts != "":
		hosts, err := identity.OpenKnownHosts(p.KnownHosts, identity.KnownHostsOptions{})
		if err != nil {
			return nil, err
		}
		if s.server {
			return everywhere(hosts.Named()), nil
		}
		return hosts.Peer, nil
	}
	permitted := make(pinned)
	for _, fingerprint := range p.Fingerprints {
		permitted[fingerprint] = true
	}
	for _, path := range p.Keys {
		key, err := PublicKey(path)
		if err != nil {
			return nil, err
		}
		permitted[fingerprintOf(key)] = true
	}
	return everywhere(permitted), nil
}

func namesOf(names []string) ([]identity.NameRule, error) {
	var rules []identity.NameRule
	for _, name := range names {
		if !strings.HasPrefix(name, "spiffe:") {
			rules = append(rules, identity.ServerName(name))
			continue
		}
		rule, err := identity.SPIFFE(name)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// pinned permits the keys with these fingerprints.
type pinned map[string]bool

func (p pinned) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	fingerprint := channel.Fingerprint(leaf.SignatureKey)
	if p[fingerprint] {
		return nil
	}
	e := &identity.UnknownPeerError{Fingerprint: fingerprint}
	if previous != nil {
		e.Previous = channel.Fingerprint(previous.SignatureKey)
	}
	return e
}

// PublicKey reads a public key from a PEM file.
func PublicKey(path string) (crypto.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := identity.ParsePublicKey(text)
	if err != nil {
		return nil, &identity.FileError{Path: path, Err: err}
	}
	return key, nil
}

// Fingerprint names a public key.
func Fingerprint(key crypto.PublicKey) (string, error) {
	encoded, err := identity.EncodePublicKey(key)
	if err != nil {
		return "", fmt.Errorf("credentials: %w", err)
	}
	return identity.Fingerprint(encoded), nil
}

// fingerprintOf is [Fingerprint] for a key that was read by package identity, which reads no others.
func fingerprintOf(key crypto.PublicKey) string {
	fingerprint, err := Fingerprint(key)
	if err != nil {
		return err.Error()
	}
	return fingerprint
}

// ExpiryOf returns when a credential ends, the zero time for never.
func ExpiryOf(c mls.Credential) time.Time {
	expiry, err := channel.CredentialExpiry(c)
	if err != nil { // it was accepted, so its certificates parse
		return time.Time{}
	}
	return expiry
}

// Expires is for a log: when a credential ends.
func Expires(c mls.Credential) slog.Attr {
	if expiry := ExpiryOf(c); !expiry.IsZero() {
		return slog.Time("expires", expiry)
	}
	return slog.String("expires", "never")
}

// AttestedNameOf is [NameOf] for a leaf with a certificate, and empty for one without.
func AttestedNameOf(leaf *mls.LeafNode) string {
	if len(leaf.Credential.Certificates) == 0 {
		return ""
	}
	return NameOf(leaf)
}

// NameOf says who a peer's leaf names, as far as somebody attests it: of a certificate the SPIFFE ID, the first
// name of a host, or the subject. A name in a credential without a certificate is the peer's own word, so
// it is in quotes.
func NameOf(leaf *mls.LeafNode) string {
	if len(leaf.Credential.Certificates) == 0 {
		if len(leaf.Credential.Identity) == 0 {
			return ""
		}
		return fmt.Sprintf("%q", leaf.Credential.Identity)
	}
	certificate, err := x509.ParseCertificate(leaf.Credential.Certificates[0])
	switch {
	case err != nil:
		return ""
	case len(certificate.URIs) > 0:
		return certificate.URIs[0].String()
	case len(certificate.DNSNames) > 0:
		return certificate.DNSNames[0]
	}
	return certificate.Subject.String()
}
