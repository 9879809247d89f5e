// Package measure says what operations cost on a machine that does other things
// as well: in CPU time, in turns with what they are compared to, and as medians.
package measure

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// A Cost is what one execution of an operation takes, as the mean of several.
type Cost struct {
	CPU    time.Duration // of all threads of the process, garbage collection included
	Wall   time.Duration
	Bytes  float64 // allocated
	Allocs float64
}

// Cores returns how many cores were at work, on average.
func (c Cost) Cores() float64 { return float64(c.CPU) / float64(c.Wall) }

// A Subject is an operation that can be measured.
type Subject interface {
	// Measure executes the operation n times and returns the mean cost.
	Measure(n int) (Cost, error)
}

// An Op is an operation in this process. It readies n executions, with all that
// does not belong to them, and returns what executes them.
type Op func(n int) (run func() error, err error)

// Repeat returns the Op that executes f, which needs nothing readied.
func Repeat(f func() error) Op {
	return func(n int) (func() error, error) {
		return func() error {
			for range n {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}
}

// measured tells what is measured from what readies it, in profiles.
var measured = pprof.Labels("measured", "yes")

// Measure implements [Subject].
func (op Op) Measure(n int) (Cost, error) {
	run, err := op(n)
	if err != nil {
		return Cost{}, fmt.Errorf("preparing: %w", err)
	}
	// What was readied leaves garbage, which is not run's.
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	pprof.Do(context.Background(), measured, func(context.Context) { err = run() })
	wall := time.Since(start)
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	if err != nil {
		return Cost{}, err
	}
	return Cost{
		CPU:    cpu / time.Duration(n),
		Wall:   wall / time.Duration(n),
		Bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
	}, nil
}

// cpuTime returns the CPU time that all threads of the process have used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // who is always known
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
