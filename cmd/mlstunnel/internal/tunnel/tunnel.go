// Package tunnel is a running mlstunnel: its forwards and its admin listener, from start over reloads to the end.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/admin"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/forward"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/systemd"
	"github.com/mendlink/mendlink/store/bolt"
)

// Options are what is not in a configuration.
type Options struct {
	Log     *slog.Logger
	Sockets *systemd.Sockets // default: none
	KeyLog  io.Writer        // for tests: see forward.Options
}

// A Tunnel runs the forwards of a configuration. Its methods are safe for concurrent use.
type Tunnel struct {
	options  forward.Options
	registry *links.Registry
	admin    *admin.Server   // nil if there is none
	sessions *bolt.Store     // nil if they are kept in memory
	living   context.Context // ends when those that drain have to end
	kill     context.CancelFunc

	mu       sync.Mutex // guards what follows, and lets one reload go on at a time
	config   *config.File
	forwards map[key]*forward.Forward
	drains   sync.WaitGroup // of forwards that are no more in the configuration
	draining bool
}

// A key says which forward of a configuration goes on as one of another.
type key struct{ name, role, transport, listen string }

func keyOf(c *config.Forward) key { return key{c.Name, c.Role, c.Transport, c.Listen} }

// Start starts all forwards, or none.
func Start(c *config.File, o Options) (*Tunnel, error) {
	if o.Sockets == nil {
		o.Sockets = new(systemd.Sockets)
	}
	t := &Tunnel{registry: links.New(), config: c, forwards: make(map[key]*forward.Forward)}
	t.living, t.kill = context.WithCancel(context.Background())
	t.options = forward.Options{Registry: t.registry, Log: o.Log, Sockets: o.Sockets, KeyLog: o.KeyLog}
	if c.Sessions != nil {
		var err error
		if t.sessions, err = openSessions(c.Sessions, o.Log); err != nil {
			return nil, err
		}
		t.options.Store = t.sessions
	}
	if c.Admin != "off" {
		l, err := listenAdmin(c.Admin, o.Sockets)
		if err != nil {
			t.close()
			return nil, fmt.Errorf("admin: %w", err)
		}
		t.admin = admin.Serve(l, t.registry)
		o.Log.Info("status page, metrics and health", "address", t.admin.URL())
	}
	opened, err := t.open(c)
	if err != nil {
		t.close()
		return nil, err
	}
	t.forwards = opened
	return t, nil
}

// listenAdmin listens where nobody comes from other machines, which a socket of the service manager has to be as well.
func listenAdmin(address string, sockets *systemd.Sockets) (net.Listener, error) {
	l, err := forward.Listen(address, sockets)
	if err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("%s listens on %v, want a loopback address or a Unix socket, as everybody who reaches it reads it", address, a)
	}
	return l, nil
}

// close ends what forwards share, when there are none.
func (t *Tunnel) close() {
	t.kill()
	if t.admin != nil {
		t.admin.Close()
	}
	if t.sessions != nil {
		if err := t.sessions.Close(); err != nil {
			t.options.Log.Warn("closing the file of the sessions", "error", err)
		}
	}
}

// open opens the forwards that are not there yet, all or none.
func (t *Tunnel) open(c *config.File) (map[key]*forward.Forward, error) {
	opened := make(map[key]*forward.Forward)
	for i := range c.Forwards {
		k := keyOf(&c.Forwards[i])
		if t.forwards[k] != nil {
			continue
		}
		f, err := forward.Open(&c.Forwards[i], t.options)
		if err != nil {
			for _, f := range opened {
				f.Drain(ended)
			}
			return nil, err
		}
		opened[k] = f
	}
	return opened, nil
}

// ended is a context that has.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// ErrDraining means that a tunnel is about to end.
var ErrDraining = errors.New("tunnel: draining")

// Reload goes over to another configuration: all of it, or on an error nothing. A forward with the same name, role,
// transport and listening address goes on, with its connections. One that is gone drains. Admin, sessions and
// the format of the log cannot change.
func (t *Tunnel) Reload(c *config.File) (err error) {
	defer func() { t.registry.Reloaded(err) }()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		return ErrDraining
	}
	if c.Admin != t.config.Admin {
		return fmt.Errorf("tunnel: admin changes with a restart alone: it is %s", t.config.Admin)
	}
	if c.Log.Format != t.config.Log.Format {
		return fmt.Errorf("tunnel: log.format changes with a restart alone: it is %s", t.config.Log.Format)
	}
	if was, is := t.config.Sessions, c.Sessions; (was == nil) != (is == nil) || was != nil && *was != *is {
		return errors.New("tunnel: sessions change with a restart alone")
	}
	var commits, discards []func()
	undo := func(err error) error {
		for _, discard := range discards {
			discard()
		}
		return err
	}
	kept := make(map[key]bool)
	for i := range c.Forwards {
		k := keyOf(&c.Forwards[i])
		if f := t.forwards[k]; f != nil {
			commit, discard, err := f.Prepare(&c.Forwards[i])
			if err != nil {
				return undo(err)
			}
			kept[k] = true
			commits, discards = append(commits, commit), append(discards, discard)
		}
	}
	opened, err := t.open(c)
	if err != nil {
		return undo(err)
	}
	for _, commit := range commits {
		commit()
	}
	for k, f := range t.forwards {
		if !kept[k] {
			delete(t.forwards, k)
			f.Stop() // the next reload finds what it listened on free
			t.drains.Go(func() { t.drain(f, c.Drain) })
		}
	}
	for k, f := range opened {
		t.forwards[k] = f
	}
	t.config = c
	return nil
}

// NotReloaded notes that there is no configuration to go over to.
func (t *Tunnel) NotReloaded(err error) { t.registry.Reloaded(err) }

// drain lets a forward end that is no more in the configuration.
func (t *Tunnel) drain(f *forward.Forward, within time.Duration) {
	ctx, cancel := context.WithTimeout(t.living, within)
	defer cancel()
	f.Drain(ctx)
}

// Drain takes no more connections in, and returns when there are none left, or at the end of ctx with those that
// were left cut: also those of forwards that drain since a reload.
func (t *Tunnel) Drain(ctx context.Context) {
	defer context.AfterFunc(ctx, t.kill)()
	t.mu.Lock()
	t.draining = true
	var all sync.WaitGroup
	for _, f := range t.forwards {
		all.Go(func() { f.Drain(ctx) })
	}
	t.mu.Unlock()
	all.Wait()
	t.drains.Wait()
	t.close()
}

// Alive returns an error if a forward has ceased to take connections in, and not at all if something is stuck. A server or
// service that is away is no reason: to start again would not help. Nor is draining.
func (t *Tunnel) Alive() error {
	t.registry.Snapshot() // takes the locks that links take
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []error
	for _, f := range t.forwards {
		all = append(all, f.Alive())
	}
	return errors.Join(all...)
}

// Forward returns the forward of that name, nil if there is none.
func (t *Tunnel) Forward(name string) *forward.Forward {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, f := range t.forwards {
		if k.name == name {
			return f
		}
	}
	return nil
}

// Status returns what is going on.
func (t *Tunnel) Status() links.Status { return t.registry.Snapshot() }

// Admin returns the address of the status page, empty if there is none.
func (t *Tunnel) Admin() string {
	if t.admin == nil {
		return ""
	}
	return t.admin.URL()
}
