package quicmls

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// erased reports that a protection opens and seals nothing any more.
func erased(p *record.StreamProtection) bool {
	_, _, err := p.Open(nil, append([]byte{byte(p.Epoch()), 0, 17}, make([]byte, 17)...))
	return err == record.ErrErased
}

func zero(key record.StreamKey) bool {
	for _, b := range key {
		if b != 0 {
			return false
		}
	}
	return true
}

func TestKeysAreErasedWithTheirEpoch(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	f := newFakeStream(t, client)
	send(t, f.send, "data")
	expect(t, f.receive, "data")
	sealer, opener, secret := f.send.protection, f.receive.protection, client.sending.secret
	f.endEpoch()
	if !erased(sealer) {
		t.Error("the sender has the old key")
	}
	if erased(opener) {
		t.Error("the receiver erases the key before all is read")
	}
	if f.send.protection != nil || f.send.key == nil {
		t.Error("a key is expanded before it is needed")
	}
	key := f.send.key
	send(t, f.send, "more")
	expect(t, f.receive, "more")
	if !erased(opener) {
		t.Error("the receiver has the old key")
	}
	if !zero(key) {
		t.Error("a key that is in use is kept in another form")
	}
	if client.sending.secret == secret || len(client.receiving.old) != 1 {
		t.Error("secrets are not what they should be")
	}
	for range 3 {
		f.endEpoch()
	}
	waiting := f.receive.keys
	if len(waiting) != 2 { // the present one is not kept apart
		t.Errorf("%d keys wait", len(waiting))
	}
	send(t, f.send, "last")
	expect(t, f.receive, "last")
	for i, key := range waiting {
		if !zero(key) {
			t.Errorf("key %d is left", i)
		}
	}
	if f.receive.keys != nil {
		t.Error("keys are left")
	}
}

func TestKeysAreErasedWithTheirStream(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T, f *fakeStream)
	}{
		{"closed", func(t *testing.T, f *fakeStream) {
			if err := f.send.Close(); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(f.receive); err != nil || string(got) != "moredata" {
				t.Errorf("%q, %v", got, err)
			}
		}},
		{"cancelled", func(t *testing.T, f *fakeStream) {
			f.send.CancelWrite(1)
			f.receive.CancelRead(1)
		}},
		{"cut", func(t *testing.T, f *fakeStream) {
			f.send.CancelWrite(1)
			f.quic.end()
			if _, err := io.ReadAll(f.receive); err != io.ErrUnexpectedEOF {
				t.Error(err)
			}
		}},
		{"connection ended", func(t *testing.T, f *fakeStream) { f.conn.CloseWithError(0, "") }},
		{"connection aborted", func(t *testing.T, f *fakeStream) {
			f.conn.abort(io.ErrNoProgress)
			<-f.conn.served
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, _ := newConnPair(t)
			f := newFakeStream(t, client)
			send(t, f.send, "data")
			expect(t, f.receive, "data")
			f.endEpoch()
			send(t, f.send, "more")
			f.endEpoch()
			send(t, f.send, "data")
			f.endEpoch() // so that there is a key in each form
			opener, waiting, next := f.receive.protection, f.receive.keys, f.send.key
			secrets := []*record.EpochSecret{client.sending.secret, client.receiving.secret}
			for _, o := range client.receiving.old {
				secrets = append(secrets, o.secret)
			}
			if len(waiting) != 2 || next == nil {
				t.Fatalf("%d keys wait", len(waiting))
			}
			c.end(t, f)
			if !erased(opener) || f.receive.protection != nil || f.receive.keys != nil {
				t.Error("the receiver has its key")
			}
			for i, key := range append(waiting, next) {
				if !zero(key) {
					t.Errorf("key %d is left", i)
				}
			}
			if f.send.protection != nil || f.send.key != nil {
				t.Error("the sender has its key")
			}
			if sending, receiving := client.known(); sending > 0 || receiving > 0 {
				t.Errorf("%d and %d streams are known", sending, receiving)
			}
			if client.Context().Err() == nil {
				return
			}
			if client.sending.secret != nil || client.receiving.secret != nil || len(client.receiving.old) > 0 {
				t.Error("the connection has secrets")
			}
			for i, s := range secrets {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("secret %d is left", i)
						}
					}()
					s.StreamKey(0)
				}()
			}
		})
	}
}

