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
	early         []byte // nil where this end accepts no early data
}

// drawSecrets derives a group's traffic secrets and erases its exporter secret,
// so that whoever steals the state later cannot derive them again.
func (s *Session) drawSecrets(g *mls.Group) (*trafficSecrets, error) {
	t := &trafficSecrets{epoch: g.Epoch()}
	client, server := &t.send, &t.receive
	if s.role == RoleResponder {
		client, server = &t.receive, &t.send
	}
	drawn := []struct {
		label  string
		secret *[]byte
	}{{labelClientTraffic, client}, {labelServerTraffic, server}, {labelExporter, &t.exporter}, {labelEarlyData, &t.early}}
	switch {
	case s.unbound: // an epoch that is passed through: nothing is sent in it
		drawn = nil
	case s.terms.ReceiveEarlyData == 0:
		drawn = drawn[:3]
	}
	for _, d := range drawn {
		secret, err := g.Export(d.label, s.binding, g.Suite().HashSize())
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
	clear(t.early)
	t.send, t.receive, t.exporter, t.early = nil, nil, nil, nil
}

// takeEarly hands over the secret of early data.
func (t *trafficSecrets) takeEarly() []byte {
	secret := t.early
	t.early = nil
	return secret
}

// switchSend hands the sending secret over to the driver.
func (s *Session) switchSend(t *trafficSecrets) SwitchSend {
	e := SwitchSend{Epoch: t.epoch, Suite: s.group.Suite(), Secret: t.send, RecordSize: s.terms.SendRecordSize}
	t.send = nil
	return e
}

// switchReceive hands the receiving secret over to the driver.
func (s *Session) switchReceive(t *trafficSecrets) SwitchReceive {
	e := SwitchReceive{Epoch: t.epoch, Suite: s.group.Suite(), Secret: t.receive, RecordSize: s.terms.ReceiveRecordSize}
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
	return s.export(label, "exported", context, length)
}

// ExportFrom is like ExportKeyingMaterial for what one end alone sends: it is bound
// to the role that this end has in the full handshake, and each role gives other octets.
func (s *Session) ExportFrom(from Role, label string, context []byte, length int) ([]byte, error) {
	switch from {
	case RoleInitiator:
		return s.export(label, "exported c", context, length)
	case RoleResponder:
		return s.export(label, "exported s", context, length)
	}
	return nil, fmt.Errorf("channel: exporting from %v", from)
}

func (s *Session) export(label, purpose string, context []byte, length int) ([]byte, error) {
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
	return suite.ExpandWithLabel(secret, purpose, suite.Hash(context), length), nil
}
