package quicmls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/quicmls/tlspsk"
)

const (
	// keyedProto is the protocol that a keyed connection negotiates (RFC 7301).
	keyedProto = "mendlink keyed"
	// keyedAttempts is how often DialKeyed tries, as an update of the peer may take its key away.
	keyedAttempts = 8
	// maxKeyed is how many keyed connections may wait for AcceptKeyed, and how many of past epochs for Accept.
	maxKeyed = 16
	// keyedKeepAlive keeps a Conn from being idle for too long while all data is on keyed connections. quic-go
	// makes it half of the time that the ends may be idle, if that is less.
	keyedKeepAlive = 15 * time.Second
)

// DialKeyed updates the session and returns another QUIC connection to the same address, whose keys come from the
// new epoch: what is sent on it is encrypted by QUIC alone, and not once more by this package. The peer
// gets its end from [Conn.AcceptKeyed]. Both ends of it are those of the session, and nobody else (docs/quic-keying.md); certificates
// in its ConnectionState mean nothing.
//
// Its keys are as fresh as the update, and stay as they are: to heal, call DialKeyed again, open streams anew
// on what it returns, and close the connection before. A keyed connection ends with the Conn at the latest, whatever
// ended that, so that a peer that is refused has none. It is used without further calls of this Conn, which goes on by itself.
//
// It is for the end that has dialed; errors match [ErrNotKeyed] at the other. If the peer's [Config].Keyed is not
// set, they are those of QUIC's handshake. When ctx ends, the update goes on. The Conn lives on after an error, unless it has ended.
func (c *Conn) DialKeyed(ctx context.Context) (*quic.Conn, error) {
	if !c.initiator {
		return nil, fmt.Errorf("%w: this end has accepted the connection, so that it is the other that dials", ErrNotKeyed)
	}
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	d := c.keyedDialer()
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		return nil, c.closedBy()
	}
	defer func() { <-d.turn }()
	for attempt := 1; ; attempt++ {
		q, err := c.dialKeyed(ctx, d)
		if err == nil || attempt == keyedAttempts || !keyGone(err) {
			return q, err
		}
	}
}

// dialKeyed is one attempt.
func (c *Conn) dialKeyed(ctx context.Context, d *keyedDialer) (*quic.Conn, error) {
	d.want()
	defer d.forget()
	if err := c.Update(ctx); err != nil {
		return nil, err
	}
	key := d.take()
	defer key.Erase()
	client, err := keyedClient()
	if err != nil {
		return nil, err
	}
	config, err := client.Config(key)
	if err != nil {
		return nil, err
	}
	var q *quic.Conn
	if c.transport != nil {
		q, err = c.transport.Dial(ctx, c.RemoteAddr(), config, c.redial.apply())
	} else {
		q, err = quic.DialAddr(ctx, c.RemoteAddr().String(), config, c.redial.apply())
	}
	if err != nil {
		return nil, err
	}
	c.tie(q)
	return q, nil
}

// keyGone reports that a peer which takes keys has refused this one: crypto/tls says internal_error where it knew no key, and
// bad_certificate where that went in the middle of the handshake. One without [Config].Keyed does not know the protocol.
func keyGone(err error) bool {
	const noApplicationProtocol = 0x100 + 120 // RFC 9001, Section 4.8; RFC 8446, Section 6
	e, ok := errors.AsType[*quic.TransportError](err)
	return ok && e.Remote && e.ErrorCode.IsCryptoError() && e.ErrorCode != noApplicationProtocol
}

// AcceptKeyed waits for the next connection that the peer has from [Conn.DialKeyed]. It is for connections of a [Listener]
// whose Config.Keyed is set, and whose Accept goes on being called: that takes in these connections, too. Errors of other
// ends match [ErrNotKeyed]. Of those that nobody accepts 16 are kept, and others closed.
func (c *Conn) AcceptKeyed(ctx context.Context) (*quic.Conn, error) {
	a := c.accepting
	if a == nil {
		return nil, fmt.Errorf("%w: it takes the connection of a Listener with Config.Keyed", ErrNotKeyed)
	}
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	select {
	case q := <-a.waiting:
		return q, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		return nil, c.closedBy()
	}
}

