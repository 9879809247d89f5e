package channel

import (
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestHandshakeCompletesAtBothEnds(t *testing.T) {
	for _, id := range DefaultSuites() {
		if id == 2 || id == 5 || id == 7 || id == 0xF003 || id == 0xF004 || id == 0xF005 {
			continue
		}
		a, b := newHost(t, "alice"), newHost(t, "bob")
		a.cfg.Suites = []ciphersuite.ID{id}
		b.cfg.Suites = nil
		p, q := initiate(t, a, b)
		p.start(t)
		settle(t, p, q)
		agree(t, p, q)
		if p.Epoch() != 1 || p.Suite().ID() != id {
			t.Errorf("epoch %d, suite %v", p.Epoch(), p.Suite())
		}
		canUpdate(t, p, q)
	}
}
