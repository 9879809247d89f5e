package forward

import (
	"context"
	"log/slog"
	"net"
	"strings"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/quicmls"
)

// A quicServer accepts the connections of clients, each with many streams.
type quicServer struct {
	forward   *Forward
	socket    net.PacketConn
	transport *quic.Transport
	listener  *quic.Listener
	gate      *gate
}

func newQUICServer(f *Forward, address string) (_ side, err error) {
	s := &quicServer{forward: f, gate: newGate(f.maxHandshakes)}
	if name, ok := strings.CutPrefix(address, "systemd:"); ok {
		s.socket, err = f.options.Sockets.PacketConn(name)
	} else {
		s.socket, err = net.ListenPacket("udp", address)
	}
	if err != nil {
		return nil, err
	}
	tlsConfig, err := serverTLS()
	if err != nil {
		s.socket.Close()
		return nil, err
	}
	s.transport = &quic.Transport{Conn: s.socket}
	// Each link has the settings that are in force when it begins.
	settings := quicConfig(f.config.Load())
	settings.GetConfigForClient = func(*quic.ClientInfo) (*quic.Config, error) { return quicConfig(f.config.Load()), nil }
	if s.listener, err = s.transport.Listen(tlsConfig, settings); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *quicServer) addr() net.Addr                      { return s.socket.LocalAddr() }
func (s *quicServer) updated(before, now *config.Forward) { s.gate.changed() }

func (s *quicServer) close() {
	s.transport.Close()
	s.socket.Close()
}

// run implements side. Connections that there are go on when it returns.
func (s *quicServer) run() {
	f := s.forward
	defer s.listener.Close()
	for {
		shaken, err := s.gate.enter(f.accepting)
		if err != nil {
			return
		}
		q, err := s.listener.Accept(f.accepting)
		if err != nil {
			if f.accepting.Err() == nil {
				f.stats.SetProblem(err)
				f.log.Error("accept", "error", err)
			}
			return
		}
		if !f.enter() {
			shaken()
			q.CloseWithError(0, "no room")
			continue
		}
		f.open.Go(func() {
			defer f.leave()
			defer shaken()
			f.serveQUIC(q, shaken)
		})
	}
}

// serveQUIC serves a client until its connection ends.
func (f *Forward) serveQUIC(q *quic.Conn, shaken func()) {
	remote := q.RemoteAddr().String()
	link := f.stats.Begin(remote)
	log := f.log.With("link", link.ID(), "remote", remote)
	c := quicmls.Server(q, f.quicmlsConfig(f.config.Load(), link))
	defer c.CloseWithError(0, "")
	if err := c.HandshakeContext(f.living); err != nil {
		link.Failed()
		log.Warn("handshake", "error", err)
		return
	}
	shaken()
	f.establishedQUIC(link, c)
	defer link.End()
	log = log.With("peer", link.Peer())
	log.Info("link is up", "resumed", c.ConnectionState().Resumed)
	streams := &tally{done: finished(c)}
	defer context.AfterFunc(f.accepting, streams.close)()
	defer context.AfterFunc(f.living, func() { c.CloseWithError(0, "drained") })()
	for {
		stream, err := c.AcceptStream(c.Context())
		if err != nil {
			log.Info("link is down", "error", context.Cause(c.Context()))
			return
		}
		end := secureStream{stream}
		if !streams.enter() {
			end.abort()
			continue
		}
		if !f.enter() {
			streams.leave()
			end.abort()
			continue
		}
		f.open.Go(func() {
			defer f.leave()
			defer streams.leave()
			f.serveStream(end, endsOf(c), link, log)
		})
	}
}

// serveStream connects a stream to the service.
func (f *Forward) serveStream(end secureStream, e ends, link *links.Link, log *slog.Logger) {
	service, err := f.reachService(e, link, log)
	if err != nil {
		end.abort()
		return
	}
	defer link.Opened()()
	f.ended(log, pipe(f.living, service.(plain), end, link))
}

func (f *Forward) establishedQUIC(link *links.Link, c *quicmls.Conn) {
	s := c.ConnectionState()
	link.UpdateBy(c.Update)
	link.Established(s.SessionID, s.Suite.String(), s.Epoch, s.Resumed, s.Peer)
}
