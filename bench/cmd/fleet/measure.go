package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/bench/internal/channels"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/rivals"
	"github.com/mendlink/mendlink/bench/internal/traffic"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An effort is how much is measured.
type effort struct {
	rounds   int
	batch    time.Duration // of CPU time, for each operation in a round
	shares   int           // executions, to see which part of an operation each end does
	conns    int           // idle ends
	savers   int           // connections that save at once
	sessions int           // in the store meanwhile
	dir      string        // for a store's file
}

// measurePrices measures what operations take in a cipher suite.
func measurePrices(id ciphersuite.ID, e effort) (p *Prices, err error) {
	log.Printf("%v: operations", id)
	d, err := rivals.NewDialer()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	p = &Prices{Suite: id.String(), Stores: make(map[string]StorePrice)}
	if err := p.measureOperations(id, e, d); err != nil {
		return nil, err
	}
	log.Printf("%v: what operations save and send", id)
	if err := p.countSaves(id); err != nil {
		return nil, err
	}
	log.Printf("%v: records", id)
	if err := p.measureRecords(id, e); err != nil {
		return nil, err
	}
	log.Printf("%v: idle ends", id)
	if err := p.measureIdle(id, e); err != nil {
		return nil, err
	}
	log.Printf("%v: stores", id)
	return p, p.measureStores(e)
}

// flights are the messages that each operation has. Each is written by one end and read by the other.
const flights = 3

// measureOperations measures both ends together, in memory, and takes the server's share, and of the transport
// what a TCP connection on loopback takes one end: opening and closing it, and messages.
func (p *Prices) measureOperations(id ciphersuite.ID, e effort, d *rivals.Dialer) error {
	pair, err := channels.NewPair(id, true)
	if err != nil {
		return err
	}
	updates, err := pair.Update()
	if err != nil {
		return err
	}
	resumptions, err := pair.Resumption()
	if err != nil {
		return err
	}
	l, err := connect(d, id)
	if err != nil {
		return err
	}
	defer l.close()
	echo := make(chan error, 1)
	go func() { echo <- echoes(l.server) }()
	subjects := []measure.Subject{pair.Handshake(), updates, resumptions, pair.Refused(), d.Connect(), trip(l.client)}
	series, err := measure.Rounds(e.rounds, e.batch, subjects)
	if err != nil {
		return err
	}
	if err := errors.Join(l.client.CloseWrite(), <-echo); err != nil {
		return err
	}
	part, err := pair.Shares(e.shares)
	if err != nil {
		return err
	}
	const half = 0.5
	p.Exchange = priceOf(series[5], half) // each end reads one message and writes one
	p.Exchange.Octets = 2 * (messageSize + record.Overhead)
	connection, message := half*series[4].Median().CPU.Seconds(), half*p.Exchange.CPU
	p.Handshake = priceOf(series[0], part.Handshake)
	p.OwnUpdate, p.PeerUpdate = priceOf(series[1], part.Update), priceOf(series[1], 1-part.Update)
	p.Resumption = priceOf(series[2], part.Resumption)
	p.Refused = priceOf(series[3], part.Refused)
	p.Handshake.CPU += connection + flights*message
	p.Resumption.CPU += connection + flights*message
	p.Refused.CPU += connection + (flights+2)*message // the request and its refusal
	p.OwnUpdate.CPU += flights * message
	p.PeerUpdate.CPU += flights * message
	return p.countOctets(pair)
}

// priceOf returns one end's part of what both took.
func priceOf(s measure.Series, part float64) Price {
	m := s.Median()
	return Price{CPU: part * m.CPU.Seconds(), Allocated: part * m.Bytes}
}

func (p *Prices) countOctets(pair *channels.Pair) error {
	handshake, update, resumption, err := pair.Flights()
	if err != nil {
		return err
	}
	sum := func(flights []channels.Flight) (octets float64) {
		for _, f := range flights {
			octets += float64(f.Octets)
		}
		return octets
	}
	p.Handshake.Octets, p.Resumption.Octets = sum(handshake), sum(resumption)
	p.OwnUpdate.Octets, p.PeerUpdate.Octets = sum(update), sum(update)
	const refusal = record.HeaderSize + 4 + 1
	p.Refused.Octets = float64(resumption[0].Octets) + refusal + p.Handshake.Octets
	return nil
}

