package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/rivals"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

// A link is both ends of a connection over TCP on loopback.
type link struct{ client, server *netconn.Conn }

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// connect makes a link whose ends make no updates by themselves.
func connect(d *rivals.Dialer, suite ciphersuite.ID) (*link, error) {
	client, server, err := configs(suite)
	if err != nil {
		return nil, err
	}
	return connectAs(d, client, server)
}

func connectAs(d *rivals.Dialer, client, server *netconn.Config) (*link, error) {
	a, b, err := d.Pair()
	if err != nil {
		return nil, err
	}
	l := &link{netconn.Client(a, client), netconn.Server(b, server)}
	done := make(chan error, 1)
	go func() { done <- l.server.Handshake() }()
	if err := errors.Join(l.client.Handshake(), <-done); err != nil {
		return nil, err
	}
	return l, nil
}

func configs(id ciphersuite.ID) (client, server *netconn.Config, err error) {
	suite, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		return nil, nil, err
	}
	var ids [2]mls.Identity
	for i, name := range []string{"client", "server"} {
		signer, err := suite.GenerateSigner(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		ids[i] = identity.New(signer, name)
	}
	var all [2]*netconn.Config
	for i := range all {
		peer, err := identity.NewPinned(ids[1-i].Signer.Public())
		if err != nil {
			return nil, nil, err
		}
		all[i] = &netconn.Config{
			Identity: ids[i], Validator: peer, Suites: []ciphersuite.ID{id},
			Rekey: netconn.RekeyPolicy{Every: -1, Bytes: -1, Records: -1},
		}
	}
	return all[0], all[1], nil
}

// measureIdle measures the memory of ends whose goroutine waits in Read, after each end has made an update: then
// they hold what they hold for the rest of their lives.
func (p *Prices) measureIdle(id ciphersuite.ID, e effort) (err error) {
	d, err := rivals.NewDialer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	client, server, err := configs(id)
	if err != nil {
		return err
	}
	links := make([]*link, 0, e.conns/2)
	ended := make(chan struct{}, 2*cap(links))
	defer func() {
		for _, l := range links {
			l.close()
		}
		for range 2 * len(links) {
			<-ended
		}
	}()
	heap, stack := measure.MemoryInUse()
	for len(links) < cap(links) {
		l, err := connectAs(d, client, server)
		if err != nil {
			return err
		}
		links = append(links, l)
		for _, end := range []*netconn.Conn{l.client, l.server} {
			go func() {
				defer func() { ended <- struct{}{} }()
				end.Read(make([]byte, 1)) // nothing comes
			}()
		}
		for _, end := range []*netconn.Conn{l.client, l.server} {
			if err := end.Update(context.Background()); err != nil {
				return err
			}
		}
	}
	time.Sleep(100 * time.Millisecond) // until all wait
	heapAfter, stackAfter := measure.MemoryInUse()
	ends := float64(2 * len(links))
	p.IdleHeap, p.IdleStack = (heapAfter-heap)/ends, (stackAfter-stack)/ends
	return nil
}