func TestDatagramKeysAreErased(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	if err := client.SendDatagram([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.ReceiveDatagram(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone := func(p *record.DatagramProtection) bool {
		_, err := p.Open(nil)
		return err == record.ErrErased
	}
	sealer, opener := client.sending.datagrams, server.receiving.datagrams
	update(t, client)
	if !gone(sealer) || client.sending.datagrams != nil {
		t.Error("the sender has the old key")
	}
	if gone(opener) {
		t.Error("the receiver does without the old key at once")
	}
	server.CloseWithError(0, "")
	if !gone(opener) {
		t.Error("the receiver has the old key after the end")
	}
}

// A Read that is under way when the connection ends erases its key itself.
func TestReadUnderWayErasesItsKey(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	opener := b.receive.protection
	ended := make(chan error)
	go func() { ended <- readError(b) }()
	client.CloseWithError(1, "")
	server.CloseWithError(1, "")
	if err := <-ended; err == nil {
		t.Error("Read says that all is well")
	}
	if !erased(opener) {
		t.Error("the key is left")
	}
}

// A stream that the peer wants no more of is forgotten with the next update, even if nobody
// writes to it, or ever has.
func TestStreamsThatThePeerHasResetAreForgotten(t *testing.T) {
	for _, written := range []bool{false, true} {
		checkGoroutines(t)
		client, server := newQUICPair(t, nil, &quic.Config{MaxIncomingStreams: 2})
		a, b := openPair(t, client, server)
		exchange(t, a, b)
		x, y := a, b
		if !written { // only who opens it ever writes
			y, x = openPair(t, server, client)
		}
		y.CancelRead(5)
		<-x.Context().Done()
		update(t, client)
		update(t, server)
		x.conn.sending.mu.Lock()
		_, known := x.conn.sending.streams[&x.send]
		x.conn.sending.mu.Unlock()
		if known || x.send.protection != nil || x.send.key != nil {
			t.Error("the stream is still known")
		}
		cancelled(t, "Write", writeError(x), 5, true)
	}
}

// What waits for a peer that takes nothing does not grow without bound.
func TestWhatWaitsIsBounded(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	f := newFakeStream(t, client)
	send(t, f.send, "x")
	f.quic.limit(true)
	f.send.writeMu.Lock() // as by a Write that is blocked
	for range maxLeft/record.StreamOverhead + 2 {
		f.endEpoch()
	}
	if n := len(f.send.left); n > 0 {
		t.Errorf("%d octets wait", n)
	}
	f.send.writeMu.Unlock()
	if _, err := f.send.Write([]byte("x")); err != ErrEpochGone {
		t.Errorf("Write: %v", err)
	}
	if f.quic.ctx.Err() == nil {
		t.Error("the stream is not reset")
	}
}

// A closingStore has the connection end when somebody looks for a session.
type closingStore struct {
	channel.Store
	conn *quic.Conn
}

func (s closingStore) FindByPeer(ctx context.Context, peer string) ([]channel.SessionID, error) {
	s.conn.CloseWithError(0, "")
	return s.Store.FindByPeer(ctx, peer)
}

// A session is loaded, and there is no stream any more on which it could be resumed.
func TestASessionThatDoesNotGetToItsStreamIsErased(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	for _, c := range []*Config{ic, rc} {
		c.Store, c.PeerName = channel.NewMemoryStore(0), "peer"
	}
	client, server := connect(t, ic, rc)
	id := client.ConnectionState().SessionID
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")
	q, _ := quicPair(t, ic, rc)
	ic.Store = closingStore{ic.Store, q}
	var states []channel.State
	ic.Trace = &channel.Trace{Transition: func(of channel.SessionID, _, to channel.State) {
		if of == id {
			states = append(states, to)
		}
	}}
	if err := Client(q, ic).HandshakeContext(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("HandshakeContext: %v", err)
	}
	if !slices.Equal(states, []channel.State{channel.StateClosed}) {
		t.Errorf("the session is in the states %v, want it closed", states)
	}
}
