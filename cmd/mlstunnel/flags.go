package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
)

// flags are a configuration with one forward, or the name of a file in place of it.
type flags struct {
	path     string
	file     config.File
	forward  config.Forward
	identity config.Identity
	peers    config.Peers
	rekey    config.Rekey
	proxy    config.ProxyProtocol
	sessions config.Sessions
}

func newFlags(role string) *flags {
	return &flags{forward: config.Forward{Name: "tunnel", Role: role}}
}

func (f *flags) add(s *pflag.FlagSet) {
	s.StringVarP(&f.path, "config", "c", "", "configuration `file`, in place of all other flags")
	s.StringVar(&f.forward.Name, "forward-name", f.forward.Name, "`name` in logs and metrics")
	s.StringVar(&f.forward.Listen, "listen", "", "`address` to listen on: host:port, systemd:name, and on the plain side unix:/path")
	s.StringVar(&f.forward.Forward, "forward", "", "`address` to forward to: host:port, and on the plain side unix:/path")
	s.StringVar(&f.forward.Transport, "transport", config.TCP, "tcp or quic, between client and server")
	s.IntVar(&f.forward.MaxConnections, "max-connections", config.DefaultMaxConnections, "how many connections at once")
	if f.forward.Role == config.Server {
		s.IntVar(&f.forward.MaxHandshakes, "max-handshakes", config.DefaultMaxHandshakes, "how many links in their handshake at once")
	}
	s.DurationVar(&f.forward.ConnectTimeout, "connect-timeout", config.DefaultConnectTimeout, "how long a connection waits for its way to be open")
	s.StringVar(&f.identity.Key, "key", "", "`file` with the private key")
	s.StringVar(&f.identity.Certificate, "certificate", "", "`file` with the certificate and its chain")
	s.StringVar(&f.identity.Name, "name", "", "`name` to show with a key without certificate")
	s.DurationVar(&f.identity.Spread, "identity-spread", config.DefaultSpread, "over how long links are spread when their identity changes; negative: all at once")
	s.StringArrayVar(&f.peers.Fingerprints, "peer", nil, "`fingerprint` of a key that the peer may have")
	s.StringArrayVar(&f.peers.Keys, "peer-key", nil, "`file` with a public key that the peer may have")
	s.StringArrayVar(&f.peers.Roots, "root", nil, "`file` with authorities that certify peers")
	s.StringArrayVar(&f.peers.Names, "peer-name", nil, "`name` of a peer's certificate: a host, or a SPIFFE ID with wildcards")
	s.BoolVar(&f.peers.AnyName, "any-name", false, "accept everybody whom the authorities certify")
	s.StringArrayVar(&f.peers.Revoked, "revoked", nil, "`file` of what is revoked")
	s.StringVar(&f.peers.KnownHosts, "known-hosts", "", "`file` of known hosts")
	s.DurationVar(&f.forward.FilesEvery, "files-every", config.DefaultFilesEvery, "how often the files of certificates, revocations and known hosts are looked at")
	s.StringVar(&f.peers.Refused, "refused", config.Drop, "drop or warn: what becomes of a link whose peer is not accepted any more")
	s.DurationVar(&f.rekey.Every, "rekey-every", time.Minute, "age at which keys are replaced")
	if f.forward.Role == config.Server {
		s.BoolVar(&f.proxy.Send, "proxy-protocol", false, "begin connections to the service with a header of the PROXY protocol, version 2")
		s.StringArrayVar(&f.proxy.From, "proxy-protocol-from", nil, "`address` or network of balancers whose connections begin with such a header")
	}
	s.StringVar(&f.sessions.File, "sessions", "", "`file` where sessions outlive the process; without it they are in memory")
	s.StringVar(&f.sessions.Key, "sessions-key", "", "`file` with the key that they are sealed under, made if it is not there")
	s.StringVar(&f.sessions.KeyEnv, "sessions-key-env", "", "`name` of an environment variable with that key, in place of the file")
	s.StringVar(&f.file.Admin, "admin", config.DefaultAdmin, "`address` of status page and metrics: loopback, unix:/path, systemd:name or off")
	s.DurationVar(&f.file.Drain, "drain", config.DefaultDrain, "how long connections may take to end")
	s.StringVar(&f.file.Log.Level, "log-level", "info", "debug, info, warn or error")
	s.StringVar(&f.file.Log.Format, "log-format", "text", "text or json")
}

// loader returns what loads the configuration, once and again.
func (f *flags) loader(s *pflag.FlagSet) (func() (*config.File, error), error) {
	if f.path == "" {
		return f.load, nil
	}
	var others []string
	s.Visit(func(flag *pflag.Flag) {
		if flag.Name != "config" {
			others = append(others, "--"+flag.Name)
		}
	})
	if len(others) > 0 {
		return nil, fmt.Errorf("with --config there are no other flags, got %v", others)
	}
	return func() (*config.File, error) {
		c, err := config.Load(f.path)
		if err != nil {
			return nil, err
		}
		return only(f.forward.Role, c)
	}, nil
}

func (f *flags) load() (*config.File, error) {
	c, w, identity, peers, rekey := f.file, f.forward, f.identity, f.peers, f.rekey
	w.Identity, w.Peers, w.Rekey = &identity, &peers, &rekey
	if f.proxy.Send || len(f.proxy.From) > 0 {
		proxy := f.proxy
		w.ProxyProtocol = &proxy
	}
	if f.sessions != (config.Sessions{}) {
		sessions := f.sessions
		c.Sessions = &sessions
	}
	c.Forwards = []config.Forward{w}
	if err := c.Check(); err != nil {
		return nil, named(err)
	}
	return &c, nil
}

// flagOf says by which flag a field comes in.
var flagOf = map[string]string{
	"name": "forward-name", "listen": "listen", "forward": "forward", "transport": "transport", "max_connections": "max-connections", "max_handshakes": "max-handshakes",
	"connect_timeout": "connect-timeout", "identity.key": "key", "identity.spread": "identity-spread", "identity.name": "name", "peers": "peer", "peers.fingerprints": "peer",
	"peers.names": "peer-name", "peers.revoked": "revoked", "peers.refused": "refused", "proxy_protocol.from": "proxy-protocol-from", "files_every": "files-every", "rekey.every": "rekey-every", "admin": "admin", "drain": "drain",
	"sessions.file": "sessions", "sessions.key": "sessions-key", "sessions.key_env": "sessions-key-env",
	"log.level": "log-level", "log.format": "log-format",
}

var index = regexp.MustCompile(`\[\d+\]$`)

// named has errors name flags in place of fields.
func named(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var all []error
	for _, err := range joined.Unwrap() {
		if e, ok := err.(*config.Error); ok {
			field := index.ReplaceAllString(strings.TrimPrefix(e.Field, "forwards[0]."), "")
			if flag, ok := flagOf[field]; ok {
				err = fmt.Errorf("--%s: %w", flag, e.Err)
			}
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}
