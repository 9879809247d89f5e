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

func startProgress(ends *ends, initiator, responder *transfer) *progress {
	p := &progress{done: make(chan struct{})}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		start := time.Now()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		var lastDown, lastUp int64
		for {
			select {
			case <-p.done:
				return
			case <-tick.C:
			}
			down, up := initiator.receivedBytes.Load(), responder.receivedBytes.Load()
			log.Printf("%4.0fs  epoch %5d  initiator to responder %8.1f MiB (%6.1f MiB/s)  responder to initiator %8.1f MiB (%6.1f MiB/s)",
				time.Since(start).Seconds(), ends.stats.epoch.Load(), mib(up), mib(up-lastUp), mib(down), mib(down-lastDown))
			lastDown, lastUp = down, up
		}
	}()
	return p
}

// stop ends the printing. It may be called more than once.
func (p *progress) stop() {
	p.once.Do(func() { close(p.done) })
	p.wg.Wait()
}
