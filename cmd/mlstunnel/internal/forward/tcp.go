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
)

// netconnConfig returns the configuration of one connection, whose session tells link what it does.
func (f *Forward) netconnConfig(link *links.Link) *netconn.Config {
	c := f.config.Load()
	return &netconn.Config{Identities: f.source, Validator: f.source, Store: f.store, Rekey: policy(c.Rekey), Trace: link.Trace(),
		PeerName: c.Forward, ServerName: serverName(c), KeyLogWriter: f.options.KeyLog}
}

func policy(r *config.Rekey) channel.UpdatePolicy {
	return channel.UpdatePolicy{Every: r.Every, Idle: r.Idle, Bytes: r.Bytes, Records: r.Records}
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
func (f *Forward) serveTCP(transport net.Conn) {
	link := f.stats.Begin(transport.RemoteAddr().String())
	log := f.log.With("link", link.ID(), "remote", transport.RemoteAddr().String())
	c := netconn.Server(transport, f.netconnConfig(link))
	end := secureTCP{c}
	defer c.Close()
	if err := c.HandshakeContext(f.living); err != nil {
		link.Failed()
		log.Warn("handshake", "error", err)
		return
	}
	f.established(link, c)
	defer link.End()
	log = log.With("peer", link.Peer())
	log.Debug("link is up", "resumed", c.ConnectionState().Resumed)
	ctx, cancel := context.WithTimeout(f.living, f.config.Load().ConnectTimeout)
	defer cancel()
	service, err := dial(ctx, f.config.Load().Forward)
	if err != nil {
		f.stats.DialsFailed.Add(1)
		log.Error("the service cannot be reached", "error", err)
		end.abort()
		return
	}
	defer link.Opened()()
	f.ended(log, pipe(f.living, service.(plain), end, link))
}

// carryTCP carries a plain connection to the server, over a connection of its own.
func (f *Forward) carryTCP(p net.Conn) {
	defer p.Close()
	c, link, err := f.dialTCP()
	if err != nil {
		f.log.Error("the server cannot be reached", "error", err)
		reset(p)
		return
	}
	defer c.Close()
	defer link.End()
	defer link.Opened()()
	log := f.log.With("link", link.ID(), "peer", link.Peer())
	log.Debug("link is up", "resumed", c.ConnectionState().Resumed)
	f.ended(log, pipe(f.living, p.(plain), secureTCP{c}, link))
}

// dialTCP connects to the server, in as many attempts as there is time for. An end that does not accept the other is
// not asked again: that is not going to pass.
func (f *Forward) dialTCP() (*netconn.Conn, *links.Link, error) {
	c := f.config.Load()
	ctx, cancel := context.WithTimeout(f.living, c.ConnectTimeout)
	defer cancel()
	var wait backoff
	for {
		link := f.stats.Begin(c.Forward)
		dialer := &netconn.Dialer{Config: f.netconnConfig(link)}
		conn, err := dialer.DialContext(ctx, "tcp", c.Forward)
		if err == nil {
			f.stats.SetProblem(nil)
			f.established(link, conn.(*netconn.Conn))
			return conn.(*netconn.Conn), link, nil
		}
		f.stats.DialsFailed.Add(1)
		f.stats.SetProblem(err)
		if isRefusal(err) {
			link.Failed()
			return nil, nil, err
		}
		f.log.Debug("dialling the server", "error", err)
		if wait.sleep(ctx) != nil {
			return nil, nil, err
		}
	}
}

// isRefusal reports that an end does not accept the other, or that they do not speak the same.
func isRefusal(err error) bool {
	if _, ok := errors.AsType[*channel.Error](err); ok {
		return true
	}
	_, ok := errors.AsType[*netconn.AlertError](err)
	return ok
}

func (f *Forward) established(link *links.Link, c *netconn.Conn) {
	s := c.ConnectionState()
	link.Established(s.SessionID, s.Suite.String(), s.Epoch, s.Resumed, s.Peer)
}

// secureTCP is a netconn.Conn as an end of a pipe.
type secureTCP struct{ *netconn.Conn }

// abort cuts the transport first: to close the Conn would be a regular end for the peer.
func (s secureTCP) abort() {
	reset(s.NetConn())
	s.Conn.Close()
}

// notConnected reports that the other end is gone already, so that there is no direction left to close.
func notConnected(err error) bool { return errors.Is(err, syscall.ENOTCONN) }
