package netconn

import "testing"

func TestAContextEndsWithTheLifeWheneverItIsAskedFor(t *testing.T) {
	var l life
	early := l.context()
	if early.Err() != nil || l.context() != early {
		t.Fatalf("before the end: %v, or another context", early.Err())
	}
	calls := 0
	l.beforeEnd(func() { t.Error("what was replaced is called") })
	l.beforeEnd(func() { calls++ })
	l.end()
	if early.Err() == nil || l.context().Err() == nil || calls != 1 {
		t.Errorf("after the end: %v, %v, %d calls", early.Err(), l.context().Err(), calls)
	}
	if l.beforeEnd(func() { calls++ }); calls != 2 {
		t.Error("what comes too late is not called at once")
	}

	var unasked life
	unasked.end()
	if unasked.context().Err() == nil {
		t.Error("a context that is asked for after the end goes on")
	}
}
