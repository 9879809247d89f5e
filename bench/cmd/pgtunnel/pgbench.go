package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// A score is what a run of pgbench has done.
type score struct {
	transactions, failed int
	perSecond            float64
	aborted              bool // a client has lost its connection
}

var (
	transactionsLine = regexp.MustCompile(`number of transactions actually processed: (\d+)`)
	failedLine       = regexp.MustCompile(`number of failed transactions: (\d+)`)
	rateLine         = regexp.MustCompile(`tps = ([0-9.]+) \(without initial connection time\)`)
)

// pgbench runs it for a time. -n keeps it from clearing the table that says what was done.
func (d *database) pgbench(ctx context.Context, address string, clients int, time time.Duration, args ...string) (s score, err error) {
	all := append([]string{"-n", "-c", strconv.Itoa(clients), "-T", strconv.Itoa(max(1, int(time.Seconds()+0.5)))}, args...)
	out, err := d.commandTo(ctx, address, "pgbench", all...).CombinedOutput()
	const clientsAborted = 2 // exit status
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == clientsAborted {
		s.aborted, err = true, nil
	}
	if err != nil {
		return s, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	for _, figure := range []struct {
		line *regexp.Regexp
		to   *int
	}{{transactionsLine, &s.transactions}, {failedLine, &s.failed}} {
		if m := figure.line.FindSubmatch(out); m == nil {
			return s, fmt.Errorf("pgbench does not say %s: %s", figure.line, out)
		} else if *figure.to, err = strconv.Atoi(string(m[1])); err != nil {
			return s, err
		}
	}
	if m := rateLine.FindSubmatch(out); m != nil {
		s.perSecond, err = strconv.ParseFloat(string(m[1]), 64)
	} else if !s.aborted {
		err = fmt.Errorf("pgbench does not say how fast it was: %s", out)
	}
	return s, err
}
