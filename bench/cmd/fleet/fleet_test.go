package main

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// examplePrices are round figures, each of which is told from the others by what it adds up to.
func examplePrices() *Prices {
	return &Prices{
		Handshake:  Price{CPU: 400e-6, Saves: 1, Octets: 1200},
		Resumption: Price{CPU: 700e-6, Saves: 2, Octets: 1300},
		Refused:    Price{CPU: 500e-6, Saves: 1, Octets: 1800},
		OwnUpdate:  Price{CPU: 300e-6, Saves: 2, Octets: 800},
		PeerUpdate: Price{CPU: 200e-6, Saves: 1, Octets: 800},
		Exchange:   Price{CPU: 10e-6},
		IdleHeap:   8000, IdleStack: 4000, State: 3000,
		Stores: map[string]StorePrice{inMemory: {CPU: 2e-6}, onDisk: {CPU: 22e-6}},
	}
}

// quiet is a fleet in which nothing happens by itself.
func quiet() fleet {
	return fleet{
		Links: 5000, Servers: 5, Cores: 1000, Duration: time.Hour, Seed: 7, Sample: 300, Restart: -1,
		Size: 1000, Backoff: time.Second, Longest: time.Minute, Patience: time.Hour, Store: inMemory,
		Policy: channel.UpdatePolicy{Every: -1, Bytes: -1, Records: -1},
	}
}

func simulate(t *testing.T, f fleet, links int) *simulation {
	t.Helper()
	s, err := newSimulation(&f, examplePrices(), links)
	if err != nil {
		t.Fatal(err)
	}
	s.run()
	return s
}

// near fails unless got is want, but for a fraction.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Abs(want)) {
		t.Errorf("%s is %v, want %v within %v %%", what, got, want, 100*tolerance)
	}
}

// Where nothing happens there is only memory, which is links times that of one.
func TestQuiet(t *testing.T) {
	f := quiet()
	for _, links := range []int{1000, 2000, 4000} {
		e := simulate(t, f, links).estimate()
		if e.Counts != (counts{}) || e.Whole.CPU.Peak != 0 || e.Whole.Saves.Peak != 0 {
			t.Errorf("%d links: %+v, %+v", links, e.Counts, e.Whole)
		}
		n := float64(links)
		near(t, "heap", e.Whole.Heap.Mean, n*(8000+3000), 1e-9) // sessions are in memory as well
		near(t, "stack", e.Whole.Stack.Peak, n*4000, 1e-9)
		near(t, "processes", e.Whole.Process.Mean, 2*n*15000, 1e-9)
		near(t, "heap of a server", e.Server.Heap.Mean, n/float64(f.Servers)*11000, 1e-9)
	}
}

// Each end makes an update every period, which is shortened by half of the jitter on average.
func TestRateByAge(t *testing.T) {
	for _, jitter := range []float64{-1, 0.1, 1} {
		f := quiet()
		f.Policy.Every, f.Policy.Jitter = 5*time.Minute, jitter
		c := simulate(t, f, f.Links).counts
		want := float64(f.Links) * f.Duration.Seconds() / (300 * (1 - max(0, jitter)/2))
		near(t, "rate of updates by servers", float64(c.OwnUpdates), want, 0.01)
		near(t, "rate of updates by clients", float64(c.PeerUpdates), want, 0.01)
	}
}

// In turns, there are half as many in all: one a period, by each end every other time.
func TestRateInTurns(t *testing.T) {
	f := quiet()
	f.Policy.Every, f.Policy.Jitter, f.Policy.Initiative = 5*time.Minute, 0.1, channel.InTurns
	c := simulate(t, f, f.Links).counts
	want := float64(f.Links) * f.Duration.Seconds() / (300 * 0.95)
	near(t, "rate of updates", float64(c.OwnUpdates+c.PeerUpdates), want, 0.02)
	near(t, "server's part", float64(c.OwnUpdates), want/2, 0.02)
}

// One end's initiative is the other's rest.
func TestRateByOneEnd(t *testing.T) {
	f := quiet()
	f.Policy.Every, f.Policy.Initiative = 5*time.Minute, channel.OnlyResponder
	c := simulate(t, f, f.Links).counts
	near(t, "rate of updates by servers", float64(c.OwnUpdates), float64(f.Links)*f.Duration.Seconds()/(300*0.95), 0.01)
	if c.PeerUpdates != 0 {
		t.Errorf("clients made %d", c.PeerUpdates)
	}
}

// So much data makes an update of one end, whichever it is.
func TestRateByBytes(t *testing.T) {
	f := quiet()
	f.Links, f.Message, f.Policy.Bytes = 2000, time.Second, 100_000
	c := simulate(t, f, f.Links).counts
	want := float64(f.Links) * f.Duration.Seconds() * float64(f.Size) / 100_000
	near(t, "rate of updates", float64(c.OwnUpdates+c.PeerUpdates), want, 0.02)
}

