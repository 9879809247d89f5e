package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

// A transfer is what one end sends and receives, over as many connections as
// it takes.
type transfer struct {
	source   source
	minBytes int64
	until    time.Time // send at least this long

	received *sink
	// Progress for the one who watches.
	sentBytes, receivedBytes atomic.Int64
	sendingDone              atomic.Bool
}

func newTransfer(seed byte, minBytes int64, until time.Time) *transfer {
	return &transfer{source: source{seed: [32]byte{seed}}, minBytes: minBytes, until: until, received: newSink()}
}

// over runs the transfer over conn until both directions are complete. On an
// error it can be run again over another connection: each end says how much it
// has, and the other goes on from there.
func (t *transfer) over(conn *netconn.Conn) error {
	var position [8]byte
	binary.BigEndian.PutUint64(position[:], uint64(t.received.n))
	if _, err := conn.Write(position[:]); err != nil {
		return fmt.Errorf("sending the position: %w", err)
	}
	if _, err := io.ReadFull(conn, position[:]); err != nil {
		return fmt.Errorf("receiving the position: %w", err)
	}
	sent := make(chan error, 1)
	go func() { sent <- t.send(conn, int64(binary.BigEndian.Uint64(position[:]))) }()
	receiveErr := t.receive(conn)
	if receiveErr != nil {
		conn.Close() // ends send as well
	}
	return errors.Join(receiveErr, <-sent)
}

func (t *transfer) send(conn *netconn.Conn, from int64) error {
	t.sentBytes.Store(from)
	var b [blockSize]byte
	for n := from; n < t.minBytes || time.Now().Before(t.until); {
		t.source.block(n/blockSize, &b)
		part := b[n%blockSize:]
		if _, err := conn.Write(part); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		n += int64(len(part))
		t.sentBytes.Store(n)
	}
	if err := conn.CloseWrite(); err != nil {
		return fmt.Errorf("closing the sending direction: %w", err)
	}
	t.sendingDone.Store(true)
	return nil
}

func (t *transfer) receive(conn *netconn.Conn) error {
	buf := make([]byte, blockSize)
	for {
		n, err := conn.Read(buf)
		t.received.Write(buf[:n])
		t.receivedBytes.Store(t.received.n)
		if errors.Is(err, io.EOF) {
			return nil // the peer has closed its direction, authentically
		}
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
	}
}
