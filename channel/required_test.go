package channel

import (
	"errors"
	"testing"
)

// What an end has come to require goes for sessions of before as well: one that was made without is not resumed by either
// end, and the handshake that follows has it.
func TestWhatIsRequiredIsRequiredOfStoredSessions(t *testing.T) {
	shared := keys{"key": "secret"}
	for _, test := range []struct {
		name    string
		require func(*Config)
		has     func(Negotiated) bool
	}{
		{"a pre-shared key", func(c *Config) { c.RequirePSK = true }, func(n Negotiated) bool { return len(n.PSKs) == 1 }},
		{"two groups", func(c *Config) { c.APQ = &APQ{Required: true} }, func(n Negotiated) bool { return n.PQSuite != 0 }},
	} {
		a, b := shake(t, func(a, b *Config) { a.APQ, b.APQ = nil, nil })
		id := a.ID()
		cut(a, b)
		// Both could do it; one end insists.
		for _, h := range []*host{a.host, b.host} {
			h.cfg.PSK, h.cfg.PSKIdentities, h.cfg.APQ = shared.lookUp, [][]byte{[]byte("key")}, &APQ{}
		}
		for _, h := range []*host{a.host, b.host} {
			before := h.cfg
			test.require(&h.cfg)
			if _, err := Resume(ctx, &h.cfg, id); !errors.Is(err, ErrNoSession) {
				t.Errorf("%s: %s resumes a session without: %v", test.name, h.name, err)
			}
			h.cfg = before
		}
		test.require(&b.host.cfg)
		a, b = resumer(t, a.host, id), listen(t, b.host)
		connect(a, b)
		a.start(t)
		settle(t, a, b)
		agree(t, a, b)
		if a.Resumed() || !test.has(a.Negotiated()) {
			t.Errorf("%s: resumed: %t, %+v", test.name, a.Resumed(), a.Negotiated())
		}
		// The session that has it is resumed.
		if a, _ = resume(t, a, b); !a.Resumed() || a.complete != 1 {
			t.Errorf("%s: a session with it is not resumed: %v", test.name, a.err)
		}
	}
}
