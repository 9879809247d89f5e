// Package parallel spreads independent work over the processors.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// perWorker is how many calls there have to be for each goroutine: to wake another
// processor costs about as much as a signature.
const perWorker = 4

// For calls f(0) to f(n-1), if there are many of them several at once, on as many
// goroutines as may run at once ([runtime.GOMAXPROCS]). All calls have returned when For returns. If some
// fail, the result is the error that a loop would have met first, and not all of
// those behind it are called. A panic in f is one of the caller's.
func For(n int, f func(i int) error) error {
	workers := min(n/perWorker, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	l := loop{f: f, end: n}
	var running sync.WaitGroup
	for range workers - 1 {
		running.Go(l.work)
	}
	l.work()
	running.Wait()
	if l.panicked {
		panic(l.cause)
	}
	return l.err
}

// A loop is handed out index by index, in order, so that all below one that fails
// have been handed out before.
type loop struct {
	f    func(i int) error
	next atomic.Int64

	mu       sync.Mutex
	end      int // the lowest index that failed, n if none did
	err      error
	panicked bool
	cause    any
}

// work calls f until there is nothing more to do.
func (l *loop) work() {
	defer func() {
		if cause := recover(); cause != nil {
			l.mu.Lock()
			l.panicked, l.cause, l.end = true, cause, 0
			l.mu.Unlock()
		}
	}()
	for {
		i := int(l.next.Add(1) - 1)
		if i >= l.limit() {
			return
		}
		if err := l.f(i); err != nil {
			l.fail(i, err)
		}
	}
}

func (l *loop) limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

func (l *loop) fail(i int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i < l.end {
		l.end, l.err = i, err
	}
}
