package main

import (
	"io"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// An entry says that an end of a connection makes an update.
type entry struct {
	at       time.Duration // since the connection began
	byServer bool
	reason   channel.UpdateReason
}

// A history is the updates of one connection that nothing interrupts.
type history []entry

// messages are those of a connection: at random, independent of each other, in either direction.
type messages struct {
	every time.Duration // on average; zero: none
	size  int           // octets
}

// follow returns what the policy makes of a connection: a Schedule at each end is told what happens, on a clock of
// its own.
func follow(policy channel.UpdatePolicy, m messages, length time.Duration, random *rand.Rand, jitter io.Reader) (h history, err error) {
	began := time.Unix(0, 0)
	var ends [2]*channel.Schedule
	for i, role := range []channel.Role{channel.RoleInitiator, channel.RoleResponder} {
		if ends[i], err = channel.NewSchedule(policy, role, began, jitter); err != nil {
			return nil, err
		}
	}
	gap := func(now time.Time) time.Time {
		if m.every <= 0 {
			return time.Time{}
		}
		return now.Add(time.Duration(random.ExpFloat64() * float64(m.every)))
	}
	// look makes the update that is due at an end.
	look := func(now time.Time, i int) error {
		reason := ends[i].Due(now)
		if reason == 0 {
			return nil
		}
		h = append(h, entry{now.Sub(began), i == 1, reason})
		if err := ends[i].Updated(now, true); err != nil {
			return err
		}
		return ends[1-i].Updated(now, false)
	}
	message := gap(began)
	for {
		now := earliest(message, ends[0].Next(), ends[1].Next())
		if now.IsZero() || now.Sub(began) >= length {
			return h, nil
		}
		if now.Equal(message) {
			sender := random.IntN(len(ends)) // counts it first
			for _, i := range []int{sender, 1 - sender} {
				if ends[i].Count(1, m.size) {
					if err := look(now, i); err != nil {
						return nil, err
					}
				}
			}
			message = gap(now)
			continue
		}
		for i := range ends {
			if err := look(now, i); err != nil {
				return nil, err
			}
		}
	}
}

// earliest returns the earliest of times that are not zero.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// histories are those of a sample of connections, from which all links of the fleet take theirs.
type histories struct {
	all    []history
	length time.Duration
	random *rand.Rand
	// by has where in the sample an end made an update that another one follows.
	by map[bool][]place
}

// A place is an entry of a history: what comes next.
type place struct {
	history int32
	next    int32
}

// sampled returns n histories.
func sampled(n int, policy channel.UpdatePolicy, m messages, length time.Duration, random *rand.Rand) (*histories, error) {
	hs := &histories{length: length, random: random, by: make(map[bool][]place)}
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(random.Uint32())
	}
	jitter := rand.NewChaCha8(seed)
	for i := range n {
		h, err := follow(policy, m, length, random, jitter)
		if err != nil {
			return nil, err
		}
		hs.all = append(hs.all, h)
		// The first quarter still shows that the connection is new, and what is left behind a place has to
		// say what comes next.
		for j, e := range h {
			if e.at > length/4 && e.at < length/2 && j+1 < len(h) {
				hs.by[e.byServer] = append(hs.by[e.byServer], place{int32(i), int32(j + 1)})
			}
		}
	}
	return hs, nil
}

// A course is how far a connection has come in a history.
type course struct {
	place
	origin time.Duration // when the history begins, on the fleet's clock
}

// fresh is the course of a connection that begins now.
func (hs *histories) fresh(now time.Duration) course {
	return course{place{history: int32(hs.random.IntN(len(hs.all)))}, now}
}

// ongoing is the course of a connection that has lived for long.
func (hs *histories) ongoing(now time.Duration) course {
	i := hs.random.IntN(len(hs.all))
	at := hs.length/4 + time.Duration(hs.random.Float64()*float64(hs.length/4))
	h := hs.all[i]
	next := sort.Search(len(h), func(j int) bool { return h[j].at >= at })
	return course{place{int32(i), int32(next)}, now - at}
}

// after is the course of a connection one of whose ends makes an update now, for a reason that is not in its
// history.
func (hs *histories) after(now time.Duration, byServer bool, c course) course {
	places := hs.by[byServer]
	if len(places) == 0 {
		return c
	}
	p := places[hs.random.IntN(len(places))]
	return course{p, now - hs.all[p.history][p.next-1].at}
}

// next returns the update that comes next, and when; false if there is none any more.
func (hs *histories) next(c course) (at time.Duration, byServer, ok bool) {
	h := hs.all[c.history]
	if int(c.next) >= len(h) {
		return 0, false, false
	}
	return c.origin + h[c.next].at, h[c.next].byServer, true
}

// step passes over the update that came next. What a history does not have any more goes on in another one.
func (hs *histories) step(now time.Duration, c course) course {
	e := hs.all[c.history][c.next]
	c.next++
	if int(c.next) >= len(hs.all[c.history]) {
		return hs.after(now, e.byServer, c)
	}
	return c
}
