package systemd

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestWatchdogIsForThisProcessAndHalfTheTime(t *testing.T) {
	self, other := fmt.Sprint(os.Getpid()), fmt.Sprint(os.Getpid()+1)
	for _, test := range []struct {
		microseconds, pid string
		want              time.Duration
		wrong             bool
	}{
		{"", "", 0, false},
		{"", self, 0, false},
		{"30000000", "", 15 * time.Second, false},
		{"30000000", self, 15 * time.Second, false},
		{"30000000", other, 0, false},
		{"0", self, 0, true},
		{"1", self, 0, true},
		{"-5", self, 0, true},
		{"30s", self, 0, true},
		{"9223372036854775807", self, 0, true},
		{"99999999999999999999", self, 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", test.microseconds)
		t.Setenv("WATCHDOG_PID", test.pid)
		if every, err := Watchdog(); every != test.want || (err != nil) != test.wrong {
			t.Errorf("%q for %q: got %v, %v, want %v", test.microseconds, test.pid, every, err, test.want)
		}
	}
}
