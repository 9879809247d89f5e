package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

// lingering is how long what a peer still sends is read and thrown away, once the service, or the plain client, takes
// no more and its own last words are on the way.
const lingering = 5 * time.Second

// A secure is the protected end of a forwarded connection: a netconn.Conn or a stream of quicmls.
type secure interface {
	io.ReadWriter
	// CloseWrite says authentically that no more follows.
	CloseWrite() error
	// abort cuts the connection, so that the peer does not take it for a regular end.
	abort()
}

// plain is the end without protection. All that are made here can close one direction.
type plain interface {
	net.Conn
	CloseWrite() error
}

// A pipeError says which end of a forwarded connection failed.
type pipeError struct {
	end string
	err error
}

func (e *pipeError) Error() string { return fmt.Sprintf("forward: %s: %v", e.end, e.err) }
func (e *pipeError) Unwrap() error { return e.err }

var errCut = errors.New("forward: cut, as the time to drain is over")

// pipe carries data both ways until both directions have ended, each of which may end first. On an error, and
// when ctx ends, both ends are cut. It closes p, and leaves the regular closing of s to the caller.
func pipe(ctx context.Context, p plain, s secure, link *links.Link) error {
	var once sync.Once
	var first error
	fail := func(err error) {
		once.Do(func() {
			first = err
			s.abort()
			reset(p)
		})
	}
	stop := context.AfterFunc(ctx, func() { fail(errCut) })
	sent := make(chan struct{}) // closed when all is sent that comes from p
	var both sync.WaitGroup
	both.Go(func() {
		defer close(sent)
		if err := toPeer(p, s, link); err != nil {
			fail(err)
		}
	})
	both.Go(func() {
		if err := fromPeer(p, s, link, sent, fail); err != nil {
			fail(err)
		}
	})
	both.Wait()
	stop()
	once.Do(func() { p.Close() })
	return first
}

// toPeer sends what comes from p, up to its end.
func toPeer(p plain, s secure, link *links.Link) error {
	if _, err := io.Copy(s, &countingReader{p, link.Sent}); err != nil {
		return &pipeError{"sending to the peer", err}
	}
	if err := s.CloseWrite(); err != nil {
		return &pipeError{"sending to the peer", err}
	}
	return nil
}

// fromPeer writes to p what comes from the peer, up to its end. If p takes no more, such as a service that has
// answered before it has read everything, what it has said still goes its way.
func fromPeer(p plain, s secure, link *links.Link, sent <-chan struct{}, fail func(error)) error {
	w := &countingWriter{w: p, count: link.Received}
	_, err := io.Copy(w, s)
	switch {
	case w.err != nil:
		err = &pipeError{"writing to the plain end", w.err}
		thrownAway := make(chan struct{})
		go func() {
			<-sent
			select {
			case <-time.After(lingering):
				fail(err)
			case <-thrownAway:
			}
		}()
		defer close(thrownAway)
		io.Copy(io.Discard, s) // its error is no news
		return err
	case err != nil:
		return &pipeError{"receiving from the peer", err}
	}
	if err := p.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) && !notConnected(err) {
		return &pipeError{"writing to the plain end", err}
	}
	return nil
}

// countingReader and countingWriter count what goes through, and hide what else the connection can do, so that
// io.Copy uses the ReadFrom and WriteTo of the protected end.
type countingReader struct {
	r     io.Reader
	count func(int)
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.count(n)
	return n, err
}

type countingWriter struct {
	w     io.Writer
	count func(int)
	err   error // of the last write
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.count(n)
	c.err = err
	return n, err
}
