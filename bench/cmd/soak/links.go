package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/netconn"
)

// tally counts what all links have done.
type tally struct {
	handshakes, resumptions, updates, cuts, octets atomic.Int64
}

// manyLinks has so many links live for a while, each through connection after connection.
func manyLinks(w io.Writer, links int, lasting time.Duration) error {
	cc, sc, err := configs(4 * links)
	if err != nil {
		return err
	}
	before := usageNow()
	l, address, err := listen(sc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lasting)
	defer cancel()
	var t tally
	faults := make(chan error, 2*links)
	var servers, clients sync.WaitGroup
	servers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			servers.Go(func() {
				defer func() {
					// Whoever cannot say goodbye in time leaves the client with a stream that is cut.
					if err := c.Close(); errors.Is(err, os.ErrDeadlineExceeded) {
						faults <- fmt.Errorf("server: %w", err)
					}
				}()
				// A client that has cut a connection may have resumed before its end is seen here.
				if _, err := io.Copy(c, c); err != nil && !harmless(err) && !errors.Is(err, channel.ErrSuperseded) {
					faults <- fmt.Errorf("server: %w", err)
				}
			})
		}
	})
	for i := range links {
		config := *cc
		config.PeerName = fmt.Sprint("link ", i)
		random := rand.New(rand.NewPCG(uint64(i), 1))
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := t.live(ctx, address, &config, random); err != nil {
					faults <- fmt.Errorf("link %d: %w", i, err)
					return
				}
			}
		})
	}
	clients.Wait()
	l.Close()
	servers.Wait()
	close(faults)
	after := usageNow()
	fmt.Fprintf(w, "%d links for %v: %d handshakes, %d resumptions, %d updates, %d cuts, %d MiB echoed and compared\n",
		links, lasting, t.handshakes.Load(), t.resumptions.Load(), t.updates.Load(), t.cuts.Load(), t.octets.Load()>>20)
	fmt.Fprintf(w, "goroutines %d before and %d after\n", before.goroutines, after.goroutines)
	var all []error
	for fault := range faults {
		if all = append(all, fault); len(all) == 10 {
			break
		}
	}
	if after.goroutines > before.goroutines+2 {
		all = append(all, errors.New("goroutines are left"))
	}
	if t.octets.Load() == 0 || t.updates.Load() == 0 {
		all = append(all, errors.New("nothing has happened"))
	}
	return errors.Join(all...)
}

// live goes through one connection: it sends, compares what comes back, and updates now and
// then, until the connection is cut in the middle of something, or closed.
func (t *tally) live(ctx context.Context, address string, config *netconn.Config, random *rand.Rand) error {
	c, err := netconn.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer c.Close()
	if c.ConnectionState().Resumed {
		t.resumptions.Add(1)
	} else {
		t.handshakes.Add(1)
	}
	var sent, received pattern
	reading := make(chan error, 1)
	go func() {
		buf := make([]byte, 8<<10)
		for {
			n, err := c.Read(buf)
			if wrong := received.check(buf[:n]); wrong != nil {
				err = wrong
			}
			if err != nil {
				reading <- err
				return
			}
		}
	}()
	cut := false
	for range 5 + random.IntN(20) {
		chunk := make([]byte, 1+random.IntN(4<<10))
		sent.fill(chunk)
		if _, err := c.Write(chunk); err != nil {
			return err
		}
		switch random.IntN(12) {
		case 0:
			if err := c.Update(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("update: %w", err)
			}
			t.updates.Add(1)
		case 1:
			time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
		case 2:
			if random.IntN(4) == 0 {
				c.NetConn().Close()
				cut = true
			}
		}
		if cut || ctx.Err() != nil {
			break
		}
	}
	if !cut {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	err = <-reading
	t.octets.Add(int64(received.at))
	switch {
	case cut && harmless(err):
		t.cuts.Add(1)
		return nil
	case !cut && err == io.EOF && received.at == sent.at:
		return nil
	}
	return fmt.Errorf("%d octets sent, %d came back, cut: %t: %w", sent.at, received.at, cut, err)
}
