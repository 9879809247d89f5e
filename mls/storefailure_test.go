package mls

import (
	"errors"
	"maps"
	"testing"
)

// Whichever call of an operation to its store or its source of randomness fails:
// memory and store are as they were, and the operation can be done again.
func TestAFailureChangesNothing(t *testing.T) {
	for name, source := range map[string]func(d *device) *faults{
		"store":      func(d *device) *faults { return d.store.faults },
		"randomness": func(d *device) *faults { return d.random },
	} {
		t.Run(name, func(t *testing.T) {
			forEachOperation(t, func(t *testing.T, f *fleet, a *attempt) {
				failing := source(a.d)
				for k := 0; ; k++ {
					remembered, stored, copies := a.d.remembers(), a.d.stored(), a.d.copies()
					failing.after, failing.hit = k, false
					err := a.do()
					failing.after = -1
					if !failing.hit {
						if err != nil {
							t.Fatal(err)
						}
						if k == 0 && failing == a.d.store.faults {
							t.Fatal("the operation does not use the store")
						}
						break
					}
					if !errors.Is(err, errFault) {
						t.Fatalf("call %d failed: error %v, want the fault", k, err)
					}
					a.d.sameAs("a failure", remembered, stored)
					if got := a.d.copies(); got != copies {
						t.Fatalf("call %d failed: the keys are in use %d times, were %d times: what was tried is not erased", k, got, copies)
					}
					if k > 100 {
						t.Fatal("the operation never ends")
					}
				}
				a.done()
			})
		})
	}
}

// copies returns how many groups in memory use the private keys that a membership
// has.
func (d *device) copies() (n int32) {
	if d.m == nil {
		return 0
	}
	for _, g := range d.m.state.groups() {
		for _, held := range g.keys {
			n += held.key.epochs.Load()
		}
	}
	return n
}

// A store that has saved and says that it has not: nothing goes on from the state
// before, and what is stored can be opened.
func TestAStoreThatSavesInSpiteOfAnErrorIsNoticed(t *testing.T) {
	forEachOperation(t, func(t *testing.T, f *fleet, a *attempt) {
		d := a.d
		remembered, before := d.remembers(), d.stored()
		d.store.saves.after = 0
		wantError(t, "the operation", a.do(), errFault)
		after := d.stored()
		d.sameAs("the failure", remembered, after)
		if maps.Equal(after, before) {
			t.Fatal("the store has saved nothing")
		}
		head := ""
		if d.m != nil {
			head = d.m.head()
		}
		if after[head] != before[head] { // the membership has moved
			wantError(t, "the next operation", d.m.EraseExpired(background), ErrConflict)
			d.sameAs("a conflict", remembered, after)
			d.m.Close()
		}
		if id := d.m; after[head] == "" && id != nil {
			_, err := d.c.Open(background, id.GroupID())
			wantError(t, "opening", err, ErrNotStored)
		}
		ids, err := d.c.Groups(background)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			m, err := d.c.Open(background, id)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.EraseExpired(background); err != nil {
				t.Errorf("group %x: %v", id, err)
			}
		}
	})
}
