package forward

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/quicmls"
)

const (
	// longEnough is how long a link has to have been up so that the next attempt after its end is made soon.
	longEnough = 5 * time.Second
	// wantedDelay is how long, at the most, the next attempt is put off while somebody waits for the link.
	wantedDelay = time.Second
)

// A quicClient keeps one connection to the server up, and carries plain connections over its streams.
type quicClient struct {
	acceptor
	moved  chan struct{} // something was put in if the server has another address
	wanted chan struct{} // something was put in if somebody waits for the link

	mu       sync.Mutex // guards what follows
	current  *quicLink  // nil while there is none
	err      error      // why there is none
	attempts int        // that have begun
	ended    int        // how many had begun when err was set: it is of the last of them, or of no attempt
	changed  chan struct{}
}

// A quicLink is a connection that is up.
type quicLink struct {
	conn    *quicmls.Conn
	server  string // its address
	link    *links.Link
	streams *tally
}

func newQUICClient(f *Forward, l net.Listener) *quicClient {
	c := &quicClient{moved: make(chan struct{}, 1), wanted: make(chan struct{}, 1), changed: make(chan struct{}), err: errNotYet}
	c.acceptor = acceptor{f, l, nil, func(p net.Conn, _ func()) { c.carry(p) }}
	return c
}

// run implements side.
func (c *quicClient) run() {
	var keeper sync.WaitGroup
	keeper.Go(c.keep)
	c.acceptor.run()
	keeper.Wait()
}

func (c *quicClient) updated(before, now *config.Forward) {
	if before.Forward != now.Forward {
		signal(c.moved)
	}
}

// signal puts something into a channel with room for one, unless it is there already.
func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// keep keeps a connection up, until no more connections are taken in.
func (c *quicClient) keep() {
	f := c.forward
	f.stats.SetProblem(errNotYet)
	var wait backoff
	for f.accepting.Err() == nil {
		q, err := c.dial()
		if err != nil {
			f.stats.DialsFailed.Add(1)
			f.log.Warn("dialling the server", "error", err)
			c.publish(nil, err)
			c.pause(&wait)
			continue
		}
		began := time.Now()
		c.publish(q, nil)
		f.open.Go(func() { c.serve(q) })
		c.whileUp(q)
		c.publish(nil, errDown)
		q.streams.close()
		if time.Since(began) > longEnough {
			wait.reset()
		}
		c.pause(&wait)
	}
}

var (
	errNotYet = errors.New("forward: not connected yet")
	errDown   = errors.New("forward: link is down")
)

// whileUp waits until a link has ended, or is not the one to use any more.
func (c *quicClient) whileUp(q *quicLink) {
	for {
		select {
		case <-q.conn.Context().Done():
			q.conn.CloseWithError(0, "") // returns when the next link can have its session
			return
		case <-c.forward.accepting.Done():
			return
		case <-c.moved:
			if c.forward.config.Load().Forward != q.server {
				return
			}
		}
	}
}

// pause puts the next attempt off: by a delay that grows, but by no more than wantedDelay while somebody waits, and not
// at all if the server has moved.
func (c *quicClient) pause(wait *backoff) {
	f := c.forward
	soon := min(wantedDelay, f.config.Load().ConnectTimeout/2)
	soon = soon/2 + rand.N(soon/2+1)
	began, delay := time.Now(), wait.delay()
	t := time.NewTimer(delay)
	defer t.Stop()
	for wanted := c.wanted; ; {
		select {
		case <-f.accepting.Done():
			return
		case <-t.C:
			return
		case <-c.moved:
			wait.reset()
			return
		case <-wanted:
			wanted = nil // once is enough
			if soon < delay {
				t.Reset(time.Until(began.Add(soon)))
			}
		}
	}
}

// dial connects once, and resumes the session if there is one.
func (c *quicClient) dial() (*quicLink, error) {
	f := c.forward
	c.mu.Lock()
	c.attempts++
	c.mu.Unlock()
	cfg := f.config.Load()
	ctx, cancel := context.WithTimeout(f.accepting, cfg.ConnectTimeout)
	defer cancel()
	link := f.stats.Begin(cfg.Forward)
	conn, err := quicmls.Dial(ctx, cfg.Forward, f.quicmlsConfig(cfg, link))
	if err != nil {
		link.Failed()
		return nil, err
	}
	f.establishedQUIC(link, conn)
	return &quicLink{conn, cfg.Forward, link, &tally{done: finished(conn)}}, nil
}

// serve does what a connection needs until it ends.
func (c *quicClient) serve(q *quicLink) {
	f := c.forward
	log := f.log.With("link", q.link.ID(), "peer", q.link.Peer())
	log.Info("link is up", "resumed", q.conn.ConnectionState().Resumed)
	defer q.link.End()
	defer context.AfterFunc(f.living, func() { q.conn.CloseWithError(0, "") })()
	<-q.conn.Context().Done()
	log.Info("link is down", "error", context.Cause(q.conn.Context()))
}

func (c *quicClient) publish(q *quicLink, err error) {
	if f := c.forward; f.accepting.Err() == nil { // that it goes without a link from then on is no problem
		f.stats.SetProblem(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.err, c.ended = q, err, c.attempts
	close(c.changed)
	c.changed = make(chan struct{})
}

// open opens a stream on the link that there is, or is as soon as it is up again. When an attempt that has begun
// meanwhile shows that an end does not accept the other, it waits no longer.
func (c *quicClient) open(ctx context.Context) (secureStream, *quicLink, error) {
	c.mu.Lock()
	before := c.attempts
	c.mu.Unlock()
	for {
		c.mu.Lock()
		q, err, ended, changed := c.current, c.err, c.ended, c.changed
		c.mu.Unlock()
		if q != nil && q.streams.enter() {
			stream, err := q.conn.OpenStreamSync(ctx)
			if err == nil {
				if err = stream.Announce(); err == nil {
					return secureStream{stream}, q, nil
				}
			}
			q.streams.leave()
			down := errors.Is(err, net.ErrClosed) || q.conn.Context().Err() != nil // the error may come first
			if ctx.Err() != nil || !down {
				return secureStream{}, nil, fmt.Errorf("forward: opening a stream: %w", err)
			}
		}
		if ended > before && isRefusal(err) {
			return secureStream{}, nil, err
		}
		signal(c.wanted)
		select {
		case <-changed:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return secureStream{}, nil, err
		}
	}
}

// carry carries a plain connection to the server.
func (c *quicClient) carry(p net.Conn) {
	f := c.forward
	ctx, cancel := context.WithTimeout(f.living, f.config.Load().ConnectTimeout)
	defer cancel()
	end, q, err := c.open(ctx)
	if err != nil {
		f.log.Error("the server cannot be reached", "error", err)
		reset(p)
		return
	}
	defer q.streams.leave()
	defer q.link.Opened()()
	f.ended(f.log.With("link", q.link.ID(), "peer", q.link.Peer()), pipe(f.living, p.(plain), end, q.link))
}
