package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// write writes what an estimate says, for people.
func (e *estimate) write(w io.Writer, f *fleet) error {
	fmt.Fprintf(w, "%s: what a server's end takes\n\n", e.Prices.Suite)
	if err := e.Prices.write(w); err != nil {
		return err
	}
	c := e.Counts
	fmt.Fprintf(w, "\n%s: %d links on %d servers of %g cores for %v, store %s\n\n", e.Prices.Suite, f.Links, f.Servers, f.Cores, f.Duration, f.Store)
	fmt.Fprintf(w, "links %.0f on average; %d arrivals, %d departures, %d cuts; %d handshakes, %d resumptions, %d refused, %d abandoned;\nupdates: %d by servers, %d by clients, of which %d for renewed credentials\n\n",
		e.Links.Mean, c.Arrivals, c.Departures, c.Cuts, c.Handshakes, c.Resumptions, c.Refused, c.Abandoned, c.OwnUpdates, c.PeerUpdates, c.Renewals)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tserver: mean\tp99\tpeak\tfleet: mean\tp99\tpeak\t")
	row := func(name, format string, unit float64, server, whole load) {
		fmt.Fprint(t, name, "\t")
		for _, v := range []float64{server.Mean, server.P99, server.Peak, whole.Mean, whole.P99, whole.Peak} {
			fmt.Fprintf(t, format+"\t", v/unit)
		}
		fmt.Fprintln(t)
	}
	const gibi, mega = 1 << 30, 1e6
	row("cores at work", "%.2f", 1, e.Server.CPU, e.Whole.CPU)
	row("cores asked for", "%.2f", 1, e.Server.Asked, e.Whole.Asked)
	row("store writes/s", "%.0f", 1, e.Server.Saves, e.Whole.Saves)
	row("control traffic, Mbit/s", "%.2f", mega/8, e.Server.Octets, e.Whole.Octets)
	row("heap in use, GiB", "%.2f", gibi, e.Server.Heap, e.Whole.Heap)
	row("stacks, GiB", "%.2f", gibi, e.Server.Stack, e.Whole.Stack)
	row("processes, GiB", "%.2f", gibi, e.Server.Process, e.Whole.Process)
	if err := t.Flush(); err != nil {
		return err
	}
	if n := float64(f.Links); n > 0 {
		const unit = 10000
		fmt.Fprintf(w, "\nper 10,000 links: %.3f cores, %.1f store writes/s, %.0f kbit/s, %.0f MiB of heap, %.0f MiB of stacks\n",
			e.Whole.CPU.Mean/n*unit, e.Whole.Saves.Mean/n*unit, e.Whole.Octets.Mean/n*unit*8/1000, e.Whole.Heap.Mean/n*unit/(1<<20), e.Whole.Stack.Mean/n*unit/(1<<20))
	}
	if len(e.Herds) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\n%s: a server restarts, %v away; its links come back, after up to %v at first and %v at last, to\n\n", e.Prices.Suite, f.Down, f.Backoff, f.Longest)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "cores\tback\tof\tabandoned attempts\tmedian, s\tp99, s\tlast, s\tcores asked for, peak\t")
	for _, h := range e.Herds {
		fmt.Fprintf(t, "%g\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t\n", h.Cores, h.Back, h.Size, h.Abandoned, h.Median, h.P99, h.Last, h.Asked)
	}
	return t.Flush()
}

// write writes a table of prices.
func (p *Prices) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tCPU us\tallocated kB\tsaves\toctets\t")
	for _, op := range []struct {
		name string
		Price
	}{
		{"handshake", p.Handshake}, {"resumption", p.Resumption}, {"refused resumption", p.Refused},
		{"update of its own", p.OwnUpdate}, {"update of the client", p.PeerUpdate},
		{"1 KiB in and 1 KiB out", p.Exchange}, {"seal 1 MiB", p.Seal}, {"open 1 MiB", p.Open},
	} {
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.0f\t%.0f\t\n", op.name, float64(seconds(op.CPU))/float64(time.Microsecond), op.Allocated/1000, op.Saves, op.Octets)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "idle end: %.2f KiB of heap, %.2f KiB of stack; session in a store: %.0f octets\n", p.IdleHeap/1024, p.IdleStack/1024, p.State)
	for _, name := range []string{inMemory, onDisk, notSynced} {
		if s, ok := p.Stores[name]; ok {
			fmt.Fprintf(w, "save in %s: %.1f us of CPU time, %.0f a second\n", name, float64(seconds(s.CPU))/float64(time.Microsecond), s.PerSecond)
		}
	}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
