package mls

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// MessageRange names application messages of an epoch: those of one sender whose
// generations are First to Last, both included.
type MessageRange struct {
	Sender      LeafIndex
	First, Last uint32
}

func (m *MessageRange) encode(w *wire.Writer) {
	w.Uint32(uint32(m.Sender))
	w.Uint32(m.First)
	w.Uint32(m.Last)
}

func (m *MessageRange) decode(r *wire.Reader) {
	m.Sender = LeafIndex(r.Uint32())
	m.First = r.Uint32()
	m.Last = r.Uint32()
}

// verifyRanges checks that no range ends before it begins.
func verifyRanges(ranges []MessageRange) error {
	for _, m := range ranges {
		if m.Last < m.First {
			return fmt.Errorf("range of leaf %d is from generation %d to %d", m.Sender, m.First, m.Last)
		}
	}
	return nil
}

// messageSet is a set of messages: ranges in increasing order, with a gap between
// any two of one sender.
type messageSet []MessageRange

// newMessageSet returns the set of what is in ranges.
func newMessageSet(ranges []MessageRange) messageSet {
	var set messageSet
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b MessageRange) int {
		return cmp.Or(cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.First, b.First))
	})
	for _, m := range sorted {
		if n := len(set); n > 0 && set[n-1].Sender == m.Sender && uint64(m.First) <= uint64(set[n-1].Last)+1 {
			set[n-1].Last = max(set[n-1].Last, m.Last)
			continue
		}
		set = append(set, m)
	}
	return set
}

// with returns s with one more message. It may use s's memory.
func (s messageSet) with(sender LeafIndex, generation uint32) messageSet {
	at := s.behind(sender, generation) // the range before at, if of the sender, begins at generation or below
	if at > 0 && s[at-1].Sender == sender && generation <= s[at-1].Last {
		return s
	}
	joinsLeft := at > 0 && s[at-1].Sender == sender && s[at-1].Last+1 == generation
	joinsRight := at < len(s) && s[at].Sender == sender && generation+1 == s[at].First
	switch {
	case joinsLeft && joinsRight:
		s[at-1].Last = s[at].Last
		return slices.Delete(s, at, at+1)
	case joinsLeft:
		s[at-1].Last = generation
	case joinsRight:
		s[at].First = generation
	default:
		return slices.Insert(s, at, MessageRange{sender, generation, generation})
	}
	return s
}

// behind returns where the first range is that begins after a message.
func (s messageSet) behind(sender LeafIndex, generation uint32) int {
	at, _ := slices.BinarySearchFunc(s, sender, func(m MessageRange, sender LeafIndex) int {
		if m.Sender < sender || m.Sender == sender && m.First <= generation {
			return -1
		}
		return 1
	})
	return at
}

// keepNewest returns s with at most n ranges of a sender, of which the oldest go.
// It may use s's memory.
func (s messageSet) keepNewest(sender LeafIndex, n int) messageSet {
	end := s.behind(sender, 1<<32-1)
	begin := end
	for begin > 0 && s[begin-1].Sender == sender {
		begin--
	}
	if surplus := end - begin - n; surplus > 0 {
		return slices.Delete(s, begin, begin+surplus)
	}
	return s
}

// without returns what is in s and not in o.
func (s messageSet) without(o messageSet) messageSet {
	var rest messageSet
	for _, m := range s {
		first := uint64(m.First)
		for len(o) > 0 && (o[0].Sender < m.Sender || o[0].Sender == m.Sender && o[0].Last < m.First) {
			o = o[1:]
		}
		for _, taken := range o {
			if taken.Sender != m.Sender || taken.First > m.Last {
				break
			}
			if first < uint64(taken.First) {
				rest = append(rest, MessageRange{m.Sender, uint32(first), taken.First - 1})
			}
			first = uint64(taken.Last) + 1
		}
		if first <= uint64(m.Last) {
			rest = append(rest, MessageRange{m.Sender, uint32(first), m.Last})
		}
	}
	return rest
}

// of returns the part of s that sender has sent, and the rest.
func (s messageSet) of(sender LeafIndex) (own, others messageSet) {
	for _, m := range s {
		if m.Sender == sender {
			own = append(own, m)
		} else {
			others = append(others, m)
		}
	}
	return own, others
}
