package rivals

import (
	"bytes"
	"crypto/rand"
	"errors"

	"github.com/flynn/noise"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

// A Noise is two ends with static keys that each other knows.
type Noise struct {
	suite                noise.CipherSuite
	initiator, responder noise.DHKey
}

// NewNoise returns two ends of Noise_XX_25519_AESGCM_SHA256.
func NewNoise() (*Noise, error) {
	n := &Noise{suite: noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256)}
	var err error
	if n.initiator, err = n.suite.GenerateKeypair(rand.Reader); err != nil {
		return nil, err
	}
	n.responder, err = n.suite.GenerateKeypair(rand.Reader)
	return n, err
}

// Handshake is a full handshake.
func (n *Noise) Handshake() measure.Op {
	return measure.Repeat(func() error {
		_, err := n.handshake()
		return err
	})
}

// Octets returns those of the three messages.
func (n *Noise) Octets() ([]int, error) { return n.handshake() }

func (n *Noise) handshake() ([]int, error) {
	var ends [2]*noise.HandshakeState
	for i, key := range []noise.DHKey{n.initiator, n.responder} {
		var err error
		ends[i], err = noise.NewHandshakeState(noise.Config{
			CipherSuite: n.suite, Random: rand.Reader, Pattern: noise.HandshakeXX, Initiator: i == 0, StaticKeypair: key,
		})
		if err != nil {
			return nil, err
		}
	}
	var octets []int
	for i := range 3 {
		writer, reader := ends[i%2], ends[1-i%2]
		message, send, _, err := writer.WriteMessage(nil, nil)
		if err != nil {
			return nil, err
		}
		_, receive, _, err := reader.ReadMessage(nil, message)
		if err != nil {
			return nil, err
		}
		if last := i == 2; last != (send != nil) || last != (receive != nil) {
			return nil, errors.New("Noise_XX has other messages than three")
		}
		octets = append(octets, len(message))
	}
	if !bytes.Equal(ends[0].PeerStatic(), n.responder.Public) || !bytes.Equal(ends[1].PeerStatic(), n.initiator.Public) {
		return nil, errors.New("Noise has authenticated somebody else")
	}
	return octets, nil
}
