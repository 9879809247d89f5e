package netconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// pipelining returns configurations of ends that pipeline what they write.
func pipelining(t testing.TB) (initiator, responder *Config) {
	t.Helper()
	ic, rc := newConfigs(t)
	ic.PipelineWrites, rc.PipelineWrites = true, true
	return ic, rc
}

// The peer reads the exact stream, also while the keys change between any two batches.
func TestPipelinedWritesAreOneStream(t *testing.T) {
	checkGoroutines(t)
	ic, rc := pipelining(t)
	ic.Rekey.Bytes, rc.Rekey.Bytes = 300<<10, 300<<10
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	data := pattern(8 << 20)
	copies := func() error {
		n, err := io.Copy(client, struct{ io.Reader }{bytes.NewReader(data)})
		if err == nil && n != int64(len(data)) {
			err = io.ErrShortWrite
		}
		return err
	}
	writes := func() error {
		for rest := data; len(rest) > 0; {
			for _, size := range []int{1, copySize, copySize + 1, 2 * copySize, 300 << 10, 1 << 20} {
				k := min(size, len(rest))
				if n, err := client.Write(rest[:k]); n != k || err != nil {
					return errors.Join(err, io.ErrShortWrite)
				}
				rest = rest[k:]
			}
		}
		return nil
	}
	// How soon the keys change is up to the scheduler.
	const epochs, rounds = 4, 100
	for round := 0; round < 2 || client.ConnectionState().Epoch < epochs; round++ {
		if round == rounds {
			t.Fatalf("epoch %d: hardly any keys have changed meanwhile", client.ConnectionState().Epoch)
		}
		send := []func() error{copies, writes}[round%2]
		sent := make(chan error, 1)
		go func() { sent <- send() }()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(server, got); err != nil {
			t.Fatal(round, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(round, err)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("round %d: another stream", round)
		}
	}
}

// twoBatches makes an update due with the second batch, and returns a channel that is closed when that
// is sealed.
func twoBatches(c *Config) (sealed <-chan struct{}) {
	c.Rekey.Bytes = batchSize + batchSize/2
	due := make(chan struct{})
	var once sync.Once
	c.Trace = &channel.Trace{Sent: func(_ channel.SessionID, m channel.MessageType, _ int) {
		if m == channel.MessageConnectionUpdate {
			once.Do(func() { close(due) })
		}
	}}
	return due
}

// While the transport takes its time with a batch, the next one is sealed.
func TestTheNextBatchIsSealedMeanwhile(t *testing.T) {
	checkGoroutines(t)
	ic, rc := pipelining(t)
	sealed := twoBatches(ic)
	a, b := tcpPair(t)
	acting := &actingConn{Conn: a, act: func() {}}
	client, server := connect(t, acting, b, ic, rc)
	go io.Copy(io.Discard, struct{ io.Reader }{server})
	acting.act = func() {
		acting.act = func() {}
		<-sealed
	}
	within(t, "Write", func() {
		if n, err := client.Write(make([]byte, 2*copySize)); n != 2*copySize || err != nil {
			t.Error(n, err)
		}
	})
}

// Of a Write that times out both batches are left behind, that which was under way and that which
// was ready, and follow in their order.
func TestTwoBatchesAreLeftBehind(t *testing.T) {
	checkGoroutines(t)
	ic, rc := pipelining(t)
	sealed := twoBatches(ic)
	a, b := net.Pipe()
	late := &actingConn{Conn: a, act: func() {}}
	client, server := connect(t, late, b, ic, rc)
	late.act = func() {
		late.act = func() {}
		<-sealed
		client.SetWriteDeadline(longAgo)
	}
	data := pattern(5 * copySize)
	n, err := client.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n <= copySize || n > 2*batchSize {
		t.Fatalf("Write: %d, %v; want two batches and os.ErrDeadlineExceeded", n, err)
	}
	if err := client.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(data[n:])
		sent <- err
	}()
	got := make([]byte, len(data))
	if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("another stream arrives, %v", err)
	}
	go io.Copy(io.Discard, struct{ io.Reader }{server}) // the update may come behind the data
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestAnErrorOfAPipelinedWriteIsFinal(t *testing.T) {
	checkGoroutines(t)
	ic, rc := pipelining(t)
	a, b := tcpPair(t)
	failing := &failingConn{Conn: a}
	client, _ := connect(t, failing, b, ic, rc)
	failing.fail.Store(true)
	data := make([]byte, 4*copySize)
	if n, err := client.Write(data); n > 2*batchSize || !errors.Is(err, errFailing) {
		t.Errorf("Write: %d, %v", n, err)
	}
	failing.fail.Store(false)
	if n, err := client.Write(data); n != 0 || !errors.Is(err, errFailing) {
		t.Errorf("another Write: %d, %v", n, err)
	}
	if client.sender.buf != nil || client.sender.out != nil {
		t.Error("a buffer is held")
	}
}
