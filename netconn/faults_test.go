package netconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/netsim"
)

// in returns the faults of both ways of a network that has one in a single direction.
func in(direction int, f netsim.StreamFault) (faults [2][]netsim.StreamFault) {
	faults[direction] = []netsim.StreamFault{f}
	return faults
}

// handshakeThrough performs the handshake of both ends over a network in memory with
// such faults, and closes them. It returns the server, for what it has read before, and its error.
func handshakeThrough(ic, rc *Config, early []byte, faults [2][]netsim.StreamFault) (server *Conn, err error) {
	a, b, network := netsim.NewStreamPipe(faults[0], faults[1])
	defer network.Close()
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	if err := client.SetEarlyData(early); err != nil {
		return server, err
	}
	_, err = handshakeBoth(client, server)
	return server, err
}

// An attack is something that a network does to a stream at one place, and that
// must not go unnoticed.
type attack struct {
	name   string
	at     func(offset int64) netsim.StreamFault
	closes bool // nothing follows in that direction
}

// attacks are all that there are, with n octets where they take a range.
func attacks(n int) []attack {
	cut := func(how netsim.Cut) attack {
		return attack{fmt.Sprint("cut, ", how), func(offset int64) netsim.StreamFault { return netsim.CutAt(offset, how) }, true}
	}
	return []attack{
		{"flip", func(offset int64) netsim.StreamFault { return netsim.FlipAt(offset, 1<<(offset%8)) }, false},
		{"drop", func(offset int64) netsim.StreamFault { return netsim.DropOctets(offset, n) }, false},
		{"duplicate", func(offset int64) netsim.StreamFault { return netsim.DuplicateOctets(offset, n) }, false},
		{"swap", func(offset int64) netsim.StreamFault { return netsim.SwapOctets(offset, n) }, false},
		cut(netsim.CutHalfClosed),
		cut(netsim.CutClosed),
		cut(netsim.CutReset),
	}
}

// A smallTalk is a short conversation: a handshake or a resumption, a few words each way,
// and the end of both directions. Each end does one thing after the other.
type smallTalk struct {
	ic, rc *Config
	early  []byte
	stored [2]channel.StoredSession // of both ends; none without early data
}

const question, answer = "what is the question?", "the answer"

// An outcome is what came of one end.
type outcome struct {
	got   []byte
	err   error // the first; nil if all went well and the peer said that there is no more
	state ConnectionState
}

