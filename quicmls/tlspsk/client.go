package tlspsk

import (
	"crypto/tls"
	"time"
)

// A Client makes the configurations of connections that this end dials. It is safe for
// concurrent use.
type Client struct {
	cfg   *Config
	decoy *decoy
}

// NewClient returns a client. Errors match [ErrConfig] or [ErrEncoding].
func NewClient(cfg *Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d, err := newDecoy(cfg.ServerName)
	if err != nil {
		return nil, err
	}
	return &Client{cfg, d}, nil
}

// Config returns the configuration of one connection, for tls.Client or quic.Dial, and
// takes the key over. It must not be changed, and serves one handshake: a
// second one with it fails. The key is erased in the course of the handshake.
//
// Errors match [ErrKeyUsed] or [ErrEncoding].
func (c *Client) Config(key *Key) (*tls.Config, error) {
	if err := verifyEncoding(clientState, c.decoy.der); err != nil {
		return nil, err
	}
	if err := key.own(); err != nil {
		return nil, err
	}
	h := &clientHandshake{client: c, key: key}
	config := c.cfg.tls()
	config.ServerName = c.cfg.ServerName
	config.RootCAs = c.decoy.pool
	config.ClientSessionCache = h
	config.VerifyConnection = h.verify
	return config, nil
}

// A clientHandshake is the one handshake of a configuration, and the cache in which
// crypto/tls finds the session.
type clientHandshake struct {
	client *Client
	key    *Key
	memory []byte // of the session's secret
}

// Get gives the session out once. Without one, crypto/tls asks the server for
// a certificate, and then verify refuses it. [tls.ClientSessionCache]
func (h *clientHandshake) Get(string) (*tls.ClientSessionState, bool) {
	secret := h.key.copySecret()
	defer clear(secret)
	if !h.key.use() || secret == nil {
		return nil, false
	}
	state, memory, err := newState(clientState, secret, h.client.decoy.der, time.Now())
	if err != nil {
		return nil, false
	}
	id := h.key.ID()
	session, err := tls.NewResumptionState(id[:], state)
	if err != nil {
		clear(memory)
		return nil, false
	}
	h.memory = memory
	return session, true
}

// Put drops the tickets that a server sends. [tls.ClientSessionCache]
func (h *clientHandshake) Put(string, *tls.ClientSessionState) {}

// verify is asked when the server has answered. crypto/tls has derived from the secret all
// that it needs by then. [tls.Config.VerifyConnection]
func (h *clientHandshake) verify(state tls.ConnectionState) error {
	clear(h.memory)
	return h.client.cfg.verify(state)
}
