package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/systemd"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/tunnel"
)

func serverCommand() *cobra.Command {
	return roleCommand(config.Server, "Listen with Mendlink, forward to a plain service",
		"  mlstunnel server --listen :7000 --forward 127.0.0.1:5432 --key server.key --peer SHA256:...\n  mlstunnel server --config mlstunnel.yaml")
}

func clientCommand() *cobra.Command {
	return roleCommand(config.Client, "Listen plainly, forward to a server of mlstunnel",
		"  mlstunnel client --listen 127.0.0.1:5432 --forward db.example:7000 --key client.key --peer SHA256:...\n  mlstunnel client --config mlstunnel.yaml")
}

// roleCommand runs one forward from flags, or those of a file that have the role.
func roleCommand(role, short, example string) *cobra.Command {
	f := newFlags(role)
	c := &cobra.Command{
		Use: role, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load, err := f.loader(cmd.Flags())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), load, cmd.ErrOrStderr())
		},
	}
	f.add(c.Flags())
	return c
}

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "run", Short: "Run all forwards of a configuration file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), func() (*config.File, error) { return config.Load(path) }, cmd.ErrOrStderr())
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "mlstunnel.yaml", "configuration `file`")
	return c
}

// only leaves the forwards of a role.
func only(role string, c *config.File) (*config.File, error) {
	c.Forwards = slices.DeleteFunc(c.Forwards, func(f config.Forward) bool { return f.Role != role })
	if len(c.Forwards) == 0 {
		return nil, fmt.Errorf("the configuration has no forward with the role %s", role)
	}
	return c, nil
}

// logger returns a log, and the level of what is in it.
func logger(c config.Log, to io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	setLevel(level, c)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(to, options)), level
	}
	return slog.New(slog.NewTextHandler(to, options)), level
}

func setLevel(level *slog.LevelVar, c config.Log) {
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic(err) // it was checked
	}
}

// serve runs what load returns until a signal, or ctx, ends it. SIGHUP has it loaded again; SIGTERM and an interrupt
// let connections end, and a second one cuts them.
func serve(ctx context.Context, load func() (*config.File, error), logs io.Writer) error {
	// Apart, so that an end has room however many reloads wait: of these one stands for all.
	hangups, ends := make(chan os.Signal, 1), make(chan os.Signal, 2)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	signal.Notify(ends, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(ends)
	c, err := load()
	if err != nil {
		return err
	}
	log, level := logger(c.Log, logs)
	sockets, err := systemd.Take()
	if err != nil {
		return err
	}
	every, err := systemd.Watchdog()
	if err != nil {
		return err
	}
	t, err := tunnel.Start(c, tunnel.Options{Log: log, Sockets: sockets})
	if err != nil {
		return err
	}
	tell(log, systemd.Ready)
	if every > 0 {
		watched, stop := context.WithCancel(context.Background())
		var watching sync.WaitGroup
		watching.Go(func() { watch(watched, every, t.Alive, systemd.Alive, log) })
		defer watching.Wait()
		defer stop()
	}
	for {
		select {
		case <-hangups:
			c = reload(t, c, load, log)
			setLevel(level, c.Log)
			continue
		case <-ends:
		case <-ctx.Done():
		}
		tell(log, systemd.Stopping)
		return drain(t, c.Drain, ends, log)
	}
}

// reload goes over to what load returns, or stays with c.
func reload(t *tunnel.Tunnel, c *config.File, load func() (*config.File, error), log *slog.Logger) *config.File {
	tell(log, systemd.Reloading)
	defer tell(log, systemd.Ready)
	next, err := load()
	if err == nil {
		err = t.Reload(next)
	} else {
		t.NotReloaded(err)
	}
	if err != nil {
		log.Error("reload: all stays as it was", "error", err)
		return c
	}
	log.Info("reloaded")
	return next
}

var (
	errCut    = errors.New("connections were cut, as the time to drain was over")
	errCutNow = errors.New("connections were cut, as a second signal came")
)

// drain lets connections end within a time, or until another signal to end.
func drain(t *tunnel.Tunnel, within time.Duration, ends <-chan os.Signal, log *slog.Logger) error {
	log.Info("draining", "within", within)
	cuttable, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	ctx, cancel := context.WithTimeoutCause(cuttable, within, errCut)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		t.Drain(ctx)
	}()
	for {
		select {
		case <-drained:
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			log.Info("drained")
			return nil
		case <-ends:
			cut(errCutNow)
		}
	}
}

// tell tells the service manager, which the service can do without.
func tell(log *slog.Logger, what func() error) {
	if err := what(); err != nil {
		log.Warn("telling the service manager", "error", err)
	}
}

func checkConfigCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "check-config", Short: "Say what is wrong with a configuration file, and with the files that it names", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(path)
			if err != nil {
				return err
			}
			if err := tunnel.Check(c); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d forwards, all is well\n", path, len(c.Forwards))
			return nil
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "mlstunnel.yaml", "configuration `file`")
	return c
}
