package identity

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Markers in a known hosts file.
const (
	revokedMarker = "@revoked"
	hashPrefix    = "|sha256|"
	anyHost       = "*" // in a revocation
)

const maxHostName = 255 // octets

// A hostList is the lines of a known hosts file.
type hostList []hostLine

type hostLine struct {
	number     int
	revoked    bool
	name       string // empty if it is hashed
	salt, hash []byte
	key        []byte
}

// parseHosts reads a known hosts file. Errors are of type [*FileError].
func parseHosts(path string, text []byte) (hostList, error) {
	var list hostList
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		line, field, err := parseHostLine(fields)
		if err != nil {
			return nil, &FileError{Path: path, Line: n, Field: field, Err: fmt.Errorf("%w: %w", ErrKnownHosts, err)}
		}
		line.number = n
		list = append(list, line)
	}
	if err := lines.Err(); err != nil {
		return nil, &FileError{Path: path, Err: fmt.Errorf("%w: %w", ErrKnownHosts, err)}
	}
	return list, nil
}

// parseHostLine reads one line, or says which field of it is wrong.
func parseHostLine(fields []string) (line hostLine, field string, err error) {
	if strings.HasPrefix(fields[0], "@") {
		if fields[0] != revokedMarker {
			return line, "marker", fmt.Errorf("%q, want %q", fields[0], revokedMarker)
		}
		line.revoked, fields = true, fields[1:]
	}
	if len(fields) < 3 {
		return line, "line", fmt.Errorf("%d fields, want a name, a key type and a key", len(fields))
	}
	if err := line.parseName(fields[0]); err != nil {
		return line, "name", err
	}
	if line.key, err = base64.StdEncoding.Strict().DecodeString(fields[2]); err != nil {
		return line, "key", err
	}
	kind, err := keyType(line.key)
	if err != nil {
		return line, "key", err
	}
	if kind != fields[1] {
		return line, "key type", fmt.Errorf("%q before a key of type %q", fields[1], kind)
	}
	return line, "", nil
}

func (l *hostLine) parseName(name string) (err error) {
	hashed, ok := strings.CutPrefix(name, hashPrefix)
	switch {
	case ok:
		salt, hash, found := strings.Cut(hashed, "|")
		if !found {
			return fmt.Errorf("%q has no hash", name)
		}
		if l.salt, err = base64.StdEncoding.Strict().DecodeString(salt); err != nil {
			return err
		}
		if l.hash, err = base64.StdEncoding.Strict().DecodeString(hash); err != nil {
			return err
		}
		if len(l.hash) != sha256.Size {
			return fmt.Errorf("hash of %d octets, want %d", len(l.hash), sha256.Size)
		}
		return nil
	case name == anyHost && l.revoked:
		l.name = name
		return nil
	}
	l.name = strings.ToLower(name)
	return verifyHostName(l.name)
}

// is reports whether the line is about a name.
func (l *hostLine) is(name string) bool {
	if l.hash != nil {
		return hmac.Equal(l.hash, hashName(l.salt, name))
	}
	return l.name == name || l.revoked && l.name == anyHost
}

// check returns nil if the key is listed under the name and not revoked, else a
// [*HostKeyError].
func (list hostList) check(path, name string, key []byte) error {
	refused := &HostKeyError{Name: name, Fingerprint: Fingerprint(key), Path: path, Err: ErrUnknownHost}
	listed := false
	for i := range list {
		line := &list[i]
		same := bytes.Equal(line.key, key)
		if line.revoked && !same || !line.is(name) {
			continue
		}
		if line.revoked {
			return &HostKeyError{Name: name, Fingerprint: refused.Fingerprint, Path: path, Line: line.number, Err: ErrRevoked}
		}
		listed = listed || same
		if refused.Line == 0 {
			refused.Line, refused.Err = line.number, ErrHostKeyChanged
		}
		refused.Listed = append(refused.Listed, Fingerprint(line.key))
	}
	if listed {
		return nil
	}
	return refused
}

// verifyHostName checks a name in lower case. It must not look like anything else in
// the file.
func verifyHostName(name string) error {
	if name == "" || len(name) > maxHostName {
		return fmt.Errorf("%w: name of %d octets, want 1 to %d", ErrKnownHosts, len(name), maxHostName)
	}
	if strings.ContainsAny(name[:1], "@#*|") {
		return fmt.Errorf("%w: name %q begins with %q", ErrKnownHosts, name, name[0])
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' {
			return fmt.Errorf("%w: character %q in the name %q", ErrKnownHosts, c, name)
		}
	}
	return nil
}

// keyType names the kind of a key, which MLS encodes in a size of its own.
func keyType(key []byte) (string, error) {
	switch {
	case len(key) == 32:
		return "ed25519", nil
	case len(key) == 65 && key[0] == 4:
		return "ecdsa-p256", nil
	case len(key) == 97 && key[0] == 4:
		return "ecdsa-p384", nil
	case len(key) == 133 && key[0] == 4:
		return "ecdsa-p521", nil
	}
	return "", fmt.Errorf("%w: %d octets", ErrKey, len(key))
}
