package main

import (
	"log"
	"sync"
	"time"
)

// progress prints a line each second.
type progress struct {
	once sync.Once
	done chan struct{}
	wg   sync.WaitGroup
}

func startProgress(s *stats) *progress {
	p := &progress{done: make(chan struct{})}
	p.wg.Go(func() {
		start := time.Now()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var last int64
		for {
			select {
			case <-p.done:
				return
			case <-tick.C:
			}
			at := s.at.Load()
			log.Printf("%4.0fs  epoch %4d  %d of %d files  %8.1f of %.1f MiB (%.1f MiB/s)", time.Since(start).Seconds(), s.epoch.Load(),
				s.done.Load(), s.files, mib(at), mib(s.octets), mib(at-last))
			last = at
		}
	})
	return p
}

// stop ends the printing. It may be called more than once.
func (p *progress) stop() {
	p.once.Do(func() { close(p.done) })
	p.wg.Wait()
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
