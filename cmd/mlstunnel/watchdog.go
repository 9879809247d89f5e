package main

import (
	"context"
	"log/slog"
	"time"
)

// watch tells the service manager at intervals, until ctx ends, that the process is alive, as long as it is. If alive hangs
// nobody is told either, which is what a watchdog is for.
func watch(ctx context.Context, every time.Duration, alive, say func() error, log *slog.Logger) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		if err := alive(); err != nil {
			log.Error("the service manager is not told that all is well", "error", err)
		} else {
			tell(log, say)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}
