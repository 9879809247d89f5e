package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/mendlink/mendlink/identity"
)

// inherit completes f with defaults, and each forward with what stands at the top. Paths become relative to dir.
func (f *File) inherit(dir string) {
	f.Admin = cmp.Or(f.Admin, DefaultAdmin)
	f.Log.Level = cmp.Or(f.Log.Level, "info")
	f.Log.Format = cmp.Or(f.Log.Format, "text")
	f.Drain = cmp.Or(f.Drain, DefaultDrain)
	f.Identity.below(dir)
	f.Peers.inherit(dir)
	if f.Sessions != nil {
		below(dir, &f.Sessions.File)
		below(dir, &f.Sessions.Key)
	}
	for i := range f.Forwards {
		w := &f.Forwards[i]
		w.Identity.below(dir)
		w.Peers.inherit(dir)
		w.Identity = cmp.Or(w.Identity, f.Identity)
		w.Peers = cmp.Or(w.Peers, f.Peers)
		w.Rekey = cmp.Or(w.Rekey, f.Rekey, new(Rekey))
		w.FilesEvery = cmp.Or(w.FilesEvery, f.FilesEvery, DefaultFilesEvery)
		w.Transport = cmp.Or(w.Transport, TCP)
		w.MaxConnections = cmp.Or(w.MaxConnections, DefaultMaxConnections)
		if w.Role == Server {
			w.MaxHandshakes = cmp.Or(w.MaxHandshakes, DefaultMaxHandshakes)
		}
		w.ConnectTimeout = cmp.Or(w.ConnectTimeout, DefaultConnectTimeout)
		w.KeepAlive = cmp.Or(w.KeepAlive, DefaultKeepAlive)
	}
}

func (id *Identity) below(dir string) {
	if id != nil {
		below(dir, &id.Key)
		below(dir, &id.Certificate)
	}
}

func (p *Peers) inherit(dir string) {
	if p == nil {
		return
	}
	if p.Refused == "" { // else it is left alone, as it may be in force already
		p.Refused = Drop
	}
	below(dir, &p.KnownHosts)
	for _, list := range [][]string{p.Keys, p.Roots, p.Revoked} {
		for i := range list {
			below(dir, &list[i])
		}
	}
}

func below(dir string, path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(dir, *path)
	}
}

const (
	// shortest is the least time that goes for what is done again and again.
	shortest = 100 * time.Millisecond
	// longestSpread is the most over which links are spread.
	longestSpread = 24 * time.Hour
)

var (
	errMissing   = errors.New("is missing")
	errInline    = errors.New("wants the name of a file, and seems to be what belongs into one, which is not repeated here")
	errNotNamed  = errors.New("wants the name of an environment variable, and seems to be what belongs into one, which is not repeated here")
	forwardName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	fingerprints = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}$`)
	variable     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	hexKey       = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`) // as package seal has them
)

// check tells wrong what is.
func (f *File) check(wrong func(field string, err error)) {
	oneOf(wrong, "log.level", f.Log.Level, "debug", "info", "warn", "error")
	oneOf(wrong, "log.format", f.Log.Format, "text", "json")
	if f.Drain < 0 {
		wrong("drain", fmt.Errorf("must not be negative, got %v", f.Drain))
	}
	if f.Admin != "off" {
		if err := checkAdmin(f.Admin); err != nil {
			wrong("admin", err)
		}
	}
	if f.Sessions != nil {
		f.Sessions.check(wrong)
	}
	if f.Identity != nil {
		f.Identity.check("identity", wrong)
	}
	if f.Peers != nil {
		f.Peers.check("peers", wrong)
	}
	if f.Rekey != nil {
		f.Rekey.check("rekey", wrong)
	}
	if f.FilesEvery != 0 && f.FilesEvery < shortest {
		wrong("files_every", fmt.Errorf("must be %v at least, got %v", shortest, f.FilesEvery))
	}
	if len(f.Forwards) == 0 {
		wrong("forwards", errMissing)
	}
	names, listens := make(map[string]int), make(map[string]int)
	for i := range f.Forwards {
		w, field := &f.Forwards[i], fmt.Sprintf("forwards[%d]", i)
		w.check(f, field, wrong)
		if before, ok := names[w.Name]; ok && w.Name != "" {
			wrong(field+".name", fmt.Errorf("%q is the name of forwards[%d] already", w.Name, before))
		}
		names[w.Name] = i
		if before, ok := listens[w.socket()]; ok && w.Listen != "" && !strings.HasSuffix(w.Listen, ":0") {
			wrong(field+".listen", fmt.Errorf("%s is where forwards[%d] listens already", w.Listen, before))
		}
		listens[w.socket()] = i
	}
}

