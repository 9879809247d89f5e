package channel

import (
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// Labels of the secrets that an epoch's exporter gives. The first two are those
// of draft-kohbrok-mls-tls; "c" is the end that was the initiator of the full
// handshake, whoever resumes.
const (
	labelClientTraffic = "MLS-TLS c ap traffic"
	labelServerTraffic = "MLS-TLS s ap traffic"
	labelExporter      = "Mendlink exporter"
)

// trafficSecrets are all that an epoch gives to others than MLS. Each is of the
// size of the suite's hash. A secret that was handed to the driver is nil.
type trafficSecrets struct {
	epoch         uint64
	send, receive []byte
	exporter      []byte
}

// drawSecrets derives a group's traffic secrets and erases its exporter secret,
// so that whoever steals the state later cannot derive them again.
func (s *Session) drawSecrets(g *mls.Group) (*trafficSecrets, error) {
	t := &trafficSecrets{epoch: g.Epoch()}
	client, server := &t.send, &t.receive
	if s.role == RoleResponder {
		client, server = &t.receive, &t.send
	}
	for _, d := range []struct {
		label  string
		secret *[]byte
	}{{labelClientTraffic, client}, {labelServerTraffic, server}, {labelExporter, &t.exporter}} {
		secret, err := g.Export(d.label, nil, g.Suite().HashSize())
		if err != nil {
			t.erase()
			return nil, because(AlertInternalError, fmt.Errorf("channel: drawing the secrets of epoch %d: %w", g.Epoch(), err))
		}
		*d.secret = secret
	}
	g.EraseExporterSecret()
	if err := s.logSecrets(t); err != nil {
		t.erase()
		return nil, err
	}
	return t, nil
}

func (t *trafficSecrets) erase() {
	if t == nil {
		return
	}
	clear(t.send)
	clear(t.receive)
	clear(t.exporter)
	t.send, t.receive, t.exporter = nil, nil, nil
}

// switchSend hands the sending secret over to the driver.
func (s *Session) switchSend(t *trafficSecrets) SwitchSend {
	e := SwitchSend{Epoch: t.epoch, Suite: s.group.Suite(), Secret: t.send}
	t.send = nil
	return e
}

// switchReceive hands the receiving secret over to the driver.
func (s *Session) switchReceive(t *trafficSecrets) SwitchReceive {
	e := SwitchReceive{Epoch: t.epoch, Suite: s.group.Suite(), Secret: t.receive}
	t.receive = nil
	return e
}

// ExportKeyingMaterial derives length octets, at most 255 times the size of the
// suite's hash, from a secret of the current epoch that serves nothing else.
// Both ends get the same for the same label, context and epoch; while an update
// is under way one of them is an epoch ahead. The derivation is that of the MLS exporter (RFC 9420,
// Section 8.5). Errors match [ErrNotReady] or [ErrClosed], or say that length
// is out of range.
func (s *Session) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	if s.state == StateClosed {
		return nil, ErrClosed
	}
	if !s.state.complete() {
		return nil, ErrNotReady
	}
	suite := s.group.Suite()
	if limit := 255 * suite.HashSize(); length < 0 || length > limit {
		return nil, fmt.Errorf("channel: cannot export %d octets, want at most %d", length, limit)
	}
	secret := suite.DeriveSecret(s.secrets.exporter, label)
	defer clear(secret)
	return suite.ExpandWithLabel(secret, "exported", suite.Hash(context), length), nil
}
