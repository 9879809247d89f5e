package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

// ends are the two ends, with the network between them.
type ends struct {
	listener             net.Listener
	link                 *link
	initiator, responder *netconn.Config
	keys                 *keyLog // what the initiator has in memory, for the thief
	stats                stats
}

// newEnds makes two ends that know each other's public keys.
func newEnds(suite ciphersuite.ID, rekeyEvery time.Duration) (*ends, error) {
	initiator, initiatorKey, err := newIdentity(suite, "initiator")
	if err != nil {
		return nil, err
	}
	responder, responderKey, err := newIdentity(suite, "responder")
	if err != nil {
		return nil, err
	}
	knowsInitiator, err := identity.NewPinned(initiatorKey)
	if err != nil {
		return nil, err
	}
	knowsResponder, err := identity.NewPinned(responderKey)
	if err != nil {
		return nil, err
	}
	e := &ends{keys: new(keyLog)}
	e.initiator = &netconn.Config{
		Identity:  initiator,
		Validator: knowsResponder,
		Suites:    []ciphersuite.ID{suite},
		Store:     channel.NewMemoryStore(0),
		PeerName:  "responder",
		// The initiator's updates are made, and timed, by the program.
		Rekey:        netconn.RekeyPolicy{Every: -1},
		KeyLogWriter: e.keys,
	}
	e.responder = &netconn.Config{
		Identity:  responder,
		Validator: knowsInitiator,
		Suites:    []ciphersuite.ID{suite},
		Store:     channel.NewMemoryStore(0),
		Rekey:     netconn.RekeyPolicy{Every: rekeyEvery},
	}
	if e.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if e.link, err = newLink(e.listener.Addr().String()); err != nil {
		e.listener.Close()
		return nil, err
	}
	return e, nil
}

// newIdentity makes an identity whose key fits the suite.
func newIdentity(id ciphersuite.ID, name string) (mls.Identity, []byte, error) {
	suite, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		return mls.Identity{}, nil, err
	}
	signer, err := suite.GenerateSigner(rand.Reader)
	if err != nil {
		return mls.Identity{}, nil, err
	}
	key, err := suite.SignaturePublicKey(signer.Public())
	return identity.New(signer, name), key, err
}

// initiatorChannel returns the initiator's configuration as a thief finds it.
func (e *ends) initiatorChannel() *channel.Config {
	c := e.initiator
	return &channel.Config{Identity: c.Identity, Validator: c.Validator, Suites: c.Suites, Store: c.Store, Now: time.Now}
}

func (e *ends) close() {
	e.listener.Close()
	e.link.close()
}

// connect connects the ends, by resumption if they have met before.
func (e *ends) connect(ctx context.Context) (initiator, responder *netconn.Conn, err error) {
	type result struct {
		conn *netconn.Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		c, err := e.listener.Accept()
		if err != nil {
			accepted <- result{nil, err}
			return
		}
		conn := netconn.Server(c, e.responder)
		if err := conn.HandshakeContext(ctx); err != nil {
			conn.Close()
			accepted <- result{nil, err}
			return
		}
		accepted <- result{conn, nil}
	}()
	start := time.Now()
	dialer := netconn.Dialer{Config: e.initiator}
	dialled, err := dialer.DialContext(ctx, "tcp", e.link.addr())
	took := time.Since(start)
	if err != nil {
		e.listener.Close() // nobody comes any more
	} else {
		initiator = dialled.(*netconn.Conn)
	}
	r := <-accepted
	if err = errors.Join(err, r.err); err != nil {
		if initiator != nil {
			initiator.Close()
		}
		if r.conn != nil {
			r.conn.Close()
		}
		return nil, nil, fmt.Errorf("connecting: %w", err)
	}
	e.stats.connected(initiator.ConnectionState().Resumed, took)
	return initiator, r.conn, nil
}

// transferOnce runs both ends' transfers over one new connection, while both
// ends update their keys.
func (e *ends) transferOnce(ctx context.Context, initiator, responder *transfer, rekeyEvery time.Duration) error {
	i, r, err := e.connect(ctx)
	if err != nil {
		return err
	}
	defer i.Close()
	defer r.Close()
	before := r.ConnectionState().Epoch

	ctx, cancel := context.WithCancel(ctx)
	var updating sync.WaitGroup
	updating.Add(1)
	go func() {
		defer updating.Done()
		e.keepUpdating(ctx, i, rekeyEvery)
	}()
	own := e.stats.updates.len()
	results := make(chan error, 2)
	go func() { results <- initiator.over(i) }()
	go func() { results <- responder.over(r) }()
	err = errors.Join(<-results, <-results)
	cancel()
	updating.Wait()

	// Each update, of either end, is one epoch.
	epochs := int64(max(i.ConnectionState().Epoch, r.ConnectionState().Epoch) - before)
	e.stats.peerUpdates.Add(max(0, epochs-int64(e.stats.updates.len()-own)))
	e.stats.epoch.Store(int64(i.ConnectionState().Epoch))
	return err
}

// keepUpdating updates the initiator's keys until ctx ends or the connection does.
func (e *ends) keepUpdating(ctx context.Context, conn *netconn.Conn, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		start := time.Now()
		if err := conn.Update(ctx); err != nil {
			return // the transfer says why
		}
		e.stats.updates.add(time.Since(start))
		e.stats.epoch.Store(int64(conn.ConnectionState().Epoch))
	}
}

// stats are the figures of a run.
type stats struct {
	cuts, epoch, peerUpdates         atomic.Int64
	resumptions                      int
	fullHandshake, slowestResumption time.Duration
	updates                          durations
}

func (s *stats) connected(resumed bool, took time.Duration) {
	if !resumed {
		s.fullHandshake = took
		log.Printf("connected: full handshake in %v", took)
		return
	}
	s.resumptions++
	s.slowestResumption = max(s.slowestResumption, took)
	log.Printf("connected: session resumed in %v", took)
}

// durations is a list of measured times.
type durations struct {
	mu   sync.Mutex
	list []time.Duration
}

func (d *durations) add(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, t)
}

func (d *durations) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.list)
}

func (d *durations) sorted() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.list))
}

func (d *durations) median() time.Duration {
	if s := d.sorted(); len(s) > 0 {
		return s[len(s)/2]
	}
	return 0
}

func (d *durations) max() time.Duration {
	if s := d.sorted(); len(s) > 0 {
		return s[len(s)-1]
	}
	return 0
}
