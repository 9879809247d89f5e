package systemd

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Watchdog returns how often [Alive] is to be called: twice in the time after which the service manager takes
// the service to be stuck. It is zero if nobody waits for that. See sd_watchdog_enabled(3).
func Watchdog() (every time.Duration, err error) {
	text := os.Getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	microseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || microseconds < 2 || microseconds > int64(maxWatchdog/time.Microsecond) {
		return 0, fmt.Errorf("systemd: WATCHDOG_USEC is %q, want microseconds, at least 2", text)
	}
	return time.Duration(microseconds) * time.Microsecond / 2, nil
}

// maxWatchdog bounds what fits into a time.Duration, and more.
const maxWatchdog = 365 * 24 * time.Hour

// Alive says that the service is not stuck.
func Alive() error { return notify("WATCHDOG=1") }
