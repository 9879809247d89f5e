package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/mendlink/mendlink/mls"
)

var (
	// ErrUnknownHost means that no key is listed under a name.
	ErrUnknownHost = errors.New("identity: unknown host")
	// ErrHostKeyChanged means that other keys are listed under a name. Somebody may be in the
	// middle.
	ErrHostKeyChanged = errors.New("identity: host key has changed")
	// ErrKnownHosts means that a line of a known hosts file cannot be understood.
	ErrKnownHosts = errors.New("identity: malformed known hosts")
)

// A HostKeyError says which key was refused for a name. It wraps [ErrUnknownHost],
// [ErrHostKeyChanged] or [ErrRevoked].
type HostKeyError struct {
	Name        string
	Fingerprint string   // of the key that was shown, as by [Fingerprint]
	Listed      []string // fingerprints of the keys that are listed under the name
	Path        string   // of the file
	Line        int      // of the first of them, or of the revocation; 0 if there is none
	Err         error
}

func (e *HostKeyError) Error() string {
	where := e.Path
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.Path, e.Line)
	}
	if len(e.Listed) == 0 {
		return fmt.Sprintf("%v: %q shows %s (%s)", e.Err, e.Name, e.Fingerprint, where)
	}
	return fmt.Sprintf("%v: %q shows %s, want %s (%s)", e.Err, e.Name, e.Fingerprint, strings.Join(e.Listed, " or "), where)
}

// Unwrap returns the reason.
func (e *HostKeyError) Unwrap() error { return e.Err }

// A FirstUse decides about a key under whose name none is listed. nil lists it from then on; an
// error refuses it. It may ask a person; the handshake's time goes on meanwhile.
type FirstUse func(name string, key []byte) error

// TrustOnFirstUse is a [FirstUse] that lists every key. Whoever answers the first connection is
// believed.
func TrustOnFirstUse(string, []byte) error { return nil }

// KnownHostsOptions say how a [KnownHosts] deals with what it does not know.
type KnownHostsOptions struct {
	// FirstUse decides about names that are not listed. Default: they are refused.
	FirstUse FirstUse
	// FollowRotations lists the key as well that a listed peer goes on with within a session.
	// Its old one stays listed, since the change may still fail: to revoke that is up to the operator.
	// Default: a peer goes on only with keys that are listed.
	FollowRotations bool
	// Hash keeps the names in new lines from those who read the file. Default: they are in the clear.
	Hash bool
}

// KnownHosts permits peers whose key is listed under their name in a file. Each line that
// is not empty and does not begin with # is
//
//	name key-type key [comment]
//	@revoked name key-type key [comment]
//
// The name is what the dialling end calls the peer, in lower case, such as db.example:7400, or
// |sha256|salt|hash: the base64 of a salt and of the HMAC-SHA-256 under it of the name. In
// a revocation it may be * for all names. The key type is ed25519, ecdsa-p256, ecdsa-p384 or ecdsa-p521, and the
// key is as MLS encodes it ([EncodePublicKey]) in base64. There may be several keys under a
// name. What is revoked is refused, whatever else is listed; nothing ever takes the place of a listed key by
// itself.
//
// The file is read again when it has changed. New lines are written by putting a new file in the place
// of the old one, under a lock (the file's name and ".lock") that keeps other processes from doing
// so at the same time. To drop living connections when a key is revoked, name it in [Files.Also].
//
// A KnownHosts is safe for concurrent use.
type KnownHosts struct {
	path    string
	options KnownHostsOptions

	mu    sync.Mutex
	info  fs.FileInfo // of the file that hosts is from
	hosts hostList
}

// OpenKnownHosts reads the file. That it does not exist is no error if the options list what
// comes: it is made then. Errors are of type [*FileError] and name the line.
func OpenKnownHosts(path string, options KnownHostsOptions) (*KnownHosts, error) {
	k := &KnownHosts{path: path, options: options}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(); err != nil {
		return nil, err
	}
	return k, nil
}

// Peer returns the validator for the peer of that name. The name is not case-sensitive; it
// must not be empty or have white space, nor begin with @, #, * or |, and has 255 octets at the
// most.
func (k *KnownHosts) Peer(name string) (mls.AuthenticationService, error) {
	name = strings.ToLower(name)
	if err := verifyHostName(name); err != nil {
		return nil, err
	}
	return &knownPeer{k, func(*mls.LeafNode) (string, error) { return name, nil }, k.options.FirstUse}, nil
}

// Named returns a validator that takes the name from the peer's basic credential: its key has to be listed
// under it. It is for the accepting end, and makes nothing of FirstUse: any stranger could
// choose a name.
func (k *KnownHosts) Named() mls.AuthenticationService {
	return &knownPeer{known: k, name: func(leaf *mls.LeafNode) (string, error) {
		if leaf.Credential.Type != mls.CredentialBasic {
			return "", fmt.Errorf("%w: %#04x, want %#04x (basic)", mls.ErrCredentialType, uint16(leaf.Credential.Type), uint16(mls.CredentialBasic))
		}
		name := strings.ToLower(string(leaf.Credential.Identity))
		return name, verifyHostName(name)
	}}
}