// After a rest each end makes one update: a rest is a gap between messages, all of which are long enough if they
// are twice Idle, and none if they are shorter than it.
func TestRateByIdle(t *testing.T) {
	f := quiet()
	f.Message, f.Policy.Idle = time.Minute, 30*time.Second
	c := simulate(t, f, f.Links).counts
	gaps := float64(f.Links) * f.Duration.Seconds() / 60
	got := float64(c.OwnUpdates+c.PeerUpdates) / 2
	if least, most := gaps*math.Exp(-1)*0.98, gaps*math.Exp(-0.5)*1.02; got < least || got > most {
		t.Errorf("%v rests, want %v to %v", got, least, most)
	}
}

// Little's law: the mean number of links is the rate of arrivals times the mean life, from whatever the fleet begins
// with.
func TestLinksByLittlesLaw(t *testing.T) {
	f := quiet()
	f.Life, f.Duration = 2*time.Minute, 40*time.Minute
	s := simulate(t, f, 0)
	var late, rest float64
	for _, srv := range s.servers {
		for i, v := range srv.lived {
			if i >= 20*60 {
				late += v / (20 * 60)
			} else if i < 60 {
				rest += v / 60
			}
		}
	}
	near(t, "links", late, float64(f.Links), 0.02)
	near(t, "arrivals", float64(s.counts.Arrivals), 20*float64(f.Links), 0.02)
	if s.counts.Handshakes != s.counts.Arrivals {
		t.Errorf("%d handshakes for %d arrivals", s.counts.Handshakes, s.counts.Arrivals)
	}
	// In the first minute of a life of two they are 1-(1-exp(-0.5))/0.5 of them, on average.
	near(t, "links in the first minute", rest, float64(f.Links)*(1-(1-math.Exp(-0.5))/0.5), 0.04)
}

// Cuts come to links that are up, and each is followed by an attempt.
func TestCuts(t *testing.T) {
	f := quiet()
	f.Cut, f.Refused = 10*time.Minute, 0.25
	c := simulate(t, f, f.Links).counts
	const away = 0.5 // seconds on average, until a client has come back
	want := float64(f.Links) * f.Duration.Seconds() / (600 + away)
	near(t, "cuts", float64(c.Cuts), want, 0.02)
	near(t, "resumptions", float64(c.Resumptions), 0.75*want, 0.02)
	near(t, "refused", float64(c.Refused), 0.25*want, 0.04)
}

// Renewals are one of each end in each period.
func TestRenewals(t *testing.T) {
	f := quiet()
	f.Renewal = 20 * time.Minute
	c := simulate(t, f, f.Links).counts
	want := 3 * float64(f.Links)
	near(t, "renewals of servers", float64(c.OwnUpdates), want, 1e-9)
	near(t, "renewals of clients", float64(c.PeerUpdates), want, 1e-9)
	if c.Renewals != c.OwnUpdates+c.PeerUpdates {
		t.Errorf("%d renewals", c.Renewals)
	}
}

// A server's renewal comes to all of its links at once, and its age to all of them in one period's jitter after that.
func TestRenewalOfServer(t *testing.T) {
	f := quiet()
	f.Servers, f.Renewal, f.Policy.Every, f.Policy.Jitter = 1, 2*time.Hour, 5*time.Minute, 0.1
	s, err := newSimulation(&f, examplePrices(), f.Links)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.events {
		if s.events[i].what == renews { // let it be after half an hour
			s.events[i].at = 30 * time.Minute
		}
	}
	slices.SortFunc(s.events, func(a, b event) int { return int(a.at - b.at) })
	s.run()
	asked := s.servers[0].asked
	if got, least := asked[30*60], float64(f.Links)*300e-6; got < least {
		t.Errorf("%v s of CPU time in the second of the renewal, want %v at least", got, least)
	}
	const updates = 500e-6 / (300 * 0.95) // CPU time of a link's updates, in a second
	sum := func(from, to int) (cpu float64) {
		for _, v := range asked[from:to] {
			cpu += v
		}
		return cpu
	}
	// Until the server's keys are old again, only those of clients are, once each.
	near(t, "CPU time until then", sum(30*60+1, 30*60+269), float64(f.Links)*200e-6, 0.1)
	near(t, "CPU time in the whole period", sum(30*60+1, 30*60+301), float64(f.Links)*(300e-6+300*200e-6/(300*0.95)), 0.1)
	near(t, "CPU time before", sum(0, 30*60), 30*60*float64(f.Links)*updates, 0.05)
}

