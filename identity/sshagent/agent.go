package sshagent

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/mendlink/mendlink/identity"
)

// DefaultTimeout is that of [Agent.Timeout].
const DefaultTimeout = 10 * time.Second

var (
	// ErrNoAgent means that there is no agent to ask.
	ErrNoAgent = errors.New("sshagent: no agent")
	// ErrUnknownKey means that the agent does not have a key.
	ErrUnknownKey = errors.New("sshagent: the agent does not have the key")
	// ErrSignature means that what the agent has returned is no signature by the key.
	ErrSignature = errors.New("sshagent: the agent's signature is not good")
	// ErrDigest means that a digest was to be signed, which an agent cannot: it hashes messages itself.
	ErrDigest = errors.New("sshagent: an agent signs messages only")
)

// An Agent holds private keys and signs with them. Each operation has a connection of its
// own, so that nothing is lost when the agent is started again. It is safe for concurrent use.
type Agent struct {
	connect func() (net.Conn, error)
	// Timeout bounds each operation. Default: DefaultTimeout. It must not be changed while
	// the Agent is used.
	Timeout time.Duration
}

// New returns the agent to which connect leads. It is called for each operation.
func New(connect func() (net.Conn, error)) *Agent {
	return &Agent{connect: connect, Timeout: DefaultTimeout}
}

// FromEnvironment returns the agent behind the socket that SSH_AUTH_SOCK names. That it names
// none is [ErrNoAgent].
func FromEnvironment() (*Agent, error) {
	path := os.Getenv("SSH_AUTH_SOCK")
	if path == "" {
		return nil, fmt.Errorf("%w: SSH_AUTH_SOCK is not set", ErrNoAgent)
	}
	return New(func() (net.Conn, error) { return net.Dial("unix", path) }), nil
}

// Signers returns the keys of the agent that are of a supported kind. What else it has,
// such as certificates and RSA keys, is passed over.
func (a *Agent) Signers() ([]crypto.Signer, error) {
	var signers []crypto.Signer
	err := a.ask(func(client agent.ExtendedAgent) error {
		keys, err := client.List()
		if err != nil {
			return err
		}
		for _, key := range keys {
			public, err := ssh.ParsePublicKey(key.Marshal())
			if err != nil {
				continue // of a kind that package ssh does not know
			}
			if s := a.signer(public); s != nil {
				signers = append(signers, s)
			}
		}
		return nil
	})
	return signers, err
}

// SignerFor returns the signer of a public key. That the agent does not have it is
// [ErrUnknownKey]. It fits the Signer of an identity.KeyPair.
func (a *Agent) SignerFor(public crypto.PublicKey) (crypto.Signer, error) {
	want, err := identity.EncodePublicKey(public)
	if err != nil {
		return nil, err
	}
	signers, err := a.Signers()
	if err != nil {
		return nil, err
	}
	for _, s := range signers {
		key, err := identity.EncodePublicKey(s.Public())
		if err != nil {
			return nil, err
		}
		if bytes.Equal(key, want) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownKey, identity.Fingerprint(want))
}

// ask has one thing done over a connection.
func (a *Agent) ask(do func(agent.ExtendedAgent) error) error {
	conn, err := a.connect()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(a.Timeout)); err != nil {
		return fmt.Errorf("sshagent: %w", err)
	}
	// Without its Close, so that the client has no goroutine.
	if err := do(agent.NewClient(struct{ io.ReadWriter }{conn})); err != nil {
		return fmt.Errorf("sshagent: %w", err)
	}
	return nil
}