// A knownPeer is the validator for one name, or for the name that a peer says.
type knownPeer struct {
	known    *KnownHosts
	name     func(*mls.LeafNode) (string, error)
	firstUse FirstUse
}

// ValidateLeaf permits a leaf whose key is listed under the peer's name, and refuses others
// with a [*HostKeyError]. RFC 9420, Section 5.3.1.
func (p *knownPeer) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	name, err := p.name(leaf)
	if err != nil {
		return err
	}
	err = p.known.check(name, leaf.SignatureKey)
	switch {
	case errors.Is(err, ErrUnknownHost) && p.firstUse != nil && previous == nil:
		if err := p.firstUse(name, leaf.SignatureKey); err != nil {
			return fmt.Errorf("%w: %w", ErrUnknownHost, err)
		}
		return p.known.add(name, leaf.SignatureKey, ErrUnknownHost)
	case errors.Is(err, ErrHostKeyChanged) && p.known.options.FollowRotations && previous != nil:
		if err := p.known.check(name, previous.SignatureKey); err != nil {
			return err
		}
		return p.known.add(name, leaf.SignatureKey, ErrHostKeyChanged)
	}
	return err
}

// check looks a key up under a name, in the file as it is now.
func (k *KnownHosts) check(name string, key []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(); err != nil {
		return err
	}
	return k.hosts.check(k.path, name, key)
}

// refresh reads the file if it is another one, or has changed, since. k.mu is locked.
func (k *KnownHosts) refresh() error {
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) && k.options.FirstUse != nil {
		k.info, k.hosts = nil, nil
		return nil
	}
	if err != nil {
		return &FileError{Path: k.path, Err: withoutPath(err)}
	}
	if k.info != nil && os.SameFile(info, k.info) && info.ModTime().Equal(k.info.ModTime()) && info.Size() == k.info.Size() {
		return nil
	}
	text, err := readFile(k.path, func(opened fs.FileInfo) error { info = opened; return notWritableByOthers(opened) })
	if err != nil {
		return err
	}
	hosts, err := parseHosts(k.path, text)
	if err != nil {
		return err
	}
	k.info, k.hosts = info, hosts
	return nil
}

// Add lists a key under a name, as [EncodePublicKey] encodes it. That it is listed
// already is no error; that it is revoked is [ErrRevoked].
func (k *KnownHosts) Add(name string, key []byte) error {
	return k.add(strings.ToLower(name), key, ErrUnknownHost, ErrHostKeyChanged)
}

// Revoke marks a key as revoked for a name, * for all names.
func (k *KnownHosts) Revoke(name string, key []byte) error {
	name = strings.ToLower(name)
	return k.change(func(hosts hostList) (string, error) {
		if name != anyHost {
			return k.line(revokedMarker+" ", name, key)
		}
		kind, err := keyType(key)
		return fmt.Sprintf("%s %s %s %s\n", revokedMarker, anyHost, kind, base64.StdEncoding.EncodeToString(key)), err
	})
}

// add appends a line, unless another process has done so just now, if what the file says otherwise
// is one of the allowed errors.
func (k *KnownHosts) add(name string, key []byte, allowed ...error) error {
	return k.change(func(hosts hostList) (string, error) {
		err := hosts.check(k.path, name, key)
		if err == nil {
			return "", nil
		}
		for _, is := range allowed {
			if errors.Is(err, is) {
				return k.line("", name, key)
			}
		}
		return "", err
	})
}

// change appends what line returns to the file, as it is while nobody else changes it.
func (k *KnownHosts) change(line func(hostList) (string, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := updateFile(k.path, func(text []byte) ([]byte, error) {
		hosts, err := parseHosts(k.path, text)
		if err != nil {
			return nil, err
		}
		more, err := line(hosts)
		if err != nil || more == "" {
			return nil, err
		}
		if n := len(text); n > 0 && text[n-1] != '\n' {
			text = append(text, '\n')
		}
		return append(text, more...), nil
	})
	if err != nil {
		return err
	}
	k.info = nil // whatever the clock says
	return k.refresh()
}

// line returns a line of the file.
func (k *KnownHosts) line(marker, name string, key []byte) (string, error) {
	if err := verifyHostName(name); err != nil {
		return "", err
	}
	kind, err := keyType(key)
	if err != nil {
		return "", err
	}
	if k.options.Hash {
		salt := make([]byte, sha256.Size)
		rand.Read(salt)
		name = hashPrefix + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(hashName(salt, name))
	}
	return fmt.Sprintf("%s%s %s %s\n", marker, name, kind, base64.StdEncoding.EncodeToString(key)), nil
}

func hashName(salt []byte, name string) []byte {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(name))
	return h.Sum(nil)
}
