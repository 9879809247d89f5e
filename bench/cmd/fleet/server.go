package main

import "time"

// A server does what comes in order, on so many cores and with a store that saves so many sessions a second. Beside
// that it carries messages, which go first.
type server struct {
	cores float64
	pace  float64 // of the store; zero: no bound
	links int
	away  time.Duration // until when it is
	free  time.Duration // when it has done all that has come so far
	seen  time.Duration // up to when links are counted

	// Each has an element a second.
	asked  []float64 // CPU time of what came in it, done or not
	used   []float64 // CPU time of what was begun in it
	saves  []float64
	octets []float64
	lived  []float64 // links on average
}

func newServer(seconds int, cores, pace float64) *server {
	a := make([]float64, 5*seconds)
	part := func(i int) []float64 { return a[i*seconds : (i+1)*seconds] }
	return &server{cores: cores, pace: pace, asked: part(0), used: part(1), saves: part(2), octets: part(3), lived: part(4)}
}

// pass counts the links up to now.
func (s *server) pass(now time.Duration) {
	for s.seen < now {
		second := int(s.seen / time.Second)
		if second >= len(s.lived) {
			return
		}
		until := min(now, time.Duration(second+1)*time.Second)
		s.lived[second] += float64(s.links) * (until - s.seen).Seconds()
		s.seen = until
	}
}

func (s *server) join(now time.Duration) {
	s.pass(now)
	s.links++
}

func (s *server) leave(now time.Duration) {
	s.pass(now)
	s.links--
}

// begins returns when something that comes now is begun.
func (s *server) begins(now time.Duration) time.Duration { return max(now, s.free) }

// work does something that comes now, and returns when it is done. steady is how many cores messages take.
func (s *server) work(now time.Duration, p Price, steady float64) (done time.Duration) {
	const least = 0.05 // of the cores is left in any case
	begins := s.begins(now)
	cores := max(s.cores-steady, least*s.cores)
	takes := p.CPU / cores
	if s.pace > 0 {
		takes = max(takes, p.Saves/s.pace)
	}
	s.free = begins + seconds(takes)
	s.ask(now, p.CPU)
	if second := int(begins / time.Second); second < len(s.used) {
		s.used[second] += p.CPU
		s.saves[second] += p.Saves
		s.octets[second] += p.Octets
	}
	return s.free
}

// ask takes note of what somebody wants to be done now.
func (s *server) ask(now time.Duration, cpu float64) {
	if second := int(now / time.Second); second < len(s.asked) {
		s.asked[second] += cpu
	}
}
