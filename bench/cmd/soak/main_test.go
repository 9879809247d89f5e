package main

import (
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out, options{updates: 40, conns: 20, lasting: 500 * time.Millisecond}); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if s := out.String(); !strings.Contains(s, "40 updates") || !strings.Contains(s, "20 links") {
		t.Error(s)
	}
}

func TestPatternFindsWhatIsWrong(t *testing.T) {
	var p pattern
	b := make([]byte, 1000)
	p.fill(b[:3])
	p.fill(b[3:])
	for i := range b {
		var q pattern
		b[i] ^= 1
		if q.check(b) == nil {
			t.Fatalf("octet %d is not looked at", i)
		}
		b[i] ^= 1
	}
	var q pattern
	if err := q.check(b); err != nil {
		t.Error(err)
	}
	if q.check(b) == nil {
		t.Error("what comes twice is not found")
	}
}
