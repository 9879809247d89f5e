package channel

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// isZero reports whether a secret is erased.
func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// secretsOf returns the memory that holds a session's secrets now.
func (s *Session) secretsOf() (groups []*mls.Group, secrets [][]byte) {
	groups = append(groups, s.group)
	if s.secrets != nil {
		secrets = append(secrets, s.secrets.send, s.secrets.receive, s.secrets.exporter)
	}
	if s.pending != nil {
		groups = append(groups, s.pending.group)
		if s.pending.secrets != nil {
			secrets = append(secrets, s.pending.secrets.send, s.pending.secrets.receive, s.pending.secrets.exporter)
		}
	}
	return groups, secrets
}

// verifyErased checks that what secretsOf has returned is gone.
func verifyErased(t *testing.T, what string, groups []*mls.Group, secrets [][]byte) {
	t.Helper()
	for _, g := range groups {
		if _, err := g.Marshal(); !errors.Is(err, mls.ErrErased) {
			t.Errorf("%s: epoch %d is not erased: %v", what, g.Epoch(), err)
		}
	}
	for i, s := range secrets {
		if !isZero(s) {
			t.Errorf("%s: secret %d is not erased", what, i)
		}
	}
}

func TestSecretsOfPastEpochsAreErased(t *testing.T) {
	a, b := established(t)
	aGroups, aSecrets := a.secretsOf()
	bGroups, bSecrets := b.secretsOf()
	a.update(t, ReasonAge)
	b.deliver(t)
	verifyErased(t, "acknowledging", bGroups, bSecrets)
	if isZero(aSecrets[2]) {
		t.Error("the updating end gives its epoch up before it is acknowledged")
	}
	a.deliver(t)
	verifyErased(t, "being acknowledged", aGroups, aSecrets)
	settle(t, a, b)

	// A commit that is dropped.
	a.update(t, ReasonAge)
	b.update(t, ReasonAge)
	bGroups, bSecrets = b.secretsOf()
	b.deliver(t)
	verifyErased(t, "yielding", bGroups, bSecrets)
	settle(t, a, b)

	// Resumption, and the session that it leaves behind.
	aGroups, aSecrets = a.secretsOf()
	cut(a, b)
	verifyErased(t, "closing", aGroups, aSecrets)
	id := aGroups[0].GroupID()
	a, b = resumer(t, a.host, SessionID(id)), listen(t, b.host)
	connect(a, b)
	a.start(t)
	aGroups, aSecrets = a.secretsOf()
	b.deliver(t)
	bGroups, bSecrets = b.secretsOf()
	bGroups, bSecrets = bGroups[:1], bSecrets[:3] // what is pending is adopted
	settle(t, a, b)
	verifyErased(t, "resuming", aGroups, aSecrets)
	verifyErased(t, "answering", bGroups, bSecrets)
	agree(t, a, b)
}

// Whoever steals what is stored, or in memory, cannot derive the traffic
// secrets of its epoch.
func TestExporterSecretIsErased(t *testing.T) {
	for name, way := range map[string]func(tb, *peer, *peer) (*peer, *peer){
		"handshake":  func(_ tb, a, b *peer) (*peer, *peer) { return a, b },
		"update":     updates(0),
		"resumption": resumption("responder resumes"),
	} {
		a, b := established(t)
		a, b = way(t, a, b)
		settle(t, a, b)
		for _, p := range []*peer{a, b} {
			if _, err := p.group.Export(labelClientTraffic, nil, 32); !errors.Is(err, mls.ErrErased) {
				t.Errorf("%s: %s: Export: %v", name, p.name, err)
			}
			stolen := must(Resume(ctx, &p.host.cfg, p.ID()))
			if _, err := stolen.group.Export(labelClientTraffic, nil, 32); !errors.Is(err, mls.ErrErased) {
				t.Errorf("%s: %s: Export from the store: %v", name, p.name, err)
			}
			if bytes.Contains(must(p.stored()), p.sendKey) || bytes.Contains(must(p.stored()), p.secrets.exporter) {
				t.Errorf("%s: %s: a secret of the epoch is in the store", name, p.name)
			}
		}
	}
}

// The driver owns the secret in an event: the session neither keeps nor erases it.
func TestEventsOwnTheirSecrets(t *testing.T) {
	a, b := established(t)
	send := bytes.Clone(a.sendKey)
	if a.secrets.send != nil || a.secrets.receive != nil {
		t.Error("the session keeps secrets that it has handed over")
	}
	a.Close()
	b.Close()
	if !bytes.Equal(send, a.sendKey) {
		t.Error("Close changes a secret that was handed over")
	}
}

func TestExportDependsOnAllItsArguments(t *testing.T) {
	a, b := established(t)
	seen := map[string]string{}
	export := func(what, label, context string, n int) {
		t.Helper()
		secret := string(must(a.ExportKeyingMaterial(label, []byte(context), n)))
		if old, ok := seen[secret]; ok || len(secret) != n {
			t.Errorf("%s gives %d octets, like %q", what, len(secret), old)
		}
		seen[secret] = what
	}
	export("base", "label", "context", 32)
	export("label", "other", "context", 32)
	export("context", "label", "", 32)
	export("length", "label", "context", 33)
	a.update(t, ReasonAge)
	settle(t, a, b)
	export("epoch", "label", "context", 32)
	for _, n := range []int{-1, 255*32 + 1} {
		if _, err := a.ExportKeyingMaterial("label", nil, n); err == nil {
			t.Errorf("%d octets can be exported", n)
		}
	}
	if len(must(a.ExportKeyingMaterial("label", nil, 255*32))) != 255*32 {
		t.Error("the longest export is not that long")
	}
}