// tie has a keyed connection end with this one.
func (c *Conn) tie(q *quic.Conn) {
	stop := context.AfterFunc(c.ctx, func() { q.CloseWithError(0, "the connection of the session has ended") })
	context.AfterFunc(q.Context(), func() { stop() })
}

// drawKeys sees to the keys of keyed connections, in the step of the session that has led to these events. With an
// update of the end that dials both ends draw a key from the epoch: the other one before its acknowledgement
// is on the way, and the dialing end where that comes.
func (c *Conn) drawKeys(s *channel.Session, events []channel.Event) error {
	for _, e := range events {
		updated, ok := e.(channel.Updated)
		switch {
		case !ok:
		case c.accepting != nil:
			if err := c.accepting.updated(c, s, updated.Own); err != nil {
				return err
			}
		case updated.Own:
			if d := c.dialing.Load(); d != nil {
				if err := d.draw(s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// A keyedDialer is what the end that dials has for its keyed connections.
type keyedDialer struct {
	turn chan struct{} // of capacity 1: who has put something in is the one that dials

	mu     sync.Mutex // guards what follows
	wanted bool
	key    *tlspsk.Key // of the last own update; nil if there was none since want, or it was taken
}

// keyedDialer returns the one of the connection.
func (c *Conn) keyedDialer() *keyedDialer {
	c.dialing.CompareAndSwap(nil, &keyedDialer{turn: make(chan struct{}, 1)})
	return c.dialing.Load()
}

// want says that updates that begin from now on, until take or forget, shall leave a key.
func (d *keyedDialer) want() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = true
}

// forget erases a key that nobody has taken.
func (d *keyedDialer) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = false
	d.erase()
}

func (d *keyedDialer) erase() {
	if d.key != nil {
		d.key.Erase()
		d.key = nil
	}
}

// draw draws the key of the present epoch, in place of one before.
func (d *keyedDialer) draw(s *channel.Session) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.wanted {
		return nil
	}
	d.erase()
	d.key, err = tlspsk.Export(s, s.Role(), 0)
	return err
}

// take returns the key, which is there once Update has returned. It is the caller's from then on: another update that ends
// meanwhile does not erase it. (The peer may refuse it by then, which is told apart and tried again.)
func (d *keyedDialer) take() *tlspsk.Key {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := d.key
	d.wanted, d.key = false, nil
	return key
}

// keyedClient makes the configurations of all keyed connections that this process dials.
var keyedClient = sync.OnceValues(func() (*tlspsk.Client, error) {
	return tlspsk.NewClient(&tlspsk.Config{Protocols: []string{keyedProto}})
})

// A keyedAccepter is what a Conn of a listener has for its keyed connections.
type keyedAccepter struct {
	listener *keyedListener
	waiting  chan *quic.Conn

	mu    sync.Mutex  // guards what follows; that of the listener comes behind it
	key   *tlspsk.Key // that is expected; nil if there is none
	late  []tlspsk.ID // of keys before it, by which connections have come that the listener has not accepted yet
	ended bool
}

// updated takes the key of the epoch before away, and expects one of the present epoch if the peer made the update.
func (a *keyedAccepter) updated(c *Conn, s *channel.Session, own bool) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stop()
	if own || a.ended {
		return nil
	}
	if a.key, err = tlspsk.Export(s, otherRole(s.Role()), 0); err != nil {
		return err
	}
	return a.listener.expect(a.key, c)
}

// stop erases the key, so that nobody comes by it any more. a.mu is locked.
func (a *keyedAccepter) stop() {
	if a.key == nil {
		return
	}
	id := a.key.ID()
	a.key = nil
	if !a.listener.stop(id) {
		return
	}
	if a.late = append(a.late, id); len(a.late) > maxKeyed {
		a.listener.withdraw(a.late[0])
		a.late = a.late[1:]
	}
}

// take takes a connection over that has come by a key, if there is room for it.
func (a *keyedAccepter) take(q *quic.Conn, id tlspsk.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = slices.DeleteFunc(a.late, func(late tlspsk.ID) bool { return late == id })
	select {
	case a.waiting <- q:
		return true
	default:
		return false
	}
}

// end forgets everything.
func (a *keyedAccepter) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.stop()
	for _, id := range a.late {
		a.listener.withdraw(id)
	}
	a.late = nil
}