// Spread over some time, a server's renewals come evenly, and none is lost.
func TestRenewalsSpread(t *testing.T) {
	f := quiet()
	f.Renewal, f.Spread = time.Hour, 10*time.Minute
	f.Duration = 2 * time.Hour
	s := simulate(t, f, f.Links)
	e := s.estimate()
	each := float64(f.Links/f.Servers) / f.Spread.Seconds() // a second, of a server
	if most := (3*each + 15) * 300e-6; e.Server.CPU.Peak > most {
		t.Errorf("%v cores at once, want %v at most", e.Server.CPU.Peak, most)
	}
	if n, most := s.counts.OwnUpdates, 2*f.Links; n > most || n < most*9/10 { // one may go on behind the end
		t.Errorf("%d renewals, want %d but for what is not over at the end", n, most)
	}
}

// What servers did adds up to what was counted.
func TestSums(t *testing.T) {
	f := quiet()
	f.Life, f.Cut, f.Renewal, f.Message, f.Refused = time.Hour, 5*time.Minute, 30*time.Minute, 10*time.Second, 0.1
	f.Policy.Every, f.Store = 2*time.Minute, onDisk
	s := simulate(t, f, f.Links)
	e, p, c := s.estimate(), examplePrices(), s.counts
	dearer := 20e-6 // than the store in memory, each save
	var cpu, saves, octets float64
	for _, k := range []struct {
		n int
		Price
	}{{c.Handshakes, p.Handshake}, {c.Resumptions, p.Resumption}, {c.Refused, p.Refused}, {c.OwnUpdates, p.OwnUpdate}, {c.PeerUpdates, p.PeerUpdate}} {
		if k.n == 0 {
			t.Errorf("something never happened: %+v", c)
		}
		cpu += float64(k.n) * (k.CPU + dearer*k.Saves)
		saves += float64(k.n) * k.Saves
		octets += float64(k.n) * k.Octets
	}
	cpu += e.Links.Mean * f.Duration.Seconds() / 10 * 5e-6 // messages
	seconds := f.Duration.Seconds()
	near(t, "CPU", e.Whole.CPU.Mean*seconds, cpu, 1e-6)
	near(t, "saves", e.Whole.Saves.Mean*seconds, saves, 1e-6)
	near(t, "octets", e.Whole.Octets.Mean*seconds, octets, 1e-6)
	near(t, "CPU of a server", e.Server.CPU.Mean*float64(f.Servers), e.Whole.CPU.Mean, 1e-6)
}

// A herd that comes at once is back when its work is done, on however many cores.
func TestHerdTakesItsWork(t *testing.T) {
	f := quiet()
	f.Links, f.Down, f.Backoff, f.Longest, f.Servers, f.Store = 20_000, 0, time.Nanosecond, time.Nanosecond, 2, onDisk
	for _, cores := range []float64{1, 2, 4} {
		c, err := comebackTo(&f, examplePrices(), cores)
		if err != nil {
			t.Fatal(err)
		}
		if c.Size != 10_000 || c.Back != c.Size || c.Abandoned != 0 {
			t.Errorf("%+v", c)
		}
		work := 10_000 * (700e-6 + 2*20e-6)
		near(t, "last", c.Last, work/cores, 0.01)
		near(t, "median", c.Median, work/cores/2, 0.01)
		near(t, "asked for", c.Asked, work, 0.01)
	}
}

// The store can be what a herd waits for.
func TestHerdWaitsForStore(t *testing.T) {
	f := quiet()
	f.Servers, f.Backoff, f.Longest, f.Store, f.Saves = 1, time.Nanosecond, time.Nanosecond, onDisk, 500
	c, err := comebackTo(&f, examplePrices(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "last", c.Last, 2*float64(f.Links)/500, 0.01)
	f.Saves = 0 // as measured
	p := examplePrices()
	p.Stores[onDisk] = StorePrice{PerSecond: 1000}
	if c, err = comebackTo(&f, p, 1000); err != nil {
		t.Fatal(err)
	}
	near(t, "last", c.Last, 2*float64(f.Links)/1000, 0.01)
}

// With cores enough, it is back when chance says so.
func TestHerdWaitsAtRandom(t *testing.T) {
	f := quiet()
	f.Servers, f.Backoff, f.Longest = 1, 10*time.Second, 10*time.Second
	c, err := comebackTo(&f, examplePrices(), 1e6)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "median", c.Median, 5, 0.05)
	near(t, "last", c.Last, 10, 0.01)
	near(t, "asked for", c.Asked, float64(f.Links)/10*500e-6, 0.15) // the store in memory has lost all sessions
}

