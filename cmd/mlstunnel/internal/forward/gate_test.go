package forward

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
)

func TestAGateLetsInAsManyAsThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bound, inside atomic.Int64
		bound.Store(2)
		g := newGate(func() int { return int(bound.Load()) })
		leaves := make(chan func(), 10)
		for range 6 {
			go func() {
				leave, err := g.enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				inside.Add(1)
				leaves <- leave
			}()
		}
		for _, step := range []struct {
			name string
			do   func()
			want int64 // have come in so far
		}{
			{"at first", func() {}, 2},
			{"one leaves, and says so twice", func() { leave := <-leaves; leave(); leave() }, 3},
			{"there is room for one more", func() { bound.Store(3); g.changed() }, 4},
			{"there is less room", func() { bound.Store(1); g.changed() }, 4},
			{"two leave of three", func() { (<-leaves)(); (<-leaves)() }, 4},
			{"the last leaves", func() { (<-leaves)() }, 5},
		} {
			step.do()
			synctest.Wait()
			if got := inside.Load(); got != step.want {
				t.Errorf("%s: %d have come in, want %d", step.name, got, step.want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := g.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits for long gets %v", err)
		}
		(<-leaves)()
		synctest.Wait()
		(<-leaves)()
	})
}

// What a link takes from the configuration is that which is in force.
func TestLinksTakeTheirSettingsFromTheConfiguration(t *testing.T) {
	f := idleClient(t, time.Minute).forward
	f.log = slog.New(slog.DiscardHandler)
	for _, c := range []*config.Forward{
		{Identity: &config.Identity{Spread: time.Hour}, Peers: &config.Peers{Refused: config.Drop}, Rekey: &config.Rekey{Every: time.Minute, Idle: 2 * time.Minute, Bytes: 3, Records: 4}, KeepAlive: time.Second, MaxConnections: 7},
		{Identity: &config.Identity{Spread: -1}, Peers: &config.Peers{Refused: config.Warn}, Rekey: &config.Rekey{Every: -1}, KeepAlive: time.Minute, MaxConnections: 1},
	} {
		f.config.Store(c)
		overTCP, overQUIC := f.netconnConfig(c, f.stats.Begin("")), f.quicmlsConfig(c, f.stats.Begin(""))
		if overTCP.IdentitySpread != c.Identity.Spread || overQUIC.IdentitySpread != c.Identity.Spread {
			t.Errorf("spread over %v and %v, want %v", overTCP.IdentitySpread, overQUIC.IdentitySpread, c.Identity.Spread)
		}
		want := channel.UpdatePolicy{Every: c.Rekey.Every, Idle: c.Rekey.Idle, Bytes: c.Rekey.Bytes, Records: c.Rekey.Records}
		if overTCP.Rekey != want || overQUIC.Rekey != want {
			t.Errorf("the policies are %+v and %+v, want %+v", overTCP.Rekey, overQUIC.Rekey, want)
		}
		if warns := c.Peers.Refused == config.Warn; (overTCP.RefusedBy() == channel.RefusalWarn) != warns || (overQUIC.RefusedBy() == channel.RefusalWarn) != warns {
			t.Errorf("%s: %v and %v", c.Peers.Refused, overTCP.RefusedBy(), overQUIC.RefusedBy())
		}
		if q := overQUIC.QUIC; q.KeepAlivePeriod != c.KeepAlive || q.MaxIdleTimeout != 3*c.KeepAlive || q.MaxIncomingStreams != int64(c.MaxConnections)+1 {
			t.Errorf("got %+v", q)
		}
	}
	if q := quicConfig(&config.Forward{MaxConnections: math.MaxInt}); q.MaxIncomingStreams < math.MaxInt32 {
		t.Errorf("%d streams at once, where there are to be as many as one likes", q.MaxIncomingStreams)
	}
}
