package netsim

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// A StreamFault does something to the octets of one direction of a [Stream]. It is used by one
// goroutine.
type StreamFault interface {
	// octets is given the next ones, which are its own until it returns.
	octets(p []byte, w way) error
	// rest gives out what it keeps without need, as nothing follows for now, or ever if ended.
	rest(w way, ended bool) error
}

// A way leads on from a fault.
type way struct {
	pass func(p []byte) error
	done <-chan struct{} // closed when the network is
}

var (
	errCut        = errors.New("netsim: cut")
	errHalfClosed = errors.New("netsim: half-closed")
	errReset      = errors.New("netsim: reset")
)

// Forever is as long as the network lives, for [StallAt].
const Forever = time.Duration(math.MaxInt64)

// wait returns early, with an error, if the network is closed.
func (w way) wait(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.done:
		return errCut
	}
}

// keepsNothing is what most faults keep.
type keepsNothing struct{}

func (keepsNothing) rest(way, bool) error { return nil }

// Split cuts the stream into pieces of n octets at most.
func Split(n int) StreamFault { return &split{n: n} }

type split struct {
	keepsNothing
	n int
}

func (f *split) octets(p []byte, w way) error {
	for len(p) > 0 {
		k := min(f.n, len(p))
		if err := w.pass(p[:k]); err != nil {
			return err
		}
		p = p[k:]
	}
	return nil
}

// Rechunk cuts the stream elsewhere than it was, into pieces of 1 to most octets, as long as
// there are as many. Small and large ones are equally likely, by their number of binary digits.
func Rechunk(random *rand.Rand, most int) StreamFault {
	f := &rechunk{random: random, most: most}
	f.choose()
	return f
}

type rechunk struct {
	random *rand.Rand
	most   int
	size   int // of the next piece
	kept   []byte
}

func (f *rechunk) choose() {
	digits := 1 + int(math.Log2(float64(f.most)))
	f.size = 1 + f.random.IntN(min(f.most, 1<<f.random.IntN(digits+1)))
}

func (f *rechunk) octets(p []byte, w way) error {
	f.kept = append(f.kept, p...)
	for len(f.kept) >= f.size {
		piece := f.kept[:f.size]
		f.kept = f.kept[f.size:]
		f.choose()
		if err := w.pass(piece); err != nil {
			return err
		}
	}
	return nil
}

func (f *rechunk) rest(w way, _ bool) error {
	piece := f.kept
	f.kept = nil
	return w.pass(piece)
}

// DelayOctets holds each piece up for so long. What comes meanwhile goes on in one piece.
func DelayOctets(d time.Duration) StreamFault { return &delay{d: d} }

type delay struct {
	keepsNothing
	d time.Duration
}

func (f *delay) octets(p []byte, w way) error {
	if err := w.wait(f.d); err != nil {
		return err
	}
	return w.pass(p)
}

// StallAt lets the octet of that offset, and all behind it, wait for so long, once.
func StallAt(offset int64, d time.Duration) StreamFault { return &stall{d: d, at: at{offset: offset}} }

type stall struct {
	keepsNothing
	at
	d time.Duration
}

func (f *stall) octets(p []byte, w way) error {
	before, behind, here := f.meet(p)
	if err := w.pass(before); err != nil {
		return err
	}
	if here {
		if err := w.wait(f.d); err != nil {
			return err
		}
	}
	return w.pass(behind)
}

// FlipAt changes those bits of the octet at that offset that mask has.
func FlipAt(offset int64, mask byte) StreamFault { return &flip{at: at{offset: offset}, mask: mask} }

type flip struct {
	keepsNothing
	at
	mask byte
}

func (f *flip) octets(p []byte, w way) error {
	if _, behind, here := f.meet(p); here {
		behind[0] ^= f.mask
	}
	return w.pass(p)
}

// A Cut is a way for a network to end.
type Cut int

// The ways.
const (
	CutClosed     Cut = iota // both connections are closed
	CutReset                 // both are reset, where they can be: what the ends have not read yet is lost as well
	CutHalfClosed            // the direction ends as if its sender had ended it, and the other one goes on
)

func (c Cut) String() string {
	return [...]string{"closed", "reset", "half-closed"}[c]
}

// CutAt ends the network, or the direction, before the octet at that offset.
func CutAt(offset int64, how Cut) StreamFault { return &cut{at: at{offset: offset}, how: how} }

type cut struct {
	keepsNothing
	at
	how Cut
}

func (f *cut) octets(p []byte, w way) error {
	before, _, here := f.meet(p)
	if err := w.pass(before); err != nil || !here {
		return err
	}
	return [...]error{errCut, errReset, errHalfClosed}[f.how]
}

// An at is a place in a stream.
type at struct {
	offset int64 // of it, from the next octet on
	past   bool
}

// meet cuts p in two at the place. here says that the second part begins there; else
// it is empty.
func (a *at) meet(p []byte) (before, behind []byte, here bool) {
	if n := int64(len(p)); a.past || a.offset >= n {
		a.offset -= n
		return p, nil, false
	}
	a.past = true
	return p[:a.offset], p[a.offset:], true
}

// DropOctets loses the n octets from an offset on.
func DropOctets(from int64, n int) StreamFault {
	return &ranged{from: from, n: n, turn: func([]byte) []byte { return nil }}
}

// DuplicateOctets lets the n octets from an offset on come twice.
func DuplicateOctets(from int64, n int) StreamFault {
	return &ranged{from: from, n: n, turn: func(p []byte) []byte { return append(p, p...) }}
}

// SwapOctets lets the n octets from an offset on change places with the n behind them.
func SwapOctets(from int64, n int) StreamFault {
	return &ranged{from: from, n: 2 * n, turn: func(p []byte) []byte { return append(p[n:2*n:2*n], p[:n]...) }}
}

// ranged puts something else in place of a range. A stream that ends within ends
// as it is.
type ranged struct {
	from int64 // from the next octet on
	n    int   // of the range, that have not come yet
	kept []byte
	turn func([]byte) []byte
}

func (f *ranged) octets(p []byte, w way) error {
	before := int(min(f.from, int64(len(p))))
	within := min(f.n, len(p)-before)
	f.from -= int64(before)
	f.n -= within
	if err := w.pass(p[:before]); err != nil {
		return err
	}
	f.kept = append(f.kept, p[before:before+within]...)
	if f.n > 0 || f.kept == nil {
		return w.pass(p[before+within:])
	}
	turned := f.turn(f.kept)
	f.kept = nil
	if err := w.pass(turned); err != nil {
		return err
	}
	return w.pass(p[before+within:])
}

func (f *ranged) rest(w way, ended bool) error {
	if !ended {
		return nil
	}
	return w.pass(f.kept)
}
