package mls

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// lateGroup returns two devices whose clients keep past epochs as o says.
func lateGroup(t failer, o ClientOptions) *fleet {
	t.Helper()
	f := &fleet{crowd: emptyCrowd(t, suite1), options: o}
	f.configure = func(cfg *Config) { cfg.MaxSkippedAge = -1 } // it is another bound
	f.found(2)
	return f
}

// A late letter arrives after its epoch.
type late struct {
	message []byte
	data    string
}

// lateLetters has device 0 send two letters in each of n epochs, which arrive later.
func (f *fleet) lateLetters(n int) []late {
	f.t.Helper()
	var letters []late
	for range n {
		for i := range 2 {
			data := fmt.Sprintf("letter %d of epoch %d", i, f.devices[0].view().Epoch())
			letters = append(letters, late{f.devices[0].protect(data), data})
		}
		f.commit(1, CommitOptions{})
	}
	return letters
}

// pastRecords returns how many past epochs are stored.
func (d *device) pastRecords() int {
	d.f.t.Helper()
	n := 0
	for _, p := range d.m.state.past {
		if _, ok := d.stored()[d.m.past(p.context.epoch)]; !ok {
			d.f.t.Errorf("past epoch %d is not stored", p.context.epoch)
		}
	}
	for name := range d.stored() {
		if strings.HasPrefix(name, d.m.head()+"/past/") {
			n++
		}
	}
	if n != len(d.m.state.past) {
		d.f.t.Errorf("%d past epochs are stored, and %d in memory", n, len(d.m.state.past))
	}
	return n
}

func TestLateMessagesAreReadOnceWithinTheWindow(t *testing.T) {
	for kept, o := range map[int]ClientOptions{
		DefaultPastEpochs: {},
		1:                 {PastEpochs: 1},
		4:                 {PastEpochs: 4, MaxPastEpochAge: -1},
		0:                 {PastEpochs: -1},
	} {
		for _, restarting := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d epochs, restarting %t", kept, restarting), func(t *testing.T) {
				f := lateGroup(t, o)
				f.restarting = restarting
				d := f.devices[1]
				letters := f.lateLetters(6)
				if got := d.pastRecords(); got != kept {
					t.Fatalf("%d past epochs are kept, want %d", got, kept)
				}
				// The last one first, and the others in any order.
				for i := len(letters) - 1; i >= 0; i-- {
					l := letters[i]
					if i < len(letters)-2*kept {
						d.refuses(l.message, ErrWrongEpoch)
						continue
					}
					d.reads(l.message, l.data)
					d.refuses(l.message, nil)
					d.restart()
					d.refuses(l.message, nil)
				}
				f.checkMessages()
			})
		}
	}
}

func TestPastEpochsAreKeptForATime(t *testing.T) {
	const age = 10 * time.Minute
	f := lateGroup(t, ClientOptions{PastEpochs: 5, MaxPastEpochAge: age})
	d := f.devices[1]
	letters := f.lateLetters(1)
	f.now = f.now.Add(age / 2)
	letters = append(letters, f.lateLetters(1)...)
	f.now = f.now.Add(age / 2)
	d.reads(letters[0].message, letters[0].data) // to the second
	f.now = f.now.Add(time.Second)
	d.refuses(letters[1].message, ErrWrongEpoch)
	if got := d.pastRecords(); got != 2 {
		t.Errorf("%d past epochs, want 2 before anything is saved", got)
	}
	d.reads(letters[2].message, letters[2].data) // which drops the first epoch
	if got := d.pastRecords(); got != 1 {
		t.Errorf("%d past epochs, want 1", got)
	}
	f.now = f.now.Add(age)
	d.do("erases what is expired", func() error { return d.m.EraseExpired(background) })
	if got := d.pastRecords(); got != 0 {
		t.Errorf("%d past epochs, want 0", got)
	}
	d.refuses(letters[3].message, ErrWrongEpoch)

	// A commit drops them as well.
	f.lateLetters(1)
	f.now = f.now.Add(age + time.Second)
	f.commit(0, CommitOptions{})
	if got := d.pastRecords(); got != 1 {
		t.Errorf("%d past epochs, want 1", got)
	}
}

func TestPastEpochsWithoutABoundOnTimeOutliveClocks(t *testing.T) {
	f := lateGroup(t, ClientOptions{PastEpochs: 2, MaxPastEpochAge: -1})
	letters := f.lateLetters(1)
	f.now = f.now.AddDate(50, 0, 0)
	d := f.devices[1]
	d.restart()
	d.do("erases what is expired", func() error { return d.m.EraseExpired(background) })
	d.reads(letters[0].message, letters[0].data)
	f.now = testTime.AddDate(-1, 0, 0) // somebody sets the clock
	d.reads(letters[1].message, letters[1].data)
}