// Who waits too long comes again, and all are back in the end.
func TestHerdLosesPatience(t *testing.T) {
	f := quiet()
	f.Servers, f.Patience, f.Store = 1, 100*time.Millisecond, onDisk
	f.Policy.Every = -1
	c, err := comebackTo(&f, examplePrices(), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	work := float64(f.Links) * (700e-6 + 2*20e-6)
	if c.Abandoned == 0 || c.Back != f.Links || c.Last < work/0.5 {
		t.Errorf("%+v, with %v s of work", c, work)
	}
}

// What a client has left is not begun, and what is begun and takes longer than it waits is in vain.
func TestPatience(t *testing.T) {
	f := quiet()
	f.Links, f.Servers, f.Store, f.Patience, f.Restart, f.Duration = 2000, 1, onDisk, 50*time.Millisecond, time.Second, 5*time.Minute
	for _, c := range []struct {
		cores    float64
		vain     bool
		has, max float64 // work, in terms of what all of them need
	}{
		{0.1, false, 1, 2.5},  // each takes 7.4 ms
		{0.01, true, 0.2, 10}, // 74 ms
	} {
		f.Cores = c.cores
		s := simulate(t, f, f.Links)
		used := 0.0
		for _, cpu := range s.servers[0].used {
			used += cpu
		}
		if back := len(s.herd.returned); (back == 0) != c.vain || s.counts.Abandoned == 0 {
			t.Errorf("on %v cores %d of %d are back, %d abandoned", c.cores, back, s.herd.size, s.counts.Abandoned)
		}
		if work := float64(f.Links) * (700e-6 + 2*20e-6); used < c.has*work || used > c.max*work {
			t.Errorf("on %v cores %v s of CPU time were used, want %v to %v times %v", c.cores, used, c.has, c.max, work)
		}
	}
}

// Messages go first: what they leave is for the herd.
func TestMessagesGoFirst(t *testing.T) {
	s := newServer(10, 2, 0)
	if done := s.work(time.Second, Price{CPU: 1}, 1.5); done != 3*time.Second {
		t.Errorf("a second's work on half a core is done after %v, want 3 s", done)
	}
	if done := s.work(2*time.Second, Price{CPU: 1}, 0); done != 3500*time.Millisecond {
		t.Errorf("what comes behind it, on two cores, is done after %v, want 3.5 s", done)
	}
	if s.asked[1] != 1 || s.asked[2] != 1 || s.used[1] != 1 || s.used[3] != 1 {
		t.Errorf("asked for %v, used %v", s.asked, s.used)
	}
}

// The same seed is the same fleet, and another one is not.
func TestSeed(t *testing.T) {
	f := quiet()
	f.Links, f.Life, f.Cut, f.Policy.Every, f.Restart = 500, time.Hour, 10*time.Minute, 5*time.Minute, 20*time.Minute
	first, again := simulate(t, f, f.Links).estimate(), simulate(t, f, f.Links).estimate()
	if !reflect.DeepEqual(first, again) {
		t.Errorf("%+v and %+v", first, again)
	}
	f.Seed++
	if other := simulate(t, f, f.Links).estimate(); reflect.DeepEqual(first.Counts, other.Counts) {
		t.Errorf("another seed gives %+v as well", other.Counts)
	}
}

// All of a server's links come back to it, in the middle of everything else.
func TestRestart(t *testing.T) {
	f := quiet()
	f.Life, f.Cut, f.Policy.Every, f.Restart, f.Down = time.Hour, 10*time.Minute, 5*time.Minute, 20*time.Minute, 5*time.Second
	s := simulate(t, f, f.Links)
	near(t, "herd", float64(s.herd.size), float64(f.Links/f.Servers), 0.1)
	if len(s.herd.returned) != s.herd.size {
		t.Errorf("%d of %d are back", len(s.herd.returned), s.herd.size)
	}
	if lived := s.servers[0].lived[20*60+1]; lived != 0 {
		t.Errorf("%v links while the server was away", lived)
	}
}

func TestHeap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h heap
	var last time.Duration
	for range 1000 {
		for range 10 {
			h.push(event{at: last + time.Duration(random.IntN(100))})
		}
		for range 9 {
			if e := h.pop(); e.at < last {
				t.Fatalf("%v comes after %v", e.at, last)
			} else {
				last = e.at
			}
		}
	}
	if len(h) != 1000 {
		t.Errorf("%d are left of 1000", len(h))
	}
}

func TestLoad(t *testing.T) {
	seconds := make([]float64, 200)
	for i := range seconds {
		seconds[len(seconds)-1-i] = float64(i + 1)
	}
	l := loadOf(seconds)
	near(t, "mean", l.Mean, 100.5, 1e-9)
	if l.P99 != 199 || l.Peak != 200 {
		t.Errorf("%+v", l)
	}
}
