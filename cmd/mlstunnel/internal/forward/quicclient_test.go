package forward

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/quicmls"
)

// idleClient is a client over QUIC that does nothing by itself.
func idleClient(t *testing.T, connectTimeout time.Duration) *quicClient {
	f := &Forward{stats: links.New().Add("client", config.Client, config.QUIC, "", nil)}
	f.config.Store(&config.Forward{ConnectTimeout: connectTimeout})
	f.accepting, f.stop = context.WithCancel(context.Background())
	t.Cleanup(f.stop)
	return newQUICClient(f, nil)
}

func TestTheNextAttemptIsMadeSoonWhileSomebodyWaits(t *testing.T) {
	for _, test := range []struct {
		name        string
		timeout     time.Duration
		do          func(c *quicClient)
		least, most time.Duration
	}{
		{"nobody waits", 10 * time.Second, func(*quicClient) {}, 15 * time.Second, 30 * time.Second},
		{"somebody has waited from the first", 10 * time.Second, func(c *quicClient) { signal(c.wanted) }, 500 * time.Millisecond, time.Second},
		{"somebody comes", 10 * time.Second, func(c *quicClient) { time.Sleep(7 * time.Second); signal(c.wanted) }, 7 * time.Second, 7 * time.Second},
		{"somebody who does not wait for long", 100 * time.Millisecond, func(c *quicClient) { signal(c.wanted) }, 25 * time.Millisecond, 50 * time.Millisecond},
		{"another server", 10 * time.Second, func(c *quicClient) { time.Sleep(3 * time.Second); signal(c.moved) }, 3 * time.Second, 3 * time.Second},
		{"the end", 10 * time.Second, func(c *quicClient) { time.Sleep(4 * time.Second); c.forward.stop() }, 4 * time.Second, 4 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := idleClient(t, test.timeout)
			go test.do(c)
			began := time.Now()
			c.pause(&backoff{next: lastDelay})
			if took := time.Since(began); took < test.least || took > test.most {
				t.Errorf("%s: after %v, want %v to %v", test.name, took, test.least, test.most)
			}
			synctest.Wait()
		})
	}
	// Who waits does not make a delay longer that is short by itself.
	synctest.Test(t, func(t *testing.T) {
		c := idleClient(t, time.Minute)
		signal(c.wanted)
		began := time.Now()
		c.pause(new(backoff))
		if took := time.Since(began); took > firstDelay {
			t.Errorf("after %v, want %v at the most", took, firstDelay)
		}
	})
}

// Whoever finds no link asks for one, and hears of a refusal that is younger than the question.
func TestWhoWaitsForALinkHearsOfARefusal(t *testing.T) {
	refused := error(&quicmls.AlertError{Alert: channel.AlertBadCertificate})
	for name, test := range map[string]struct {
		begin bool // an attempt, after somebody has begun to wait
		err   error
		want  error
	}{
		"a refusal":                       {true, refused, refused},
		"a server that is away":           {true, errDown, errDown},
		"a refusal of an earlier attempt": {false, refused, refused},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := idleClient(t, time.Minute)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began, done := time.Now(), make(chan error)
			go func() {
				_, _, err := c.open(ctx)
				done <- err
			}()
			<-c.wanted
			synctest.Wait()
			if test.begin {
				c.mu.Lock()
				c.attempts++
				c.mu.Unlock()
			}
			c.publish(nil, test.err)
			err, took := <-done, time.Since(began)
			if at := test.begin && test.err == refused; !errors.Is(err, test.want) || (took == 0) != at {
				t.Errorf("%s: got %v after %v, want %v", name, err, took, test.want)
			}
		})
	}
}

// Who wakes so late that the next attempt has begun takes the refusal for what it is: that of an attempt which had
// begun before the question.
func TestWhoWaitsForALinkMayWakeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := idleClient(t, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began, done := time.Now(), make(chan error)
		c.attempts = 1
		go func() {
			_, _, err := c.open(ctx)
			done <- err
		}()
		<-c.wanted
		synctest.Wait()
		refused := &quicmls.AlertError{Alert: channel.AlertBadCertificate}
		c.mu.Lock() // as publish and dial, one right after the other
		c.err, c.ended = refused, c.attempts
		close(c.changed)
		c.changed = make(chan struct{})
		c.attempts++
		c.mu.Unlock()
		if err, took := <-done, time.Since(began); !errors.Is(err, refused) || took != time.Minute {
			t.Errorf("got %v after %v, want that the next attempt is waited for", err, took)
		}
	})
}
