package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A pastTargeted is what is kept of an epoch for targeted messages that come late:
// what decrypts them, while a [pastEpoch] knows who were members.
// draft-ietf-mls-targeted-messages-02, Section 7.1.
type pastTargeted struct {
	leafKey *sharedKey
	secrets map[string]targetedSecrets // by the label of the exporter
}

// targetedExporterLabels are the labels of all formats, in the order of the state.
var targetedExporterLabels = []string{targetedExporterLabel, multiTargetedExporterLabel}

// retireTargeted returns what is kept of g's epoch, nil if nothing is.
func (g *Group) retireTargeted() *pastTargeted {
	if !g.cfg.TargetedMessages {
		return nil
	}
	p := &pastTargeted{secrets: make(map[string]targetedSecrets)}
	for _, label := range targetedExporterLabels {
		secrets, err := g.exportTargeted(label)
		if err != nil {
			return nil // there is no exporter secret any more, and nothing could be read
		}
		p.secrets[label] = secrets
	}
	p.leafKey = g.keys.at(leafPosition(g.own)).share()
	return p
}

func (p *pastTargeted) fork() *pastTargeted {
	if p == nil {
		return nil
	}
	f := &pastTargeted{leafKey: p.leafKey.share(), secrets: make(map[string]targetedSecrets)}
	for label, secrets := range p.secrets {
		f.secrets[label] = secrets.clone()
	}
	return f
}

func (p *pastTargeted) erase() {
	if p == nil {
		return
	}
	p.leafKey.drop()
	for _, secrets := range p.secrets {
		secrets.erase()
	}
}

// processTargeted is [Group.Process] for a targeted message of a past epoch.
func (p *pastEpoch) processTargeted(m *mlsMessage) (Received, error) {
	if !p.cfg.TargetedMessages {
		return nil, fmt.Errorf("mls: processing a %v: %w", m.wireFormat, ErrUnsupported)
	}
	if p.targeted == nil {
		return nil, fmt.Errorf("mls: targeted message of epoch %d: %w", p.context.epoch, ErrErased)
	}
	e := &targetedEpoch{suite: p.suite, own: p.own, key: p.targeted.leafKey.HPKEPrivateKey}
	e.sender = func(i LeafIndex) (senderKey, bool) {
		key := p.signatureKeys[i]
		return senderKey{encoded: key}, key != nil
	}
	e.secrets = func(label string) (targetedSecrets, error) {
		secrets := p.targeted.secrets[label]
		return secrets.clone(), nil
	}
	return e.open(m)
}

// encode writes
//
//	struct {
//	    opaque leaf_private_key<V>;
//	    struct {
//	        opaque psk<V>;
//	        opaque sender_auth_data_secret<V>;
//	    } formats[2];                /* in the order of targetedExporterLabels */
//	} PastTargeted;
func (p *pastTargeted) encode(w *wire.Writer) {
	private := p.leafKey.Bytes()
	w.Opaque(private)
	clear(private)
	for _, label := range targetedExporterLabels {
		secrets := p.secrets[label]
		w.Opaque(secrets.psk)
		w.Opaque(secrets.senderAuthData)
	}
}

// readPastTargeted reads what encode wrote. What it returns is a copy, and what was
// read is erased.
func readPastTargeted(s *ciphersuite.Suite, r *wire.Reader) (*pastTargeted, error) {
	defer eraseRead(r, r.Rest())
	private := r.Opaque()
	p := &pastTargeted{secrets: make(map[string]targetedSecrets)}
	for _, label := range targetedExporterLabels {
		p.secrets[label] = targetedSecrets{bytes.Clone(r.Opaque()), bytes.Clone(r.Opaque())}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	key, err := s.ParseHPKEPrivateKey(private)
	if err != nil {
		return nil, err
	}
	p.leafKey = newSharedKey(key)
	return p, nil
}
