package forward

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/netconn"
	"github.com/mendlink/mendlink/quicmls"
)

// netconnConfig returns the configuration of one connection under c, whose session tells link what it does.
func (f *Forward) netconnConfig(c *config.Forward, link *links.Link) *netconn.Config {
	return &netconn.Config{Identities: f.source, IdentitySpread: c.Identity.Spread, Validator: f.source.Validator(c.Forward), RefusedBy: f.refused, Store: f.store, Rekey: policy(c.Rekey), Trace: f.trace(link),
		PeerName: peerName(c), ServerName: serverName(c), KeyLogWriter: f.options.KeyLog}
}

func policy(r *config.Rekey) channel.UpdatePolicy {
	return channel.UpdatePolicy{Every: r.Every, Idle: r.Idle, Bytes: r.Bytes, Records: r.Records}
}

// refused says what becomes of a link whose peer is not accepted any more, as the configuration has it that is in force.
func (f *Forward) refused() channel.RefusalAction {
	if f.config.Load().Peers.Refused == config.Warn {
		return channel.RefusalWarn
	}
	return channel.RefusalClose
}

// serverName is the name by which a client calls the server: the host of its address, unless that is an IP address.
func serverName(c *config.Forward) string {
	host, _, err := net.SplitHostPort(c.Forward)
	if c.Role == config.Server || err != nil || net.ParseIP(strings.Trim(host, "[]")) != nil {
		return ""
	}
	return host
}

// serveTCP serves a connection that a client has made.
func (f *Forward) serveTCP(accepted net.Conn, shaken func()) {
	e, err := f.introduced(accepted)
	if err != nil {
		f.stats.Failed.Add(1)
		f.log.Warn("a balancer's connection", "balancer", accepted.RemoteAddr().String(), "error", err)
		accepted.Close()
		return
	}
	remote := e.source.String()
	link := f.stats.Begin(remote)
	log := f.log.With("link", link.ID(), "remote", remote)
	t := &transport{TCPConn: accepted.(*net.TCPConn), forward: f}
	c := netconn.Server(t, f.netconnConfig(f.config.Load(), link))
	end := secureTCP{c, t}
	defer c.Close()
	if err := c.HandshakeContext(f.living); err != nil {
		link.Failed()
		log.Warn("handshake", "error", err)
		return
	}
	shaken()
	f.established(link, c)
	defer link.End()
	log = log.With("peer", link.Peer())
	log.Debug("link is up", "resumed", c.ConnectionState().Resumed)
	service, err := f.reachService(e, link, log)
	if err != nil {
		end.abort()
		return
	}
	defer link.Opened()()
	f.ended(log, end.pipe(f.living, service, link))
}

// carryTCP carries a plain connection to the server, over a connection of its own.
func (f *Forward) carryTCP(p net.Conn) {
	defer p.Close()
	end, link, err := f.dialTCP()
	if err != nil {
		f.log.Error("the server cannot be reached", "error", err)
		reset(p)
		return
	}
	defer link.End() // last: once the link is gone, the next one can have its session
	defer end.Close()
	defer link.Opened()()
	log := f.log.With("link", link.ID(), "peer", link.Peer())
	log.Debug("link is up", "resumed", end.ConnectionState().Resumed)
	f.ended(log, end.pipe(f.living, p, link))
}

// dialTCP connects to the server, in as many attempts as there is time for. An end that does not accept the other is
// not asked again: that is not going to pass.
func (f *Forward) dialTCP() (secureTCP, *links.Link, error) {
	ctx, cancel := context.WithTimeout(f.living, f.config.Load().ConnectTimeout)
	defer cancel()
	var wait backoff
	for {
		c := f.config.Load()
		link := f.stats.Begin(c.Forward)
		end, err := f.dialOnce(ctx, c, link)
		f.stats.SetProblem(err)
		if err == nil {
			f.established(link, end.Conn)
			return end, link, nil
		}
		f.stats.DialsFailed.Add(1)
		if isRefusal(err) {
			f.seek()
			return secureTCP{}, nil, err
		}
		f.log.Debug("dialling the server", "error", err)
		if wait.sleep(ctx) != nil {
			f.seek()
			return secureTCP{}, nil, err
		}
	}
}

// seek has the server looked for until it can be reached, so that the problem is over when it is over, and not when the
// next connection comes: which may be sent elsewhere because of it. It is called by who serves a connection.
func (f *Forward) seek() {
	if !f.seeking.CompareAndSwap(false, true) {
		return
	}
	f.open.Go(func() {
		var wait backoff
		for f.stats.Problem() && wait.sleep(f.accepting) == nil {
			f.look()
		}
		f.seeking.Store(false)
		if f.stats.Problem() && f.accepting.Err() == nil { // another one, of a connection that found this under way
			f.seek()
		}
	})
}

// look reaches for the server once, and leaves it again.
func (f *Forward) look() {
	c := f.config.Load()
	ctx, cancel := context.WithTimeout(f.accepting, c.ConnectTimeout)
	defer cancel()
	end, err := f.dialOnce(ctx, c, f.stats.Begin(c.Forward))
	f.stats.SetProblem(err)
	if err != nil {
		f.stats.DialsFailed.Add(1)
		f.log.Debug("looking for the server", "error", err)
		return
	}
	f.log.Info("the server can be reached again")
	end.transport.regular.Store(true)
	end.Close()
}

// dialOnce connects and shakes hands. All of it goes by c: a reload may come at any moment, and with it another server.
func (f *Forward) dialOnce(ctx context.Context, c *config.Forward, link *links.Link) (secureTCP, error) {
	dialled, err := new(net.Dialer).DialContext(ctx, "tcp", c.Forward)
	if err != nil {
		return secureTCP{}, err
	}
	t := &transport{TCPConn: dialled.(*net.TCPConn), forward: f}
	conn := netconn.Client(t, f.netconnConfig(c, link))
	if err := conn.HandshakeContext(ctx); err != nil {
		link.Failed()
		conn.Close()
		return secureTCP{}, err
	}
	return secureTCP{conn, t}, nil
}

// isRefusal reports that an end does not accept the other, or that they do not speak the same.
func isRefusal(err error) bool {
	if _, ok := errors.AsType[*channel.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*netconn.AlertError](err); ok {
		return true
	}
	_, ok := errors.AsType[*quicmls.AlertError](err)
	return ok
}

func (f *Forward) established(link *links.Link, c *netconn.Conn) {
	s := c.ConnectionState()
	link.UpdateBy(c.Update)
	link.Established(s.SessionID, s.Suite.String(), s.Epoch, s.Resumed, s.Peer)
}

// secureTCP is a netconn.Conn, and the transport beneath, as an end of a pipe.
type secureTCP struct {
	*netconn.Conn
	transport *transport
}

// abort cuts the transport first: to close the Conn would be a regular end for the peer.
func (s secureTCP) abort() {
	reset(s.transport.TCPConn)
	s.Conn.Close()
}

// pipe carries data between p and s. After a regular end s is to be closed.
func (s secureTCP) pipe(ctx context.Context, p net.Conn, link *links.Link) error {
	err := pipe(ctx, p.(plain), s, link)
	s.transport.regular.Store(err == nil)
	return err
}

// notConnected reports that the other end is gone already, so that there is no direction left to close.
func notConnected(err error) bool { return errors.Is(err, syscall.ENOTCONN) }
