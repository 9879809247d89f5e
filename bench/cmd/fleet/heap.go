package main

import "time"

// What an event is of.
const (
	happens uint8 = iota // something in a link's life
	arrives              // another link
	stops                // the server that restarts
	renews               // a server its credential
)

// An event is something that happens at a time.
type event struct {
	at   time.Duration
	id   int32 // of a link or a server
	what uint8
}

// A heap has the earliest event first.
type heap []event

func (h *heap) push(e event) {
	*h = append(*h, e)
	s := *h
	i := len(s) - 1
	for i > 0 {
		above := (i - 1) / 2
		if s[above].at <= e.at {
			break
		}
		s[i] = s[above]
		i = above
	}
	s[i] = e
}

func (h *heap) pop() event {
	s := *h
	first, last := s[0], s[len(s)-1]
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return first
	}
	i := 0
	for {
		below := 2*i + 1
		if below >= len(s) {
			break
		}
		if below+1 < len(s) && s[below+1].at < s[below].at {
			below++
		}
		if s[below].at >= last.at {
			break
		}
		s[i] = s[below]
		i = below
	}
	s[i] = last
	return first
}
