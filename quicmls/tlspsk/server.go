package tlspsk

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Server takes connections of any number of sessions, each by a key that it
// expects. It holds memory for the keys that it was told to expect, and for nothing that a
// client sends. It is safe for concurrent use.
type Server struct {
	cfg  *Config
	base *tls.Config

	mu       sync.Mutex
	closed   bool
	expected map[ID]*Key
	// taken are the connections that were keyed and not identified yet, by their binding.
	taken map[binding]ID
}

// NewServer returns a server that expects nobody. Errors match [ErrConfig] or [ErrEncoding].
func NewServer(cfg *Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := verifyEncoding(serverState, nil); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, expected: make(map[ID]*Key), taken: make(map[binding]ID)}
	s.base = cfg.tls()
	s.base.GetCertificate = refuseCertificate
	s.base.GetConfigForClient = s.configFor
	return s, nil
}

// Config returns the configuration of a listener, for tls.Listen or quic.Listen. It
// must not be changed. A listener that takes other connections as well calls its
// GetConfigForClient for those hellos that have the server name.
func (s *Server) Config() *tls.Config { return s.base }

// Expect takes a key over and lets one connection in by it, until it is withdrawn.
// Errors match [ErrKeyUsed], [ErrKnownKey], [ErrEncoding] or [ErrClosed].
func (s *Server) Expect(key *Key) error {
	if err := verifyEncoding(serverState, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if _, known := s.expected[key.id]; known {
		return fmt.Errorf("%w: %v", ErrKnownKey, key.id)
	}
	if err := key.own(); err != nil {
		return err
	}
	s.expected[key.id] = key
	return nil
}

// Stop erases a key by which nobody has come yet. It reports whether somebody has, and was not identified: that
// connection goes on, and can still be.
func (s *Server) Stop(id ID) (came bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(id)
	for _, taken := range s.taken {
		came = came || taken == id
	}
	return came
}

// stop erases a key that is expected. s.mu is locked.
func (s *Server) stop(id ID) {
	if key := s.expected[id]; key != nil {
		key.Erase()
		delete(s.expected, id)
	}
}

// Withdraw erases a key that is not expected any more, such as one of a past epoch, and
// forgets a connection that came by it and was not identified. A connection that was goes on.
func (s *Server) Withdraw(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(id)
	for b, taken := range s.taken {
		if taken == id {
			delete(s.taken, b)
		}
	}
}

// Close withdraws all keys. Connections that were identified go on.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.expected {
		key.Erase()
	}
	clear(s.expected)
	clear(s.taken)
	s.closed = true
}

// Identify says by which key a connection came, once, and from then on has forgotten that key. The
// handshake has to be complete: only then has the client shown that it holds the key.
// Errors match [ErrNotKeyed] or [ErrUnknownConnection].
func (s *Server) Identify(state tls.ConnectionState) (ID, error) {
	if !state.HandshakeComplete {
		return ID{}, fmt.Errorf("%w: the handshake is not complete", ErrNotKeyed)
	}
	if err := s.cfg.verify(state); err != nil {
		return ID{}, err
	}
	b, err := bindingOf(state)
	if err != nil {
		return ID{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.taken[b]
	if !ok {
		return ID{}, ErrUnknownConnection
	}
	delete(s.taken, b)
	return id, nil
}

// configFor returns a configuration for one connection, so that the key that is looked up in it
// and the key that is used up in it are the same.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !strings.EqualFold(hello.ServerName, s.cfg.ServerName) {
		return nil, fmt.Errorf("%w: %q, want %q", ErrServerName, hello.ServerName, s.cfg.ServerName)
	}
	h := &serverHandshake{server: s}
	config := s.cfg.tls()
	config.GetCertificate = refuseCertificate
	config.UnwrapSession = h.lookUp
	config.WrapSession = noTicket
	config.VerifyConnection = h.verify
	return config, nil
}

// refuseCertificate is asked where a client has no key that is expected.
func refuseCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return nil, ErrUnknownKey
}

// noTicket is the ticket that clients get: crypto/tls cannot be kept from sending one
// without keeping it from taking keys, too. It names no key.
func noTicket(tls.ConnectionState, *tls.SessionState) ([]byte, error) {
	return []byte("none"), nil
}

// A serverHandshake is one handshake at the server.
type serverHandshake struct {
	server *Server
	key    *Key   // that the client has named
	memory []byte // of the session's secret
}

// lookUp finds the key that a client names. Nothing is used up yet, as the name is in the clear:
// crypto/tls checks next that the client knows the secret. [tls.Config.UnwrapSession]
func (h *serverHandshake) lookUp(name []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
	if h.key != nil {
		return nil, fmt.Errorf("%w: a hello with several", ErrUnknownKey)
	}
	if len(name) != len(ID{}) {
		return nil, nil // and refuseCertificate ends the handshake
	}
	h.server.mu.Lock()
	h.key = h.server.expected[ID(name)]
	h.server.mu.Unlock()
	if h.key == nil {
		return nil, nil
	}
	secret := h.key.copySecret()
	defer clear(secret)
	if secret == nil {
		return nil, nil
	}
	state, memory, err := newState(serverState, secret, nil, time.Now())
	h.memory = memory
	return state, err
}

// verify is asked when the client's hello has shown that it knows the secret, and
// uses the key up. [tls.Config.VerifyConnection]
func (h *serverHandshake) verify(state tls.ConnectionState) error {
	clear(h.memory)
	if err := h.server.cfg.verify(state); err != nil {
		return err
	}
	if h.key == nil {
		return fmt.Errorf("%w: nobody has looked up a key", ErrNotKeyed)
	}
	b, err := bindingOf(state)
	if err != nil {
		return err
	}
	return h.server.take(h.key, b)
}

// take uses a key up for the connection with a binding.
func (s *Server) take(key *Key, b binding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !key.use() {
		return fmt.Errorf("%w: %v", ErrKeyUsed, key.id)
	}
	delete(s.expected, key.id)
	s.taken[b] = key.id
	return nil
}

// A binding tells a TLS connection from all others. RFC 9266.
type binding [32]byte

func bindingOf(state tls.ConnectionState) (binding, error) {
	b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, len(binding{}))
	if err != nil {
		return binding{}, fmt.Errorf("tlspsk: the connection's binding: %w", err)
	}
	return binding(b), nil
}
