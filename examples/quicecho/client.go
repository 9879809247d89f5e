package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/quicmls"
)

const (
	messages    = 32       // on each stream
	messageSize = 32 << 10 // octets
	datagrams   = 32
	patience    = 250 * time.Millisecond // with a datagram, before it is sent again
)

// A client has a connection, and knows who has updated its keys.
type client struct {
	conn      *quicmls.Conn
	own, peer atomic.Int64 // updates
}

func dial(ctx context.Context, address string, config *quicmls.Config) (*client, error) {
	c := new(client)
	counting := *config
	counting.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.Updated); ok && e.Own {
			c.own.Add(1)
		} else if ok {
			c.peer.Add(1)
		}
	}}
	var err error
	c.conn, err = quicmls.Dial(ctx, address, &counting)
	return c, err
}

func (c *client) close() { c.conn.CloseWithError(0, "") }

// show talks over streams and by datagrams, until both ends have updated their keys.
func (c *client) show(ctx context.Context, streams int) error {
	state := c.conn.ConnectionState()
	log.Printf("connected to %q, suite %v", state.Peer.Credential.Identity, state.Suite)
	start := time.Now()
	rounds := 0
	for ; rounds == 0 || c.peer.Load() == 0; rounds++ {
		if err := c.talkOnStreams(ctx, streams); err != nil {
			return err
		}
	}
	octets := 2 * rounds * streams * messages * messageSize
	log.Printf("%d streams: %.0f MiB there and back in %v", rounds*streams, float64(octets)/2/(1<<20), time.Since(start).Round(time.Millisecond))
	lost, err := c.talkByDatagrams(ctx)
	if err != nil {
		return err
	}
	log.Printf("%d datagrams came back, after %d that did not", datagrams, lost)
	log.Printf("epoch %d: %d updates of this end, %d of the other", c.conn.ConnectionState().Epoch, c.own.Load(), c.peer.Load())
	if own := c.own.Load(); own == 0 {
		return errors.New("this end has not updated its keys")
	}
	return nil
}

// talkOnStreams talks over many streams at a time.
func (c *client) talkOnStreams(ctx context.Context, streams int) error {
	errs := make([]error, streams)
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() { errs[i] = c.talk(ctx, i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// talk sends messages over one stream and waits for each to come back. It updates this end's keys in the
// middle of it.
func (c *client) talk(ctx context.Context, number int) error {
	stream, err := c.conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	defer stream.NetConn().Close()
	stop := context.AfterFunc(ctx, func() { stream.SetDeadline(time.Now()) })
	defer stop()
	data := rand.NewChaCha8([32]byte{byte(number)}) // not a cryptographic use
	want, got := make([]byte, messageSize), make([]byte, messageSize)
	for i := range messages {
		data.Read(want)
		if _, err := stream.Write(want); err != nil {
			return fmt.Errorf("stream %d: %w", number, err)
		}
		if i == messages/2 {
			if err := c.conn.Update(ctx); err != nil {
				return fmt.Errorf("stream %d: updating keys: %w", number, err)
			}
		}
		if _, err := io.ReadFull(stream, got); err != nil {
			return fmt.Errorf("stream %d: %w", number, err)
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("stream %d: message %d did not come back as it was", number, i)
		}
	}
	if err := stream.Close(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(stream); err != nil || len(rest) > 0 {
		return fmt.Errorf("stream %d: %d octets too many, %w", number, len(rest), err)
	}
	return nil
}

// talkByDatagrams sends numbers, each of them until it comes back, and returns how often that was in vain.
func (c *client) talkByDatagrams(ctx context.Context) (lost int, err error) {
	for n := range uint32(datagrams) {
		want := binary.BigEndian.AppendUint32([]byte("number "), n)
		for {
			if err := c.conn.SendDatagram(want); err != nil {
				return lost, err
			}
			back, err := c.await(ctx, want)
			if err != nil {
				return lost, err
			}
			if back {
				break
			}
			lost++
		}
	}
	return lost, nil
}

// await reports whether a datagram comes soon. Others are late, as their number has come before.
func (c *client) await(ctx context.Context, want []byte) (bool, error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		got, err := c.conn.ReceiveDatagram(soon)
		switch {
		case err == nil && bytes.Equal(got, want):
			return true, nil
		case err == nil && (len(got) != len(want) || bytes.Compare(got, want) > 0):
			return false, fmt.Errorf("datagram %q came back as %q", want, got)
		case err == nil:
		case ctx.Err() == nil && soon.Err() != nil:
			return false, nil
		default:
			return false, err
		}
	}
}