// Options that keep less than before apply to what is stored.
func TestFewerPastEpochsAreKeptAfterAChangeOfOptions(t *testing.T) {
	f := lateGroup(t, ClientOptions{PastEpochs: 4})
	letters := f.lateLetters(4)
	d := f.devices[1]
	f.options.PastEpochs = 1
	d.restart()
	d.refuses(letters[5].message, ErrWrongEpoch)
	d.reads(letters[6].message, letters[6].data)
	if got := d.pastRecords(); got != 1 {
		t.Errorf("%d past epochs, want 1", got)
	}
	f.options.PastEpochs = -1
	d.restart()
	d.refuses(letters[7].message, ErrWrongEpoch)
	d.do("erases what is expired", func() error { return d.m.EraseExpired(background) })
	if got := d.pastRecords(); got != 0 {
		t.Errorf("%d past epochs, want 0", got)
	}
}

func TestKeysOfOvertakenMessagesExpireInPastEpochs(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	skipped := f.devices[0].protect("skipped")
	d.reads(f.devices[0].protect("read"), "read")
	unread := f.devices[0].protect("unread")
	f.commit(1, CommitOptions{})
	d.m.client.pastAge = -1
	f.now = f.now.Add(DefaultMaxSkippedAge + time.Second)
	d.refuses(skipped, nil)
	before := len(d.stored()[d.m.past(1)])
	d.do("erases what is expired", func() error { return d.m.EraseExpired(background) })
	if after := len(d.stored()[d.m.past(1)]); after >= before {
		t.Errorf("the past epoch has %d octets, had %d: the skipped key is still there", after, before)
	}
	d.reads(unread, "unread")
}

func TestHandshakeMessagesOfPastEpochsAreRefused(t *testing.T) {
	forEachFormat(t, func(t *testing.T, format WireFormat) {
		f := newFleet(t, 3)
		d := f.devices[1]
		proposal, err := f.devices[0].m.Propose(background, &Remove{Removed: 2}, ProposeOptions{WireFormat: format})
		if err != nil {
			t.Fatal(err)
		}
		own, err := d.m.Propose(background, &Remove{Removed: 2}, ProposeOptions{WireFormat: format})
		if err != nil {
			t.Fatal(err)
		}
		rival := d.commit(CommitOptions{WireFormat: format})
		out := f.commit(2, CommitOptions{WireFormat: format, WithoutPending: true})
		for _, message := range [][]byte{proposal, own, out.Commit, rival.Commit} {
			d.refuses(message, ErrWrongEpoch)
		}
		f.checkMessages()
	})
}

func TestOwnMessagesOfPastEpochsAreRecognised(t *testing.T) {
	f := newFleet(t, 2)
	own := f.devices[1].protect("own")
	f.commit(0, CommitOptions{})
	f.devices[1].refuses(own, ErrOwnMessage)
	f.devices[0].reads(own, "own")
}

// A forged message, and one of somebody who was no member, change nothing, and the
// genuine one is read afterwards.
func TestForgedMessagesOfPastEpochsChangeNothing(t *testing.T) {
	f := newFleet(t, 3)
	d := f.devices[1]
	// It has the keys, but not the signature, of the member that it says it is from.
	sender := f.devices[0].m.state.group.fork()
	sender.signer = f.devices[2].id.Signer
	forged, err := sender.Protect([]byte("forged"), nil)
	if err != nil {
		t.Fatal(err)
	}
	genuine := f.devices[0].protect("genuine")
	f.commit(2, CommitOptions{})
	_, err = d.m.Process(background, forged)
	wantCheck(t, err, CheckMessageSignature)
	d.refuses(forged, nil)
	for i := range genuine {
		spoilt := append([]byte(nil), genuine...)
		spoilt[i] ^= 1 << (i % 8)
		d.refuses(spoilt, nil)
		d.refuses(genuine[:i], nil)
	}
	d.reads(genuine, "genuine")
}

// Members of a past epoch are those of then: who has left since is read, who has
// come since cannot have written.
func TestPastEpochsHaveTheMembersOfTheirTime(t *testing.T) {
	f := newFleet(t, 3)
	d := f.devices[1]
	last := f.devices[2].protect("farewell")
	f.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}})
	joiner := f.newDevice()
	f.commit(0, CommitOptions{Proposals: []Proposal{joiner.keyPackage()}}, joiner) // takes the same leaf
	joiner.refuses(last, ErrWrongEpoch)
	d.reads(last, "farewell")
	f.checkMessages()
}

func TestClosedGroupsReadWhatIsLate(t *testing.T) {
	f := newFleet(t, 2)
	message := f.devices[0].protect("late")
	f.close()
	f.devices[1].restart()
	f.devices[1].reads(message, "late")
	f.devices[1].refuses(message, nil)
}
