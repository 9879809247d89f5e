package channel

import "time"

// burst is how many seconds' worth of events may come at once.
const burst = 10

// rateLimit counts events against a rate, as a bucket of tokens. The zero
// value is full.
type rateLimit struct {
	used float64
	last time.Time
}

// allow reports whether one more event is within the rate, which is per second.
// A negative rate is no bound. A clock that goes back gives no tokens.
func (l *rateLimit) allow(now time.Time, rate int) bool {
	if rate < 0 {
		return true
	}
	if elapsed := now.Sub(l.last).Seconds(); elapsed > 0 {
		l.used = max(0, l.used-elapsed*float64(rate))
		l.last = now
	}
	if l.used+1 > float64(rate)*burst {
		return false
	}
	l.used++
	return true
}