const messageSize = 1 << 10

// trip is a message to and fro.
func trip(c net.Conn) measure.Op {
	p := make([]byte, messageSize)
	return measure.Repeat(func() error {
		if _, err := c.Write(p); err != nil {
			return err
		}
		return traffic.Read(c, p, messageSize)
	})
}

// echoes sends messages back, to the end of the stream.
func echoes(c net.Conn) error {
	p := make([]byte, messageSize)
	for {
		if _, err := io.ReadFull(c, p); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
}

// measureRecords measures the protection of a mebibyte.
func (p *Prices) measureRecords(id ciphersuite.ID, e effort) error {
	suite, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		return err
	}
	content := make([]byte, record.MaxPlaintext)
	const records = (1 << 20) / record.MaxPlaintext
	var ends [3]*record.Protection // one seals for nobody, and two for each other
	for i := range ends {
		if ends[i], err = record.NewProtection(suite, make([]byte, suite.HashSize())); err != nil {
			return err
		}
		defer ends[i].Erase()
	}
	buf := make([]byte, 0, 2*record.MaxPlaintext)
	seal := measure.Repeat(func() error {
		for range records {
			if _, err := ends[0].Seal(buf, record.ContentApplicationData, content); err != nil {
				return err
			}
		}
		return nil
	})
	open := measure.Op(func(n int) (func() error, error) {
		sealed := make([][]byte, n*records)
		for i := range sealed {
			if sealed[i], err = ends[1].Seal(nil, record.ContentApplicationData, content); err != nil {
				return nil, err
			}
		}
		return func() error {
			for _, r := range sealed {
				if _, _, err := ends[2].Open(buf, r); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
	series, err := measure.Rounds(e.rounds, e.batch/4, []measure.Subject{seal, open})
	if err != nil {
		return err
	}
	p.Seal, p.Open = priceOf(series[0], 1), priceOf(series[1], 1)
	p.Seal.Octets, p.Open.Octets = 1<<20+records*record.Overhead, 1<<20+records*record.Overhead
	return nil
}

// countSaves counts how often a server saves a session in each operation, and takes note of how large that is.
func (p *Prices) countSaves(id ciphersuite.ID) error {
	pair, err := channels.NewPair(id, true)
	if err != nil {
		return err
	}
	var client, server counting
	client.Store, server.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	pair.KeepIn(&client, &server)
	once := func(op measure.Op) (atClient, atServer float64, err error) {
		run, err := op(1)
		if err != nil {
			return 0, 0, err
		}
		c, s := client.saves.Load(), server.saves.Load()
		err = run()
		return float64(client.saves.Load() - c), float64(server.saves.Load() - s), err
	}
	updates, err := pair.Update()
	if err != nil {
		return err
	}
	resumptions, err := pair.Resumption()
	if err != nil {
		return err
	}
	if _, p.Handshake.Saves, err = once(pair.Handshake()); err != nil {
		return err
	}
	if _, p.Refused.Saves, err = once(pair.Refused()); err != nil {
		return err
	}
	if _, p.Resumption.Saves, err = once(resumptions); err != nil {
		return err
	}
	// Updates are made by the client there: the server's own save what those save at the client.
	if p.OwnUpdate.Saves, p.PeerUpdate.Saves, err = once(updates); err != nil {
		return err
	}
	p.State = float64(server.largest.Load())
	if p.State == 0 {
		return fmt.Errorf("nothing was saved in %d operations", 4)
	}
	return nil
}

// counting counts what is saved.
type counting struct {
	channel.Store
	saves, largest atomic.Int64
}

func (c *counting) Save(ctx context.Context, s channel.StoredSession) (uint64, error) {
	c.saves.Add(1)
	c.largest.Store(max(c.largest.Load(), int64(len(s.Data))))
	return c.Store.Save(ctx, s)
}
