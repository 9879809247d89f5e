package tunnel

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// toldService is an echo that reads the header of each connection first, and tells what it says.
func toldService(t *testing.T) (address string, told chan *proxyproto.Header) {
	told = make(chan *proxyproto.Header, 10)
	return testbed.Service(t, func(c *net.TCPConn) {
		r := bufio.NewReader(c)
		header, err := proxyproto.Read(r)
		if err != nil {
			t.Errorf("the service got no header: %v", err)
			return
		}
		told <- header
		io.Copy(c, r) // its error is the end of the connection
		c.CloseWrite()
	}), told
}

// whoIs returns what a header says of the peer.
func whoIs(t *testing.T, h *proxyproto.Header) (fingerprint, name string) {
	t.Helper()
	tlvs, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	for _, tlv := range tlvs {
		switch tlv.Type {
		case 0xE0:
			fingerprint += string(tlv.Value)
		case 0xE1:
			name += string(tlv.Value)
		default:
			t.Errorf("the header has a value of type %#x", byte(tlv.Type))
		}
	}
	return fingerprint, name
}

func TestTheServiceIsToldWhoComesFromWhere(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		for _, certified := range []bool{false, true} {
			service, told := toldService(t)
			e, name := pinnedEnds(t, transport, service), ""
			if certified {
				e, _, _, _ = certifiedEnds(t, transport)
				e.server.Forwards[0].Forward, name = service, "spiffe://example.org/client"
			}
			e.server.Forwards[0].ProxyProtocol = &config.ProxyProtocol{Send: true}
			server, client := e.startBoth(t, nil)
			for range 2 { // of which each is told, over QUIC as well
				testbed.SayAndHear(t, testbed.Dial(t, "tcp", addressOf(client, "client")), "hello")
				h := <-told
				fingerprint, attested := whoIs(t, h)
				if fingerprint != statusOf(client).Fingerprint || attested != name {
					t.Errorf("the service was told of %s, %q, want %s, %q", fingerprint, attested, statusOf(client).Fingerprint, name)
				}
				remotes := map[string]bool{}
				for _, l := range statusOf(server).Links {
					remotes[l.Remote] = true
				}
				if !h.Command.IsProxy() || h.TransportProtocol != proxyproto.TCPv4 || !remotes[h.SourceAddr.String()] || h.DestinationAddr.String() != addressOf(server, "server") {
					t.Errorf("the service was told %v from %v to %v, want one of %v", h.TransportProtocol, h.SourceAddr, h.DestinationAddr, remotes)
				}
			}
		}
	})
}

// balancer passes connections on to an address, each with a header before it.
func balancer(t *testing.T, address, header string) string {
	return testbed.Service(t, func(c *net.TCPConn) {
		to, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		defer to.Close()
		io.WriteString(to, header)
		go func() {
			io.Copy(to, c) // its error is the end of the connection
			to.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(c, to) // as above
	})
}

func TestBalancersSayWhereConnectionsComeFrom(t *testing.T) {
	from := func(source string) string {
		a, err := net.ResolveTCPAddr("tcp", source)
		if err != nil {
			t.Fatal(err)
		}
		text, err := proxyproto.HeaderProxyFromAddrs(2, a, &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 7000}).Format()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	local, err := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, header, from string
		want               string // beginning of the source
		goes               bool
	}{
		{"a listed balancer", from("192.0.2.7:1234"), "127.0.0.1", "192.0.2.7:1234", true},
		{"a balancer of a listed network", from("[2001:db8::7]:1234"), "127.0.0.0/8", "[2001:db8::7]:1234", true},
		{"a connection of the balancer's own", string(local), "127.0.0.1", "127.0.0.1:", true},
		{"a listed balancer without a header", "", "127.0.0.1", "", false},
		{"a listed balancer with version 1", "PROXY TCP4 192.0.2.7 198.51.100.1 258 7000\r\n", "127.0.0.1", "", false},
		{"somebody else with a header", from("192.0.2.7:1234"), "192.0.2.99", "", false},
		{"somebody else without one", "", "192.0.2.99", "127.0.0.1:", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			service, told := toldService(t)
			e := pinnedEnds(t, config.TCP, service)
			e.server.Forwards[0].ProxyProtocol = &config.ProxyProtocol{Send: true, From: []string{test.from}}
			if !test.goes {
				e.client.Forwards[0].ConnectTimeout = time.Second // it tries again until then
			}
			server, client := e.startBoth(t, func(address string) string { return balancer(t, address, test.header) })
			if !test.goes {
				testbed.Eventually(t, "it is counted", func() bool {
					wantTurnedAway(t, addressOf(client, "client"))
					return statusOf(server).HandshakesFailed > 0
				})
				if s := statusOf(server); s.HandshakesFull != 0 || s.Connections != 0 || len(told) != 0 {
					t.Errorf("the server says %+v", s)
				}
				return
			}
			testbed.SayAndHear(t, testbed.Dial(t, "tcp", addressOf(client, "client")), "through a balancer")
			source := (<-told).SourceAddr.String()
			if remote := statusOf(server).Links[0].Remote; !strings.HasPrefix(remote, test.want) || source != remote {
				t.Errorf("the server sees %s, and the service %s, want %s", remote, source, test.want)
			}
		})
	}
}

// A balancer that says nothing does not stay for ever, nor keeps a server from ending.
func TestABalancerThatSaysNothingKeepsNobody(t *testing.T) {
	t.Parallel() // it takes some seconds
	for _, drain := range []bool{false, true} {
		e := pinnedEnds(t, config.TCP, testbed.Echo(t))
		e.server.Forwards[0].ProxyProtocol = &config.ProxyProtocol{From: []string{"127.0.0.1"}}
		var logged syncBuffer
		server := start(t, e.server, Options{Log: slog.New(slog.NewTextHandler(&logged, nil))})
		c := testbed.Dial(t, "tcp", addressOf(server, "server"))
		fmt.Fprint(c, "\r\n\r\n") // the beginning of a header
		testbed.Eventually(t, "it is waited for", func() bool { return goroutinesIn("forward.readHeader(") > 0 })
		want := os.ErrDeadlineExceeded
		if drain {
			server.Drain(ended)
			want = net.ErrClosed
		}
		if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
			t.Errorf("drain %v: got %v", drain, err)
		}
		if text := logged.String(); !strings.Contains(text, "a balancer's connection") || !strings.Contains(text, want.Error()) {
			t.Errorf("drain %v: no %q in\n%s", drain, want, text)
		}
	}
}
