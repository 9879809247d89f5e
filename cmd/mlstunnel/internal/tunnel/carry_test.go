package tunnel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

func TestDataFlowsWhileBothEndsRekey(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		rekey := &config.Rekey{Every: 100 * time.Millisecond}
		e.server.Rekey, e.client.Rekey = rekey, rekey
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
		var sending sync.WaitGroup
		sent, received := sha256.New(), sha256.New()
		healed := make(chan struct{}) // both ends have often enough
		sending.Go(func() {
			source, chunk := rand.NewChaCha8([32]byte{1}), make([]byte, 64<<10)
			for total := 0; ; total += len(chunk) {
				select {
				case <-healed:
					if total >= 16<<20 {
						c.CloseWrite()
						return
					}
				default:
				}
				source.Read(chunk)
				sent.Write(chunk)
				if _, err := c.Write(chunk); err != nil {
					t.Error(err)
					return
				}
			}
		})
		var n int64
		sending.Go(func() {
			var err error
			if n, err = io.Copy(received, c); err != nil {
				t.Error(err)
			}
		})
		testbed.Eventually(t, "five updates of each end", func() bool {
			return statusOf(server).UpdatesOwn >= 5 && statusOf(client).UpdatesOwn >= 5
		})
		close(healed)
		sending.Wait()
		if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
			t.Error("what came back is not what was sent")
		}
		s := statusOf(client)
		if s.Connections != 1 || s.HandshakesFull != 1 || s.HandshakesResumed != 0 || s.BytesToPeer != uint64(n) || s.BytesFromPeer != uint64(n) {
			t.Errorf("after %d octets each way the client says %+v", n, s)
		}
	})
}

func TestEachDirectionEndsByItself(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		t.Run("client first", func(t *testing.T) {
			service := testbed.Service(t, func(c *net.TCPConn) {
				got, err := io.ReadAll(c)
				fmt.Fprintf(c, "got %s, %v", got, err)
			})
			_, client := pinnedEnds(t, transport, service).startBoth(t, nil)
			c := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
			io.WriteString(c, "question")
			c.CloseWrite()
			if got, err := io.ReadAll(c); string(got) != "got question, <nil>" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
		t.Run("service first", func(t *testing.T) {
			heard := make(chan string, 1)
			service := testbed.Service(t, func(c *net.TCPConn) {
				io.WriteString(c, "banner")
				c.CloseWrite()
				got, err := io.ReadAll(c)
				heard <- fmt.Sprintf("%s, %v", got, err)
			})
			_, client := pinnedEnds(t, transport, service).startBoth(t, nil)
			c := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
			if got, err := io.ReadAll(c); string(got) != "banner" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			io.WriteString(c, "late answer")
			c.CloseWrite()
			if got := <-heard; got != "late answer, <nil>" {
				t.Errorf("the service got %s", got)
			}
		})
		t.Run("a service that does not read everything", func(t *testing.T) {
			service := testbed.Service(t, func(c *net.TCPConn) {
				io.ReadFull(c, make([]byte, 10))
				io.WriteString(c, "too large")
				c.CloseWrite()
				c.CloseRead() // and what comes then is answered by a reset
			})
			_, client := pinnedEnds(t, transport, service).startBoth(t, nil)
			c := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
			io.WriteString(c, "0123456789")
			if got, err := io.ReadAll(c); string(got) != "too large" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	})
}

func TestManyConnectionsAtOnce(t *testing.T) {
	const many = 60
	transports(t, func(t *testing.T, transport string) {
		server, client := pinnedEnds(t, transport, testbed.Echo(t)).startBoth(t, nil)
		together := make(chan struct{})
		var ready, running sync.WaitGroup
		ready.Add(many)
		for i := range many {
			c := testbed.Dial(t, "tcp", addressOf(client, "client"))
			running.Go(func() {
				err := testbed.Exchange(c, fmt.Sprint("first of ", i))
				ready.Done()
				<-together // all are open
				if err = errors.Join(err, testbed.Exchange(c, fmt.Sprint("second of ", i))); err != nil {
					t.Error(err)
				}
				c.Close()
			})
		}
		ready.Wait()
		want := many
		if transport == config.QUIC {
			want = 1
		}
		if s := statusOf(server); s.Open != many || len(s.Links) != want {
			t.Errorf("the server has %d connections over %d links, want %d over %d", s.Open, len(s.Links), many, want)
		}
		close(together)
		running.Wait()
		testbed.Eventually(t, "no connection is left", func() bool { return statusOf(server).Open == 0 && statusOf(client).Open == 0 })
	})
}

func TestUnixSocketsAtBothPlainEnds(t *testing.T) {
	directory := t.TempDir()
	back, front := filepath.Join(directory, "back"), filepath.Join(directory, "front")
	l, err := net.Listen("unix", back)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(c, c)
			c.Close()
		}
	}()
	// Somebody has left a socket behind.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: front, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	e := pinnedEnds(t, config.TCP, "unix:"+back)
	e.client.Forwards[0].Listen = "unix:" + front
	e.startBoth(t, nil)
	c := testbed.Dial(t, "unix", front).(*net.UnixConn)
	testbed.SayAndHear(t, c, "through two sockets")
	c.CloseWrite()
	if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
}

