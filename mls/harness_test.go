package mls

import (
	"errors"
	"testing"
)

// wantCheck fails the test unless err is an [*Error] for the rule check.
func wantCheck(t testing.TB, err error, check Check) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("error %v, want one for the rule %s", err, check)
		return
	}
	if e.Check != check {
		t.Errorf("rule %s was broken (%v), want %s", e.Check, err, check)
	}
	if e.Section == "" {
		t.Errorf("rule %s has no section", e.Check)
	}
}
