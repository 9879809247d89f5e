package driver

import (
	"errors"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// spreading makes an end show what a wardrobe has, at some time.
func spreading(w *wardrobe, spread time.Duration) func(*channel.Config, *Config) {
	return func(c *channel.Config, d *Config) {
		wearing(w)(c, d)
		d.Spread = spread
	}
}

// turnOf waits until an end waits for its turn to show another identity.
func turnOf(t *testing.T, a, b *end) *live {
	t.Helper()
	l := a.live.Load()
	eventually(t, a, b, "the end to wait for its turn", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.spreading != nil
	})
	return l
}

// Connections that hear at one moment of another identity do not show it at one moment. Each has one turn,
// for what there is to show by then.
func TestIdentitiesAreShownInTurns(t *testing.T) {
	w, validator := newWardrobe(newIdentity(t, "a1")), new(moody)
	a, b := pair(t, func(c *channel.Config, d *Config) {
		spreading(w, 10000*time.Hour)(c, d)
		c.Validator = validator
	})
	a.KeepUp()
	asked := validator.times()
	w.change(newIdentity(t, "a2"))
	l := turnOf(t, a, b)
	a.KeepUp()
	deliver(t, a, b)
	if a.State().Epoch != 1 || !b.sees("a1")() {
		t.Fatal("the identity is shown before its turn")
	}
	if validator.times() == asked {
		t.Error("the validator waits for a turn as well")
	}
	w.change(newIdentity(t, "a3"))
	a.KeepUp()
	l.ripen()
	eventually(t, a, b, "the identity in its turn", b.sees("a3"))
	if a.State().Epoch != 2 {
		t.Errorf("epoch %d, want one update", a.State().Epoch)
	}

	// The next change has a turn of its own; what is taken back has none.
	w.change(newIdentity(t, "a4"))
	turnOf(t, a, b)
	w.change(w.previous[0])
	a.KeepUp()
	l.ripen()
	a.KeepUp()
	deliver(t, a, b)
	if l.ripe || l.spreading != nil || a.State().Epoch != 2 {
		t.Errorf("a turn without anything to show: %t; epoch %d", l.ripe, a.State().Epoch)
	}
	w.change(newIdentity(t, "a5"))
	turnOf(t, a, b)
	a.Fail(errors.New("lost"))
	a.Close()
	if l.spreading.Stop() {
		t.Error("the timer runs behind the end of the connection")
	}
}

// Where turns are short, all come.
func TestTurnsCome(t *testing.T) {
	w := newWardrobe(newIdentity(t, "a1"))
	var ends [][2]*end
	for range 20 {
		a, b := pair(t, spreading(w, 50*time.Millisecond))
		ends = append(ends, [2]*end{a, b})
	}
	w.change(newIdentity(t, "a2"))
	for _, e := range ends {
		eventually(t, e[0], e[1], "the identity", e[1].sees("a2"))
	}
}
