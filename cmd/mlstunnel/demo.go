package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/demo"
)

func demoCommand() *cobra.Command {
	var o demo.Options
	var level string
	c := &cobra.Command{
		Use: "demo", Short: "Both ends and an echo service on this machine, and what to try", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if err := new(slog.Level).UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("--log-level: wants debug, info, warn or error, got %q", level)
			}
			o.Log, _ = logger(config.Log{Level: level, Format: "text"}, cmd.ErrOrStderr())
			return demo.Run(ctx, o, cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.Transport, "transport", config.TCP, "tcp or quic")
	c.Flags().DurationVar(&o.RekeyEvery, "rekey-every", 2*time.Second, "age at which keys are replaced")
	c.Flags().StringVar(&o.Admin, "admin", "127.0.0.1:0", "`address` of the status page")
	c.Flags().DurationVar(&o.Duration, "duration", 0, "end by itself after so long; 0 for never")
	c.Flags().StringVar(&level, "log-level", "warn", "debug, info, warn or error")
	return c
}