func otherRole(r channel.Role) channel.Role {
	if r == channel.RoleInitiator {
		return channel.RoleResponder
	}
	return channel.RoleInitiator
}

// A keyedListener is what a Listener has for keyed connections of all its sessions.
type keyedListener struct {
	server *tlspsk.Server

	mu    sync.Mutex // guards what follows
	conns map[tlspsk.ID]*Conn
}

// newKeyedListener returns one, and the TLS configuration of the listener that takes keyed connections as well
// as others.
func newKeyedListener(c *tls.Config) (*keyedListener, *tls.Config, error) {
	server, err := tlspsk.NewServer(&tlspsk.Config{Protocols: []string{keyedProto}})
	if err != nil {
		return nil, nil, err
	}
	d, others := c.Clone(), c.GetConfigForClient
	d.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		switch {
		case strings.EqualFold(hello.ServerName, tlspsk.DefaultServerName):
			return server.Config().GetConfigForClient(hello)
		case others != nil:
			return others(hello)
		}
		return nil, nil
	}
	return &keyedListener{server: server, conns: make(map[tlspsk.ID]*Conn)}, d, nil
}

// accepter returns what a Conn of the listener needs.
func (l *keyedListener) accepter() *keyedAccepter {
	return &keyedAccepter{listener: l, waiting: make(chan *quic.Conn, maxKeyed)}
}

// expect lets a connection come by a key, for a Conn.
func (l *keyedListener) expect(key *tlspsk.Key, c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.server.Expect(key); err != nil {
		return err
	}
	l.conns[key.ID()] = c
	return nil
}

// stop lets nobody come by a key any more. It reports whether somebody has, and is still to be accepted.
func (l *keyedListener) stop(id tlspsk.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	came := l.server.Stop(id)
	if !came {
		delete(l.conns, id)
	}
	return came
}

// withdraw forgets a key, and who has come by it.
func (l *keyedListener) withdraw(id tlspsk.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server.Withdraw(id)
	delete(l.conns, id)
}

// takes reports whether a connection is a keyed one. If so, it goes to the Conn whose session has keyed it.
func (l *keyedListener) takes(q *quic.Conn) bool {
	if l == nil || q.ConnectionState().TLS.NegotiatedProtocol != keyedProto {
		return false
	}
	select {
	case <-q.HandshakeComplete():
		l.deliver(q)
	default: // beside 0-RTT
		go func() { // ends with QUIC's handshake at the latest
			select {
			case <-q.HandshakeComplete():
				l.deliver(q)
			case <-q.Context().Done():
			}
		}()
	}
	return true
}

// deliver gives a connection whose handshake is complete to its Conn, or closes it.
func (l *keyedListener) deliver(q *quic.Conn) {
	if c, id := l.owner(q.ConnectionState().TLS); c != nil {
		c.tie(q)
		if c.accepting.take(q, id) {
			return
		}
	}
	q.CloseWithError(errorCodeAlert|quic.ApplicationErrorCode(channel.AlertUserCanceled), "nobody accepts the connection")
}

// owner returns the Conn whose session has keyed a connection, once, and by which key; nil if it has ended.
func (l *keyedListener) owner(state tls.ConnectionState) (*Conn, tlspsk.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, err := l.server.Identify(state)
	if err != nil {
		return nil, id
	}
	c := l.conns[id]
	delete(l.conns, id)
	return c, id
}
