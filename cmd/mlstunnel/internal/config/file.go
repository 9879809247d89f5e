package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
)

// Defaults of a [File] and a [Forward].
const (
	DefaultAdmin          = "127.0.0.1:9470"
	DefaultDrain          = 30 * time.Second
	DefaultMaxConnections = 4096
	DefaultMaxHandshakes  = netconn.DefaultMaxHandshakes
	DefaultConnectTimeout = 10 * time.Second
	DefaultKeepAlive      = 15 * time.Second
	DefaultFilesEvery     = identity.DefaultEvery
	DefaultSpread         = netconn.DefaultIdentitySpread
	// maxFileSize bounds a configuration file, in octets.
	maxFileSize = 1 << 20
)

// A File is a whole configuration.
type File struct {
	// Admin is where status page, metrics and health are: host:port, unix:/path, systemd:name, or off.
	Admin string `yaml:"admin"`
	Log   Log    `yaml:"log"`
	// Drain is how long connections may take to end after SIGTERM.
	Drain time.Duration `yaml:"drain"`
	// Sessions is where sessions outlive the process. Nil: nowhere.
	Sessions *Sessions `yaml:"sessions"`
	// Identity, Peers, Rekey and FilesEvery are those of the forwards that do not have their own.
	Identity   *Identity     `yaml:"identity"`
	Peers      *Peers        `yaml:"peers"`
	Rekey      *Rekey        `yaml:"rekey"`
	FilesEvery time.Duration `yaml:"files_every"`
	Forwards   []Forward     `yaml:"forwards"`
}

// A Log says how to log.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Sessions are kept in a file, sealed under a key of the operator's.
type Sessions struct {
	File   string `yaml:"file"`
	Key    string `yaml:"key"`     // file with the key, which is made if it is not there
	KeyEnv string `yaml:"key_env"` // name of an environment variable with the key, in place of Key
}

// An Identity is who this end is: a key alone, which the peer knows by its fingerprint, or a certificate and its key.
type Identity struct {
	Key         string `yaml:"key"`         // file
	Certificate string `yaml:"certificate"` // file; empty for a key alone
	// Name is shown to the peer with a key alone. Nobody attests it. With KnownHosts the peer looks the key up by it.
	Name string `yaml:"name"`
	// GroupReadable accepts a key file that the group can read.
	GroupReadable bool `yaml:"group_readable"`
	// Spread is over how long the links of a forward are spread when their identity changes. Negative: all at once.
	Spread time.Duration `yaml:"spread"`
}

// Peers says who may be at the other end, in one of three ways: by keys, by certificates, or by known hosts.
type Peers struct {
	Fingerprints []string `yaml:"fingerprints"` // of keys: SHA256:...
	Keys         []string `yaml:"keys"`         // files with public keys

	Roots   []string `yaml:"roots"`    // files with authorities
	Names   []string `yaml:"names"`    // SPIFFE IDs with wildcards, or names of hosts
	AnyName bool     `yaml:"any_name"` // everybody whom the authorities vouch for
	Revoked []string `yaml:"revoked"`  // files

	KnownHosts string `yaml:"known_hosts"` // file

	// Refused is what becomes of a living link whose peer is not accepted any more: Drop or Warn.
	Refused string `yaml:"refused"`
}

// What becomes of a link whose peer is not accepted any more.
const (
	Drop = "drop"
	Warn = "warn"
)

// Rekey says when fresh key material is put into a living connection. Zero is the default of the library, and a
// negative value never.
type Rekey struct {
	Every   time.Duration `yaml:"every"`
	Idle    time.Duration `yaml:"idle"`
	Bytes   int64         `yaml:"bytes"`
	Records int64         `yaml:"records"`
}

// A ProxyProtocol is how a server tells the service, and is told by a balancer, where a connection comes from: with
// headers of version 2 of the PROXY protocol.
type ProxyProtocol struct {
	// Send begins each connection to the service with a header.
	Send bool `yaml:"send"`
	// From has the addresses of balancers, or their networks. What comes from there begins with a header, and what
	// comes from elsewhere does not.
	From []string `yaml:"from"`
}

// The roles and transports of a [Forward].
const (
	Server = "server"
	Client = "client"
	TCP    = "tcp"
	QUIC   = "quic"
)

// A Forward is one way through the tunnel. A server listens with Mendlink and forwards to a plain service; a client
// listens plainly and forwards to a server.
type Forward struct {
	Name      string `yaml:"name"`
	Role      string `yaml:"role"`
	Transport string `yaml:"transport"` // between client and server
	// Listen and Forward are host:port, or for the plain side unix:/path. Listen may be systemd:name.
	Listen  string `yaml:"listen"`
	Forward string `yaml:"forward"`
	// MaxConnections is how many connections there may be at once.
	MaxConnections int `yaml:"max_connections"`
	// MaxHandshakes is how many links of a server may be in their handshake at once. Others wait for it.
	MaxHandshakes int `yaml:"max_handshakes"`
	// ConnectTimeout is how long a connection waits for its way to be open, reconnection included.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// KeepAlive is how often, over QUIC, a quiet link shows that it is alive. After three times that without a sign it is
	// taken to be cut.
	KeepAlive time.Duration `yaml:"keep_alive"`

	Identity *Identity `yaml:"identity"`
	Peers    *Peers    `yaml:"peers"`
	Rekey    *Rekey    `yaml:"rekey"`
	// FilesEvery is how often the files of Identity and Peers are looked at. A change counts once two looks in a row have
	// found it.
	FilesEvery time.Duration `yaml:"files_every"`

	ProxyProtocol *ProxyProtocol `yaml:"proxy_protocol"`
}

// An Error says what is wrong with a configuration, and where.
type Error struct {
	Path  string // of the file; empty if there is none
	Line  int    // from 1; 0 if there is none
	Field string // such as forwards[0].listen; empty if it is the file as a whole
	Err   error
}

func (e *Error) Error() string {
	where := e.Path
	if e.Line > 0 {
		where += fmt.Sprintf(":%d", e.Line)
	}
	if e.Field != "" {
		if where != "" {
			where += ": "
		}
		where += e.Field
	}
	if where == "" {
		return e.Err.Error()
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Load reads a file. All that is wrong with it is in the error, each an [*Error], joined.
func Load(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	if info.Size() > maxFileSize {
		return nil, &Error{Path: path, Err: fmt.Errorf("has %d octets, at most %d are read", info.Size(), maxFileSize)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	return Parse(path, text)
}

// Parse reads text as a file of that path. Names of files in it are relative to the file's directory.
func Parse(path string, text []byte) (*File, error) {
	d := &decoder{path: path, lines: make(map[string]int)}
	f := new(File)
	d.decode(text, f)
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	f.inherit(filepath.Dir(path))
	f.check(d.wrong)
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	return f, nil
}

// Check completes a File that was made from flags, and says what is wrong with it.
func (f *File) Check() error {
	f.inherit(".")
	var errs []error
	f.check(func(field string, err error) { errs = append(errs, &Error{Field: field, Err: err}) })
	return errors.Join(errs...)
}
