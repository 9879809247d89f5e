package quicmls

import (
	"bytes"
	"io"
	"sync"
	"testing"
)

func TestStreamsAndUpdates(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	update(t, client)
	exchange(t, a, b)
	update(t, server)
	exchange(t, b, a)
	update(t, client)
	update(t, client)
	exchange(t, b, a)
	if x, y := client.ConnectionState(), server.ConnectionState(); x.Epoch != 5 || y.Epoch != 5 || x.SessionID != y.SessionID {
		t.Errorf("epochs %d and %d", x.Epoch, y.Epoch)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestBulkWhileKeysChange(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	within(t, "streaming", func() {
		var wg sync.WaitGroup
		done := make(chan struct{})
		wg.Go(func() {
			if _, err := a.Write(data); err != nil {
				t.Error(err)
			}
			a.Close()
		})
		wg.Go(func() {
			defer close(done)
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d octets, %v", len(got), err)
			}
		})
		for _, c := range []*Conn{client, server} {
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := c.Update(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
	t.Logf("epoch %d", client.ConnectionState().Epoch)
}
