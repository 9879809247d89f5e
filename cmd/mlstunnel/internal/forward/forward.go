package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/systemd"
)

// Options are what a forward shares with others.
type Options struct {
	Registry *links.Registry
	Log      *slog.Logger
	Sockets  *systemd.Sockets
	// Store is where sessions are kept. Default: in memory, for each forward by itself.
	Store channel.Store
	// KeyLog is for tests, which look for what it gets in places where it must not be.
	KeyLog io.Writer
}

// A Forward carries connections one way through the tunnel: [Open] to [Forward.Drain].
type Forward struct {
	config  atomic.Pointer[config.Forward]
	options Options
	log     *slog.Logger
	source  *credentials.Source
	store   channel.Store
	stats   *links.Forward
	side    side

	accepting context.Context // ends when no more connections are taken in
	stop      context.CancelFunc
	living    context.Context // ends when those that there are have to end
	kill      context.CancelFunc
	loops     sync.WaitGroup // what takes connections in
	over      atomic.Bool    // that has ended
	open      sync.WaitGroup // connections, and what serves them
	room      atomic.Int64   // how many connections there are
	seeking   atomic.Bool    // the server is looked for
}

// A side is one of the four ways to take part: server or client, over TCP or QUIC.
type side interface {
	// run takes connections in until f.accepting ends. It has closed what it listens on when it returns.
	run()
	addr() net.Addr
	// updated says that another configuration is in force.
	updated(before, now *config.Forward)
	// close is called when no connection is left.
	close()
}

// Open listens, and takes connections in from then on.
func Open(c *config.Forward, o Options) (*Forward, error) {
	f := &Forward{options: o, log: o.Log.With("forward", c.Name), store: o.Store}
	if f.store == nil {
		f.store = channel.NewMemoryStore(0)
	}
	f.config.Store(c)
	f.accepting, f.stop = context.WithCancel(context.Background())
	f.living, f.kill = context.WithCancel(context.Background())
	var err error
	if f.source, err = credentials.Open(c, f.log); err != nil {
		return nil, f.wrap(err)
	}
	if f.side, err = f.newSide(c); err != nil {
		f.source.Close()
		return nil, f.wrap(err)
	}
	f.stats = o.Registry.Add(c.Name, c.Role, c.Transport, f.side.addr().String(), func() links.Self {
		return links.Self{Target: f.config.Load().Forward, Fingerprint: f.source.Fingerprint(), Expiry: f.source.Expiry(), Err: f.source.Err()}
	})
	f.log.Info("listening", "role", c.Role, "transport", c.Transport, "address", f.side.addr().String(), "to", c.Forward, "fingerprint", f.source.Fingerprint())
	f.loops.Go(func() {
		f.side.run()
		f.over.Store(true)
	})
	return f, nil
}

func (f *Forward) wrap(err error) error {
	return fmt.Errorf("forward %s: %w", f.config.Load().Name, err)
}

func (f *Forward) newSide(c *config.Forward) (side, error) {
	switch {
	case c.Role == config.Server && c.Transport == config.QUIC:
		return newQUICServer(f, c.Listen)
	case c.Role == config.Server:
		l, err := f.listen(c.Listen)
		if err != nil {
			return nil, err
		}
		if network := l.Addr().Network(); network != "tcp" {
			l.Close()
			return nil, fmt.Errorf("%s is a socket of the kind %s, want tcp", c.Listen, network)
		}
		return &acceptor{f, l, newGate(f.maxHandshakes), f.serveTCP}, nil
	}
	l, err := f.listen(c.Listen)
	if err != nil {
		return nil, err
	}
	if c.Transport == config.QUIC {
		return newQUICClient(f, l), nil
	}
	return &acceptor{f, l, nil, func(p net.Conn, _ func()) { f.carryTCP(p) }}, nil
}

// listen listens for streams.
func (f *Forward) listen(address string) (net.Listener, error) {
	return Listen(address, f.options.Sockets)
}

// Listen listens on host:port, unix:/path or systemd:name.
func Listen(address string, sockets *systemd.Sockets) (net.Listener, error) {
	switch scheme, rest, _ := strings.Cut(address, ":"); scheme {
	case "unix":
		return listenUnix(rest)
	case "systemd":
		return sockets.Listener(rest)
	}
	return net.Listen("tcp", address)
}