// checkPath refuses what is no name of a file but, by mistake, a key: it would be in the error that says that there is no
// such file, and so in the log.
func checkPath(field, path string, wrong func(string, error)) {
	if strings.ContainsAny(path, "\n\r") || strings.Contains(path, "-----BEGIN") {
		wrong(field, errInline)
	}
}

// socket names what w listens on: the same address may be there over TCP and over UDP.
func (w *Forward) socket() string {
	if w.Role == Server && w.Transport == QUIC {
		return "udp " + w.Listen
	}
	return "tcp " + w.Listen
}

func (w *Forward) check(f *File, field string, wrong func(string, error)) {
	if !forwardName.MatchString(w.Name) {
		wrong(field+".name", fmt.Errorf("wants 1 to 64 letters, digits, dots, hyphens and underscores, got %q", w.Name))
	}
	oneOf(wrong, field+".role", w.Role, Server, Client)
	oneOf(wrong, field+".transport", w.Transport, TCP, QUIC)
	if err := checkAddress(w.Listen, w.Role == Client, true); err != nil {
		wrong(field+".listen", err)
	}
	if err := checkAddress(w.Forward, w.Role == Server, false); err != nil {
		wrong(field+".forward", err)
	}
	if w.MaxConnections < 0 {
		wrong(field+".max_connections", fmt.Errorf("must not be negative, got %d", w.MaxConnections))
	}
	if w.MaxHandshakes < 0 {
		wrong(field+".max_handshakes", fmt.Errorf("must not be negative, got %d", w.MaxHandshakes))
	}
	if w.Role == Client && w.MaxHandshakes > 0 {
		wrong(field+".max_handshakes", errors.New("is for a server: strangers come there"))
	}
	if w.ConnectTimeout < 0 {
		wrong(field+".connect_timeout", fmt.Errorf("must not be negative, got %v", w.ConnectTimeout))
	}
	if w.KeepAlive < shortest {
		wrong(field+".keep_alive", fmt.Errorf("must be %v at least, got %v", shortest, w.KeepAlive))
	}
	if w.FilesEvery != f.FilesEvery && w.FilesEvery < shortest {
		wrong(field+".files_every", fmt.Errorf("must be %v at least, got %v", shortest, w.FilesEvery))
	}
	if w.ProxyProtocol != nil {
		w.ProxyProtocol.check(w, field+".proxy_protocol", wrong)
	}
	switch {
	case w.Identity == nil:
		wrong(field+".identity", errMissing)
	case w.Identity != f.Identity:
		w.Identity.check(field+".identity", wrong)
	}
	switch {
	case w.Peers == nil:
		wrong(field+".peers", errMissing)
	case w.Peers != f.Peers:
		w.Peers.check(field+".peers", wrong)
	}
	if w.Rekey != f.Rekey {
		w.Rekey.check(field+".rekey", wrong)
	}
}

func (p *ProxyProtocol) check(w *Forward, field string, wrong func(string, error)) {
	if w.Role == Client {
		wrong(field, errors.New("is for a server: the service is behind it"))
	}
	if len(p.From) > 0 && w.Transport == QUIC {
		wrong(field+".from", errors.New("is for tcp: over QUIC each packet would have a header"))
	}
	for i, text := range p.From {
		if _, err := parseNetwork(text); err != nil {
			wrong(fmt.Sprintf("%s.from[%d]", field, i), err)
		}
	}
}

func (s *Sessions) check(wrong func(string, error)) {
	if s.File == "" {
		wrong("sessions.file", errMissing)
	}
	checkPath("sessions.file", s.File, wrong)
	checkPath("sessions.key", s.Key, wrong)
	if hexKey.MatchString(filepath.Base(s.Key)) {
		wrong("sessions.key", errInline)
	}
	if s.KeyEnv != "" && (!variable.MatchString(s.KeyEnv) || hexKey.MatchString(s.KeyEnv)) {
		wrong("sessions.key_env", errNotNamed)
	}
	switch {
	case s.Key == "" && s.KeyEnv == "":
		wrong("sessions.key", errMissing)
	case s.Key != "" && s.KeyEnv != "":
		wrong("sessions.key_env", errors.New("stands beside key: want one of the two"))
	case s.Key != "" && s.Key == s.File:
		wrong("sessions.key", errors.New("is the file of the sessions"))
	}
}