// through has the conversation over a network with such faults, in a bubble of time.
func (s *smallTalk) through(faults [2][]netsim.StreamFault) (client, server outcome, carried [2]int64) {
	ic, rc := *s.ic, *s.rc
	if s.early != nil {
		ic.Store, rc.Store = newStore(), newStore()
		for i, store := range []channel.Store{ic.Store, rc.Store} {
			stored := s.stored[i]
			stored.Version = 0
			if _, err := store.Save(context.Background(), stored); err != nil {
				panic(err)
			}
		}
	}
	a, b, network := netsim.NewStreamPipe(faults[0], faults[1])
	initiator, responder := Client(a, &ic), Server(b, &rc)
	if err := initiator.SetEarlyData(s.early); err != nil {
		panic(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		talk(responder, &server, func() {
			if server.got, server.err = io.ReadAll(responder); server.err == nil {
				server.err = say(responder, answer)
			}
		})
	}()
	talk(initiator, &client, func() {
		if client.err = say(initiator, question); client.err == nil {
			client.got, client.err = io.ReadAll(initiator)
		}
	})
	<-done
	carried[0], carried[1] = network.Carried()
	network.Close()
	return client, server, carried
}

// talk performs the handshake and goes on with the rest, if that succeeds. Where something goes
// wrong it cuts the connection: Close alone would tell the peer that there is no more.
func talk(c *Conn, o *outcome, rest func()) {
	defer c.Close()
	if o.err = c.Handshake(); o.err == nil {
		c.SetDeadline(time.Now().Add(time.Minute))
		rest()
	}
	if o.state = c.ConnectionState(); o.err != nil {
		c.NetConn().Close()
	}
}

// say sends words, and that there are no more.
func say(c *Conn, words string) error {
	_, err := io.WriteString(c, words)
	return errors.Join(err, c.CloseWrite())
}

// newSmallTalk prepares one that begins with a full handshake or, with early data, a resumption.
func newSmallTalk(t *testing.T, early string) *smallTalk {
	t.Helper()
	ic, rc := newConfigs(t)
	s := &smallTalk{ic: ic, rc: rc}
	if early == "" {
		return s
	}
	s.early = []byte(early)
	ic.Store, rc.Store, ic.PeerName, rc.MaxEarlyData = newStore(), newStore(), "peer", 100
	makeSession(t, ic, rc)
	for i, store := range []channel.Store{ic.Store, rc.Store} {
		ids, err := ic.Store.FindByPeer(t.Context(), "peer")
		if err != nil || len(ids) != 1 {
			t.Fatal(ids, err)
		}
		if s.stored[i], err = store.Load(t.Context(), ids[0]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// wants is what the server reads if nothing goes wrong: all but early data of which the client
// knows that it may have gone elsewhere.
func (s *smallTalk) wants(client outcome) string {
	if client.state.EarlyData == channel.EarlyDataUnknown {
		return question
	}
	return string(s.early) + question
}

// right reports an end that has read something else than a beginning of what it should, or that
// believes in an end before the end.
func right(t *testing.T, what string, o outcome, want string) {
	t.Helper()
	if !bytes.HasPrefix([]byte(want), o.got) {
		t.Errorf("%s: reads %q, want the beginning of %q", what, o.got, want)
	}
	if o.err == nil && string(o.got) != want {
		t.Errorf("%s: the stream ends with %q, want %q", what, o.got, want)
	}
	if o.err == io.EOF {
		t.Errorf("%s: io.EOF for an error", what)
	}
}

// Whatever somebody on the network does to any octet of a handshake, of a resumption with early data
// and of what follows: both ends get the right data, or a beginning of it and an error. Time
// stands still while anybody is at work, so nobody's timeout decides.
func TestEveryOctetOfASmallTalkMatters(t *testing.T) {
	stride := int64(1)
	if raceEnabled {
		stride = 29
	}
	for name, early := range map[string]string{"handshake": "", "resumption": "early"} {
		s := newSmallTalk(t, early)
		var carried [2]int64
		synctest.Test(t, func(t *testing.T) {
			var client, server outcome
			client, server, carried = s.through([2][]netsim.StreamFault{})
			right(t, name, client, answer)
			right(t, name, server, early+question)
			if err := errors.Join(client.err, server.err); err != nil || client.state.Resumed != (early != "") {
				t.Fatalf("%s: without any fault: %v, %+v", name, err, client.state)
			}
		})
		t.Logf("%s: %v octets", name, carried)
		for _, attack := range attacks(1)[:5] { // in memory one cut is like another
			t.Run(name+", "+attack.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					for direction, n := range carried {
						for offset := int64(0); offset < n && !t.Failed(); offset += stride {
							what := fmt.Sprintf("octet %d of direction %d", offset, direction)
							client, server, _ := s.through(in(direction, attack.at(offset)))
							right(t, what+", client", client, answer)
							right(t, what+", server", server, s.wants(client))
							if err := [...]outcome{server, client}[direction].err; attack.closes && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) {
								t.Errorf("%s: %v at the end that reads, want io.ErrUnexpectedEOF", what, err)
							}
							// Octets that change places may be equal, a resumption may give way to a full handshake,
							// and nobody looks at what follows the end: nor at one octet more, where those up to the end are equal.
							last := n - 1
							if attack.name == "duplicate" {
								last -= 4
							}
							if err := errors.Join(client.err, server.err); err == nil && early == "" && attack.name != "swap" && offset < last {
								t.Errorf("%s: both ends are content", what)
							}
						}
					}
				})
			})
		}
	}
}