// dial connects to a plain service.
func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	return d.DialContext(ctx, "tcp", address)
}

// Addr returns where f listens.
func (f *Forward) Addr() net.Addr { return f.side.addr() }

// Config returns the configuration that is in force.
func (f *Forward) Config() *config.Forward { return f.config.Load() }

// Alive returns an error if f takes no connections in, and was not told to stop: only another process mends that.
func (f *Forward) Alive() error {
	if f.over.Load() && f.accepting.Err() == nil {
		return f.wrap(errors.New("takes no connections in any more"))
	}
	return nil
}

// Prepare gets f ready for another configuration with the same name, role, transport and addresses. Whatever can
// fail has happened when it returns; then one of the functions has to be called. Living connections go on with what
// is new about identity and peers, and new ones with all of it.
func (f *Forward) Prepare(c *config.Forward) (commit, discard func(), err error) {
	take, discard, err := f.source.Prepare(c)
	if err != nil {
		return nil, nil, f.wrap(err)
	}
	return func() {
		before := f.config.Swap(c)
		take()
		f.side.updated(before, c)
	}, discard, nil
}

// Stop takes no more connections in. It returns when nothing listens any more.
func (f *Forward) Stop() {
	f.stop()
	f.loops.Wait()
}

// Drain is Stop that waits for the connections that are left. When ctx ends they are cut.
func (f *Forward) Drain(ctx context.Context) {
	f.Stop()
	stop := context.AfterFunc(ctx, f.kill)
	f.open.Wait()
	stop()
	f.kill()
	f.side.close()
	f.options.Registry.Remove(f.stats)
	f.source.Close()
}

// An acceptor takes connections from a listener and has each served.
type acceptor struct {
	forward  *Forward
	listener net.Listener
	gate     *gate // nil where no handshake comes from outside
	// serve serves a connection until its end. It calls shaken once the handshake is over.
	serve func(c net.Conn, shaken func())
}

func (a *acceptor) addr() net.Addr { return a.listener.Addr() }
func (a *acceptor) close()         {}

func (a *acceptor) updated(before, now *config.Forward) {
	if a.gate != nil {
		a.gate.changed()
	}
}

// accept returns the next connection, and what makes room for another handshake.
func (a *acceptor) accept() (c net.Conn, shaken func(), err error) {
	shaken = func() {}
	if a.gate != nil {
		if shaken, err = a.gate.enter(a.forward.accepting); err != nil {
			return nil, nil, err
		}
	}
	if c, err = a.listener.Accept(); err != nil {
		shaken()
	}
	return c, shaken, err
}

func (f *Forward) maxHandshakes() int { return f.config.Load().MaxHandshakes }

// run implements side.
func (a *acceptor) run() {
	f := a.forward
	stop := context.AfterFunc(f.accepting, func() { a.listener.Close() })
	defer stop()
	defer a.listener.Close()
	var wait backoff
	for {
		c, shaken, err := a.accept()
		if f.accepting.Err() != nil {
			if err == nil {
				reset(c)
			}
			return
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			f.log.Error("accept", "error", err) // such as too many open files: it passes
			if wait.sleep(f.accepting) != nil {
				return
			}
			continue
		}
		wait.reset()
		if !f.enter() {
			shaken()
			reset(c)
			continue
		}
		f.open.Go(func() {
			defer f.leave()
			defer shaken()
			a.serve(c, shaken)
		})
	}
}

// enter makes room for a connection, if there is any.
func (f *Forward) enter() bool {
	for {
		n := f.room.Load()
		if n >= int64(f.config.Load().MaxConnections) {
			f.stats.TurnedAway.Add(1)
			f.log.Warn("connection turned away: there are as many as max_connections allows")
			return false
		}
		// To count first and look then would turn others away because of one that is turned away.
		if f.room.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (f *Forward) leave() { f.room.Add(-1) }

// ended logs how a forwarded connection has ended.
func (f *Forward) ended(log *slog.Logger, err error) {
	if err != nil {
		log.Warn("connection cut", "error", err)
		return
	}
	log.Debug("connection ended")
}

// reset closes a connection so that the other end does not take it for a regular end.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// peerName is the label of a client's sessions: forwards that share a store do not share sessions.
func peerName(c *config.Forward) string { return c.Name + " to " + c.Forward }
