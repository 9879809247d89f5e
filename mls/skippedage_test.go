package mls

import (
	"errors"
	"testing"
	"time"
)

// Messages may overtake each other, but not for ever: the key of one that stays
// behind is erased, also if the member was restarted in between.
func TestOvertakenMessagesCanBeReadForALimitedTime(t *testing.T) {
	for _, age := range []time.Duration{0, time.Minute, -1} {
		c := emptyCrowd(t, suite1)
		c.configure = func(cfg *Config) { cfg.MaxSkippedAge = age }
		c.found(GroupOptions{})
		c.add(0, 1)
		limit := age
		if age == 0 {
			limit = DefaultMaxSkippedAge
		}
		var messages [][]byte
		for range 4 {
			messages = append(messages, must(c.members[0].g.Protect([]byte("late"), nil)))
		}
		c.process(1, messages[3])
		if limit > 0 {
			c.now = c.now.Add(limit)
		} else {
			c.now = c.now.Add(10 * 365 * 24 * time.Hour)
		}
		c.process(1, messages[2])
		c.restart()
		c.process(1, messages[1])
		c.now = c.now.Add(2 * time.Second)
		_, err := c.members[1].g.Process(messages[0])
		if limit < 0 {
			if err != nil {
				t.Errorf("no limit: %v", err)
			}
			continue
		}
		if !errors.Is(err, ErrKeyConsumed) {
			t.Errorf("limit %v: error %v, want ErrConsumed", limit, err)
		}
		before := len(mustMarshal(t, c.members[1].g))
		c.members[1].g.EraseExpiredKeys()
		if after := len(mustMarshal(t, c.members[1].g)); after >= before {
			t.Errorf("limit %v: the state has %d octets after keys were erased, %d before", limit, after, before)
		}
	}
}
