package parallel

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// atOnce runs a test with several processors, however many there are.
func atOnce(t *testing.T) {
	t.Helper()
	before := runtime.GOMAXPROCS(4)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func TestForCallsEachIndexOnce(t *testing.T) {
	atOnce(t)
	for _, n := range []int{0, 1, 2, 3, 5, 1000} {
		calls := make([]atomic.Int32, n)
		if err := For(n, func(i int) error { calls[i].Add(1); return nil }); err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			if got := calls[i].Load(); got != 1 {
				t.Errorf("n = %d: %d calls of index %d", n, got, i)
			}
		}
	}
}

func TestForRunsCallsAtTheSameTime(t *testing.T) {
	atOnce(t)
	meet := make(chan struct{})
	err := For(2*perWorker, func(i int) error {
		switch i {
		case 0:
			meet <- struct{}{} // would block for ever if index 1 came after
		case 1:
			<-meet
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestForReturnsTheErrorThatALoopWould(t *testing.T) {
	atOnce(t)
	for range 200 {
		fails := func(i int) error {
			if i%10 == 7 {
				return fmt.Errorf("%d", i)
			}
			return nil
		}
		if err := For(100, fails); err == nil || err.Error() != "7" {
			t.Fatalf("error %v, want that of index 7", err)
		}
	}
}

func TestForStopsAfterAFailure(t *testing.T) {
	atOnce(t)
	var calls atomic.Int32
	failure := errors.New("failure")
	if err := For(1_000_000, func(int) error { calls.Add(1); return failure }); err != failure {
		t.Errorf("error %v, want %v", err, failure)
	}
	if n := calls.Load(); n > 4 {
		t.Errorf("%d calls, want no more than there are goroutines", n)
	}
}

func TestForPassesAPanicOnToItsCaller(t *testing.T) {
	atOnce(t)
	defer func() {
		if got := recover(); got != "no" {
			t.Errorf("recovered %v, want the panic of a call", got)
		}
	}()
	_ = For(100, func(i int) error {
		if i == 50 {
			panic("no")
		}
		return nil
	})
	t.Error("For returned")
}

func TestForDoesNotWakeOthersForLittle(t *testing.T) {
	atOnce(t)
	calls := 0 // the race detector would see several goroutines here
	if err := For(2*perWorker-1, func(int) error { calls++; return nil }); err != nil || calls != 2*perWorker-1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}