func (id *Identity) check(field string, wrong func(string, error)) {
	if id.Key == "" {
		wrong(field+".key", errMissing)
	}
	checkPath(field+".key", id.Key, wrong)
	checkPath(field+".certificate", id.Certificate, wrong)
	if id.Certificate != "" && id.Name != "" {
		wrong(field+".name", errors.New("is in the certificate"))
	}
	if id.Spread > longestSpread {
		wrong(field+".spread", fmt.Errorf("must be %v at most, as the identity of before has to be good for so long, got %v", longestSpread, id.Spread))
	}
	if id.Certificate == "" && id.GroupReadable {
		wrong(field+".group_readable", errors.New("is for a key with a certificate"))
	}
}

func (p *Peers) check(field string, wrong func(string, error)) {
	keys, roots, hosts := len(p.Fingerprints)+len(p.Keys) > 0, len(p.Roots) > 0, p.KnownHosts != ""
	ways := 0
	for _, there := range []bool{keys, roots, hosts} {
		if there {
			ways++
		}
	}
	if ways != 1 {
		wrong(field, fmt.Errorf("wants one of fingerprints or keys, roots, and known_hosts, got %d of them", ways))
	}
	for name, paths := range map[string][]string{"keys": p.Keys, "roots": p.Roots, "revoked": p.Revoked} {
		for i, path := range paths {
			checkPath(fmt.Sprintf("%s.%s[%d]", field, name, i), path, wrong)
		}
	}
	checkPath(field+".known_hosts", p.KnownHosts, wrong)
	for i, fingerprint := range p.Fingerprints {
		if !fingerprints.MatchString(fingerprint) {
			wrong(fmt.Sprintf("%s.fingerprints[%d]", field, i), fmt.Errorf("wants SHA256: and 43 characters of base64, got %q", fingerprint))
		}
	}
	if roots && (len(p.Names) > 0) == p.AnyName {
		wrong(field+".names", errors.New("wants names, or any_name for everybody whom the roots vouch for"))
	}
	if !roots && (len(p.Names) > 0 || p.AnyName) {
		wrong(field+".names", errors.New("are for certificates: roots are missing"))
	}
	if !roots && len(p.Revoked) > 0 {
		wrong(field+".revoked", errors.New("is for certificates: roots are missing"))
	}
	oneOf(wrong, field+".refused", p.Refused, Drop, Warn)
	for i, name := range p.Names {
		if strings.HasPrefix(name, "spiffe:") {
			if _, err := identity.SPIFFE(name); err != nil {
				wrong(fmt.Sprintf("%s.names[%d]", field, i), err)
			}
		}
	}
}

func (r *Rekey) check(field string, wrong func(string, error)) {
	if r.Every > 0 && r.Every < shortest {
		wrong(field+".every", fmt.Errorf("must be %v at least, got %v", shortest, r.Every))
	}
}

// checkAddress reports what is wrong with an address of a forward, whose plain side may be a Unix socket.
func checkAddress(address string, plain, listen bool) error {
	network, rest, _ := strings.Cut(address, ":")
	switch {
	case address == "":
		return errMissing
	case network == "unix" && !plain:
		return fmt.Errorf("wants host:port, as Mendlink goes over TCP or QUIC, got %q", address)
	case network == "systemd" && !listen:
		return fmt.Errorf("wants where to connect to, got %q", address)
	case network == "unix" || network == "systemd":
		if rest == "" {
			return fmt.Errorf("wants something after the colon, got %q", address)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("wants host:port, got %q", address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return fmt.Errorf("wants a port from 0 to 65535, got %q", port)
	}
	if !listen && (host == "" || port == "0") {
		return fmt.Errorf("wants a host and a port to connect to, got %q", address)
	}
	return nil
}

// checkAdmin refuses what others on the network could reach: there is no login.
func checkAdmin(address string) error {
	if err := checkAddress(address, true, true); err != nil {
		return err
	}
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "systemd:") {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("wants a loopback address or a Unix socket, as everybody who reaches it reads it, got %q", address)
	}
	return nil
}

func oneOf(wrong func(string, error), field, value string, choices ...string) {
	for _, choice := range choices {
		if value == choice {
			return
		}
	}
	wrong(field, fmt.Errorf("wants one of %s, got %q", strings.Join(choices, ", "), value))
}