// isReset reports that a connection was cut, and did not end.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// wantReset reads until the connection is cut.
func wantReset(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !isReset(err) {
		t.Errorf("got %v, want a reset", err)
	}
}

// wantTurnedAway connects and wants to be cut, which may come even before the connection is there for this end.
func wantTurnedAway(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(testbed.HangBound))
		_, err = io.Copy(io.Discard, c)
	}
	if !isReset(err) {
		t.Errorf("got %v, want a reset", err)
	}
}

// What is on its way when a connection ends arrives, though the peer's next update comes to an end that is done.
func TestTheEndOfAConnectionLosesNothing(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		answer := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
		e := pinnedEnds(t, transport, testbed.Service(t, func(c *net.TCPConn) {
			io.Copy(io.Discard, c)
			c.Write(answer)
			c.CloseWrite()
		}))
		e.client.Rekey = &config.Rekey{Every: 100 * time.Millisecond}
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
		c.CloseWrite()
		var got bytes.Buffer
		testbed.Eventually(t, "the server is done", func() bool {
			if _, err := io.CopyN(&got, c, 128<<10); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			s := statusOf(server)
			return s.Connections == 1 && s.Open == 0
		})
		if transport == config.QUIC {
			go server.Drain(t.Context())
		}
		time.Sleep(500 * time.Millisecond) // for updates of the client; without any this shows nothing, and is right
		if _, err := io.Copy(&got, c); err != nil || !bytes.Equal(got.Bytes(), answer) {
			t.Errorf("got %d of %d octets, %v", got.Len(), len(answer), err)
		}
	})
}

func TestAServiceThatIsAwayIsAReset(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		server, client := pinnedEnds(t, transport, testbed.FreeAddress(t)).startBoth(t, nil)
		wantTurnedAway(t, addressOf(client, "client"))
		if s := statusOf(server); s.DialsFailed != 1 || s.Open != 0 {
			t.Errorf("the server says %+v", s)
		}
	})
}

func TestNoMoreConnectionsThanThereIsRoomFor(t *testing.T) {
	e := pinnedEnds(t, config.TCP, testbed.Echo(t))
	e.client.Forwards[0].MaxConnections = 2
	_, client := e.startBoth(t, nil)
	first, second := testbed.Dial(t, "tcp", addressOf(client, "client")), testbed.Dial(t, "tcp", addressOf(client, "client"))
	testbed.SayAndHear(t, first, "one")
	testbed.SayAndHear(t, second, "two")
	wantTurnedAway(t, addressOf(client, "client"))
	if s := statusOf(client); s.TurnedAway != 1 {
		t.Errorf("%d were turned away, want 1", s.TurnedAway)
	}
	first.Close()
	testbed.Eventually(t, "there is room again", func() bool { return statusOf(client).Open == 1 })
	testbed.SayAndHear(t, second, "still there")
}
