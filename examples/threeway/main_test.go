package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// testContext bounds what a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestRun runs the whole program.
func TestRun(t *testing.T) {
	if err := run(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// branched returns three parties, of which two have a link and a group.
func branched(t *testing.T) (orders, ledger, auditor *party) {
	t.Helper()
	orders, ledger, auditor, err := newParties()
	if err != nil {
		t.Fatal(err)
	}
	l, err := connect(testContext(t), orders, ledger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	if err := l.branch(); err != nil {
		t.Fatal(err)
	}
	return orders, ledger, auditor
}

// What the auditor reads is what is written while it is a member, no more and no less.
func TestTheAuditorReadsWhatIsWrittenWhileItIsThere(t *testing.T) {
	orders, ledger, auditor := branched(t)
	var b board
	write := func(others ...*party) {
		t.Helper()
		if _, err := b.write(orders, "something", others...); err != nil {
			t.Fatal(err)
		}
	}
	write(ledger)
	write(ledger)
	if err := takeIn(ledger, orders, auditor); err != nil {
		t.Fatal(err)
	}
	write(ledger)
	write(ledger)
	there := auditor.group.Epoch()
	if err := letGo(orders, ledger, auditor); err != nil {
		t.Fatal(err)
	}
	write(ledger)
	for i, want := range []bool{false, false, true, true, false} {
		_, err := auditor.read(b[i])
		if (err == nil) != want {
			t.Errorf("message %d: error %v, readable should be %t", i, err, want)
		}
		if !want && !errors.Is(err, mls.ErrWrongEpoch) {
			t.Errorf("message %d: error %v, want %v", i, err, mls.ErrWrongEpoch)
		}
	}
	if auditor.group.Epoch() != there || orders.group.Epoch() != there+1 || ledger.group.Epoch() != there+1 {
		t.Error("the auditor has gone on with the others")
	}
}

// Whom the members do not know does not come in.
func TestAStrangerIsNotTakenIn(t *testing.T) {
	orders, ledger, _ := branched(t)
	_, _, stranger, err := newParties()
	if err != nil {
		t.Fatal(err)
	}
	if err := takeIn(orders, ledger, stranger); err == nil || stranger.group != nil {
		t.Errorf("a stranger was taken in: %v", err)
	}
}

// The auditor cannot take part in the branch itself: its Welcome would be for no key package of the link.
func TestTheLinkBranchesForItsEndsOnly(t *testing.T) {
	orders, ledger, auditor, err := newParties()
	if err != nil {
		t.Fatal(err)
	}
	l, err := connect(testContext(t), orders, ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	bundle, err := mls.NewKeyPackage(auditor.config, mls.KeyPackageOptions{Suite: l.dialled.conn.ConnectionState().Suite, Identity: auditor.identity})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.dialled.conn.Branch(bundle.Message(), channel.BranchOptions{Config: orders.config}); !errors.Is(err, channel.ErrBranch) {
		t.Errorf("error %v, want %v", err, channel.ErrBranch)
	}
}

// TestVerdictsCanFail shows that the program would notice what goes wrong.
func TestVerdictsCanFail(t *testing.T) {
	orders, ledger, auditor := branched(t)
	if err := takeIn(orders, ledger, auditor); err != nil {
		t.Fatal(err)
	}
	var b board
	at, err := b.write(orders, "for all", ledger)
	if err != nil {
		t.Fatal(err)
	}
	if err := cannotRead(auditor, b[at]); err == nil {
		t.Error("the auditor can read, and it was not noticed")
	}
	if _, err := b.write(orders, "for all", orders); err == nil {
		t.Error("somebody who does not read was taken for a reader")
	}
	l, err := connect(testContext(t), orders, ledger)
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	if err := l.works(testContext(t)); err == nil {
		t.Error("a link that is closed works")
	}
}
