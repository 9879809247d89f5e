package main

import (
	"math/rand/v2"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// A fleet is what is simulated: servers, each with its part of all links, whose clients dial.
type fleet struct {
	Links    int           `json:"links"` // on average
	Servers  int           `json:"servers"`
	Cores    float64       `json:"cores"` // of each server
	Duration time.Duration `json:"duration_ns"`
	Seed     uint64        `json:"seed"`
	Sample   int           `json:"sample"` // connections whose updates are taken from Schedules

	Life     time.Duration `json:"life_ns"`    // of a link, on average; zero: for ever
	Cut      time.Duration `json:"cut_ns"`     // time between two cuts of a link, on average; zero: never
	Refused  float64       `json:"refused"`    // fraction of resumptions that are
	Renewal  time.Duration `json:"renewal_ns"` // of each end's credential; zero: never
	Spread   time.Duration `json:"spread_ns"`  // over which a server renews all its links; zero: at once
	Message  time.Duration `json:"message_ns"` // time between two messages of a link, on average; zero: none
	Size     int           `json:"size"`       // octets of a message
	Restart  time.Duration `json:"restart_ns"` // when one server restarts; negative: never
	Down     time.Duration `json:"down_ns"`    // how long it is away then
	Backoff  time.Duration `json:"backoff_ns"` // the most that a client waits before its first attempt to come back
	Longest  time.Duration `json:"longest_ns"` // the most that it waits before any: each is twice the one before
	Patience time.Duration `json:"patience_ns"`

	Store  string               `json:"store"`
	Saves  float64              `json:"saves"` // a second, of a server's store; zero: as measured; negative: no bound
	Policy channel.UpdatePolicy `json:"policy"`
}

// The states of a link.
const (
	gone uint8 = iota // the place is free
	away              // it is cut, and the client is to come back
	up
)

// A linkState is one link in the simulation. Times are on the fleet's clock.
type linkState struct {
	course
	at      time.Duration // of the event that comes next; others in the heap are stale
	ends    time.Duration
	cut     time.Duration
	renewal time.Duration // of the client's credential
	shown   time.Duration // when the server shows its renewed one; never if there is none
	retry   time.Duration // while it is away
	server  int32
	state   uint8
	tries   uint8
	herded  bool // it was on the server that restarts and has not come back yet
	isNew   bool // it has no session yet
}

// A simulation is a fleet on its way.
type simulation struct {
	*fleet
	prices  *Prices
	random  *rand.Rand
	updates *histories
	links   []linkState
	free    []int32
	events  heap
	servers []*server
	counts  counts
	herd    herd
}

// counts are how often things happened.
type counts struct {
	Arrivals    int `json:"arrivals"`
	Departures  int `json:"departures"`
	Cuts        int `json:"cuts"`
	Handshakes  int `json:"handshakes"`
	Resumptions int `json:"resumptions"`
	Refused     int `json:"refused"`
	OwnUpdates  int `json:"own_updates"` // of servers
	PeerUpdates int `json:"peer_updates"`
	Renewals    int `json:"renewals"`  // of either end, each of which is an update as well
	Abandoned   int `json:"abandoned"` // attempts whose client lost patience
}

// A herd is the links that lost their server at once.
type herd struct {
	size     int
	upAgain  time.Duration   // when the server was
	returned []time.Duration // how long after that each link was, in order
}

const never = time.Duration(1<<63 - 1)

// newSimulation readies a fleet with so many links, which live already.
func newSimulation(f *fleet, p *Prices, links int) (*simulation, error) {
	s := &simulation{fleet: f, prices: p, random: rand.New(rand.NewPCG(f.Seed, 1))}
	const periods = 12
	length := max(2*time.Hour, periods*f.Policy.Every, periods*channel.DefaultUpdateEvery)
	var err error
	if s.updates, err = sampled(f.Sample, f.Policy, messages{f.Message, f.Size}, length, s.random); err != nil {
		return nil, err
	}
	seconds := int((f.Duration + time.Second - 1) / time.Second)
	pace := f.Saves
	if pace == 0 {
		pace = p.Stores[f.Store].PerSecond
	}
	for range f.Servers {
		s.servers = append(s.servers, newServer(seconds, f.Cores, max(0, pace)))
	}
	for i := range links {
		id := s.place()
		l := &s.links[id]
		*l = linkState{state: up, server: int32(i % f.Servers), ends: s.exponential(0, f.Life), cut: s.exponential(0, f.Cut), renewal: s.phase(f.Renewal), shown: never}
		l.course = s.updates.ongoing(0)
		s.servers[l.server].links++
		s.schedule(id)
	}
	s.events.push(event{at: s.nextArrival(0), what: arrives})
	if f.Restart >= 0 {
		s.events.push(event{at: f.Restart, what: stops})
	}
	if f.Renewal > 0 {
		for i := range s.servers {
			s.events.push(event{at: s.phase(f.Renewal), id: int32(i), what: renews})
		}
	}
	return s, nil
}

// exponential returns a time after now that has no memory.
func (s *simulation) exponential(now, mean time.Duration) time.Duration {
	if mean <= 0 {
		return never
	}
	return now + time.Duration(s.random.ExpFloat64()*float64(mean))
}

// phase returns where in a period something stands when the simulation begins.
func (s *simulation) phase(period time.Duration) time.Duration {
	if period <= 0 {
		return never
	}
	return time.Duration(s.random.Float64() * float64(period))
}

// nextArrival keeps the mean number of links, which is rate times life.
func (s *simulation) nextArrival(now time.Duration) time.Duration {
	if s.Life <= 0 || s.Links == 0 {
		return never
	}
	return s.exponential(now, s.Life/time.Duration(s.Links))
}

// place returns a free place for a link.
func (s *simulation) place() int32 {
	if n := len(s.free); n > 0 {
		id := s.free[n-1]
		s.free = s.free[:n-1]
		return id
	}
	s.links = append(s.links, linkState{})
	return int32(len(s.links) - 1)
}

// schedule puts a link's next event into the heap.
func (s *simulation) schedule(id int32) {
	l := &s.links[id]
	l.at = l.ends
	if l.state == away {
		l.at = min(l.at, l.retry)
	} else {
		l.at = min(l.at, l.cut, l.renewal, l.shown)
		if at, _, ok := s.updates.next(l.course); ok {
			l.at = min(l.at, at)
		}
	}
	if l.at < s.Duration {
		s.events.push(event{at: l.at, id: id, what: happens})
	}
}

// run lets the time pass.
func (s *simulation) run() { s.runUntil(func() bool { return false }) }

// runUntil lets it pass until something is reached.
func (s *simulation) runUntil(reached func() bool) {
	for len(s.events) > 0 && s.events[0].at < s.Duration && !reached() {
		e := s.events.pop()
		switch e.what {
		case arrives:
			s.arrive(e.at)
			s.events.push(event{at: s.nextArrival(e.at), what: arrives})
		case stops:
			s.stop(e.at)
		case renews:
			s.renewServer(e.at, e.id)
			s.events.push(event{at: e.at + s.Renewal, id: e.id, what: renews})
		case happens:
			if l := &s.links[e.id]; l.state != gone && l.at == e.at {
				s.happen(e.at, e.id, l)
			}
		}
	}
	for _, srv := range s.servers {
		srv.pass(s.Duration)
	}
}

// happen is what comes next in a link's life.
func (s *simulation) happen(now time.Duration, id int32, l *linkState) {
	srv := s.servers[l.server]
	switch {
	case now == l.ends:
		s.counts.Departures++
		if l.state == up {
			srv.leave(now)
		}
		if l.herded {
			s.herd.size-- // it will not come back
		}
		l.state = gone
		s.free = append(s.free, id)
		return
	case l.state == away && now == l.retry:
		s.attempt(now, l)
	case now == l.cut:
		s.counts.Cuts++
		srv.leave(now)
		s.retry(now, l)
	case now == l.shown:
		s.show(now, l)
	case now == l.renewal:
		s.counts.Renewals++
		s.counts.PeerUpdates++
		s.work(now, srv, s.prices.PeerUpdate)
		l.course = s.updates.after(now, false, l.course)
		l.renewal += s.Renewal
	default:
		if _, byServer, _ := s.updates.next(l.course); byServer {
			s.counts.OwnUpdates++
			s.work(now, srv, s.prices.OwnUpdate)
		} else {
			s.counts.PeerUpdates++
			s.work(now, srv, s.prices.PeerUpdate)
		}
		l.course = s.updates.step(now, l.course)
	}
	s.schedule(id)
}

// work has a server do something, and returns when it is done.
func (s *simulation) work(now time.Duration, srv *server, p Price) (done time.Duration) {
	return srv.work(now, s.prices.with(s.Store, p), s.steady(srv))
}

// steady is how many cores the messages of a server's links take.
func (s *simulation) steady(srv *server) float64 {
	if s.Message <= 0 {
		return 0
	}
	const half = 0.5 // an exchange is two messages
	return half * s.prices.Exchange.CPU * float64(srv.links) / s.Message.Seconds()
}

func (s *simulation) arrive(now time.Duration) {
	s.counts.Arrivals++
	id := s.place()
	l := &s.links[id]
	*l = linkState{
		state: away, isNew: true, retry: now, server: int32(s.random.IntN(s.Servers)),
		ends: s.exponential(now, s.Life), renewal: s.renewalOf(now), shown: never,
	}
	s.attempt(now, l)
	s.schedule(id)
}

// renewalOf is when a client that comes now renews its credential.
func (s *simulation) renewalOf(now time.Duration) time.Duration {
	if s.Renewal <= 0 {
		return never
	}
	return now + s.phase(s.Renewal)
}

// retry has a client wait before its next attempt: at random up to a bound that doubles.
func (s *simulation) retry(now time.Duration, l *linkState) {
	bound := s.Longest
	if b := s.Backoff << min(l.tries, 30); b>>min(l.tries, 30) == s.Backoff {
		bound = min(bound, b)
	}
	l.tries++
	l.state, l.retry = away, now+time.Duration(s.random.Float64()*float64(bound))+1
}

// attempt is a client's to connect, by resumption if it has a session.
func (s *simulation) attempt(now time.Duration, l *linkState) {
	srv := s.servers[l.server]
	if now < srv.away {
		s.retry(now, l)
		return
	}
	price, count := s.prices.Resumption, &s.counts.Resumptions
	switch {
	case l.isNew:
		price, count = s.prices.Handshake, &s.counts.Handshakes
	case l.herded && s.Store == inMemory || s.random.Float64() < s.Refused:
		price, count = s.prices.Refused, &s.counts.Refused
	}
	if srv.begins(now) > now+s.Patience { // the server finds nobody at the other end any more
		srv.ask(now, s.prices.with(s.Store, price).CPU)
		s.counts.Abandoned++
		s.retry(now+s.Patience, l)
		return
	}
	done := s.work(now, srv, price)
	if done > now+s.Patience {
		s.counts.Abandoned++
		s.retry(now+s.Patience, l)
		return
	}
	srv.join(now)
	now = done
	*count++
	l.state, l.tries, l.isNew = up, 0, false
	l.course, l.cut = s.updates.fresh(now), s.exponential(now, s.Cut)
	l.shown = never // it shows the one that it has
	if l.renewal < now {
		l.renewal = now // it was renewed meanwhile, and this is the first update
	}
	if l.herded {
		l.herded = false
		s.herd.returned = append(s.herd.returned, now-s.herd.upAgain)
	}
}

// stop takes the first server away, and all its links with it.
func (s *simulation) stop(now time.Duration) {
	const restarted = 0
	srv := s.servers[restarted]
	srv.pass(now)
	srv.away = now + s.Down
	srv.free = srv.away
	s.herd.upAgain = srv.away
	for id := range s.links {
		l := &s.links[id]
		if l.state != up || l.server != restarted {
			continue
		}
		srv.leave(now)
		l.herded = true
		s.herd.size++
		s.retry(now, l)
		s.schedule(int32(id))
	}
}

// renewServer gives a server another credential, which it shows on all its links.
func (s *simulation) renewServer(now time.Duration, server int32) {
	for id := range s.links {
		l := &s.links[id]
		if l.state != up || l.server != server {
			continue
		}
		if s.Spread > 0 {
			l.shown = now + s.phase(s.Spread)
		} else {
			s.show(now, l)
		}
		s.schedule(int32(id))
	}
}

// show has a server show its renewed credential on a link.
func (s *simulation) show(now time.Duration, l *linkState) {
	s.counts.Renewals++
	s.counts.OwnUpdates++
	s.work(now, s.servers[l.server], s.prices.OwnUpdate)
	l.course, l.shown = s.updates.after(now, true, l.course), never
}
