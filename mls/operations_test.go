package mls

import (
	"bytes"
	"fmt"
	"maps"
	"testing"
	"time"
)

// An operation is one thing that a client does, and what it takes to get there.
type operation struct {
	name    string
	prepare func(f *fleet) *attempt
}

// An attempt is an operation that a device is about to do.
type attempt struct {
	d  *device
	do func() error
	// done checks that all has happened that should, once do has succeeded.
	done func()
}

// ready returns a group of three in the middle of an epoch: device 1 has a past
// epoch from which messages may come, and has been overtaken by one of this epoch.
func ready(t failer) *fleet {
	t.Helper()
	f := newFleet(t, 3)
	f.commit(2, CommitOptions{})
	f.devices[0].protect("lost")
	message := f.devices[0].protect("not lost")
	f.devices[1].reads(message, "not lost")
	f.devices[2].reads(message, "not lost")
	return f
}

// of returns an attempt of device 1.
func (f *fleet) of(do func(d *device) error, done func(d *device)) *attempt {
	d := f.devices[1]
	return &attempt{d, func() error { return do(d) }, func() { f.t.Helper(); done(d) }}
}

// receiving returns an attempt of device 1 to process a message of another, that
// leaves all in agreement.
func (f *fleet) receiving(message []byte, done func(r Received)) *attempt {
	var received Received
	return f.of(func(d *device) (err error) {
		received, err = d.m.Process(background, message)
		return err
	}, func(*device) {
		f.t.Helper()
		done(received)
		f.checkAgreement()
	})
}

// operations are all operations that change what is stored.
var operations = []operation{
	{"making a key package", func(f *fleet) *attempt {
		joiner := f.newDevice()
		var message []byte
		return &attempt{joiner, func() (err error) {
			message, err = joiner.c.NewKeyPackage(background, KeyPackageOptions{Suite: f.suite.ID(), Identity: joiner.id})
			return err
		}, func() {
			f.t.Helper()
			add, err := f.devices[0].c.ParseAdd(message)
			if err != nil {
				f.t.Fatal(err)
			}
			f.commit(0, CommitOptions{Proposals: []Proposal{add}}, joiner)
			f.checkMessages()
		}}
	}},
	{"erasing an expired key package", func(f *fleet) *attempt {
		d := f.newDevice()
		d.keyPackage()
		later := f.now.Add(8 * 24 * time.Hour)
		erased := 0
		return &attempt{d, func() (err error) {
			f.now = later
			erased, err = d.c.EraseExpiredKeyPackages(background)
			return err
		}, func() {
			f.t.Helper()
			if erased != 1 {
				f.t.Errorf("erased %d key packages, want 1", erased)
			}
		}}
	}},
	{"creating a group", func(f *fleet) *attempt {
		founder := f.newDevice()
		return &attempt{founder, func() (err error) {
			founder.m, err = founder.c.CreateGroup(background, GroupOptions{Suite: f.suite.ID(), Identity: founder.id})
			return err
		}, func() {
			f.t.Helper()
			f.devices = []*device{founder}
			f.add(0, 2)
			f.checkMessages()
		}}
	}},
	{"joining", func(f *fleet) *attempt {
		joiner := f.newDevice()
		out := f.devices[0].commit(CommitOptions{Proposals: []Proposal{joiner.keyPackage()}})
		f.broadcast(nil, out.Commit)
		return &attempt{joiner, func() (err error) {
			joiner.m, err = joiner.c.Join(background, out.Welcome, nil)
			return err
		}, func() {
			f.t.Helper()
			f.devices = append(f.devices, joiner)
			f.checkAgreement()
			f.checkMessages()
			_, err := joiner.c.Join(background, out.Welcome, nil)
			wantError(f.t, "joining again", err, ErrNotStored)
		}}
	}},
	{"joining from outside", func(f *fleet) *attempt {
		joiner := f.newDevice()
		return f.joiningFromOutside(joiner, ExternalJoinOptions{Identity: joiner.id})
	}},
	{"joining again from outside", func(f *fleet) *attempt {
		d := f.devices[1]
		d.commit(CommitOptions{}) // pending, and then void
		return f.joiningFromOutside(d, ExternalJoinOptions{
			Identity: d.id, Resync: func(leaf *LeafNode) bool { return leaf.Credential.Equal(d.id.Credential) },
		})
	}},
	{"speaking", func(f *fleet) *attempt {
		var message []byte
		return f.of(func(d *device) (err error) {
			message, err = d.m.Protect(background, []byte("data"), nil)
			return err
		}, func(d *device) {
			f.t.Helper()
			f.devices[0].reads(message, "data")
			f.devices[2].reads(d.protect("more"), "more")
			f.devices[2].reads(message, "data")
		})
	}},
	{"proposing", func(f *fleet) *attempt {
		var message []byte
		return f.of(func(d *device) (err error) {
			message, err = d.m.Propose(background, &Remove{Removed: 2}, ProposeOptions{})
			return err
		}, func(d *device) {
			f.t.Helper()
			f.broadcast(nil, message)
			f.commit(1, CommitOptions{})
			if len(f.devices) != 2 {
				f.t.Errorf("%d members, want 2", len(f.devices))
			}
		})
	}},
	{"proposing a new signature key", func(f *fleet) *attempt {
		var message []byte
		next := f.newClient().id
		return f.of(func(d *device) (err error) {
			next.Credential = d.id.Credential
			d.keys = append(d.keys, next.Signer)
			message, err = d.m.ProposeUpdate(background, LeafChanges{Identity: &next}, ProposeOptions{})
			return err
		}, func(d *device) {
			f.t.Helper()
			f.broadcast(d, message)
			f.commit(0, CommitOptions{})
			d.keys = keyring{next.Signer}
			d.restart()
			f.checkMessages()
		})
	}},
	{"committing", func(f *fleet) *attempt {
		var out *CommitOutput
		return f.of(func(d *device) (err error) {
			out, err = d.m.Commit(background, CommitOptions{})
			return err
		}, func(d *device) {
			f.t.Helper()
			again, err := d.m.Pending()
			if err != nil || !bytes.Equal(again.Commit, out.Commit) || !bytes.Equal(again.RatchetTree, out.RatchetTree) {
				f.t.Errorf("the pending commit is another: %v", err)
			}
			f.broadcast(nil, out.Commit)
			f.checkAgreement()
			f.checkMessages()
		})
	}},
	{"committing apart", func(f *fleet) *attempt {
		var p *PendingCommit
		return f.of(func(d *device) (err error) {
			p, err = d.m.CommitDetached(background, CommitOptions{})
			return err
		}, func(d *device) {
			f.t.Helper()
			f.broadcast(d, p.Message())
			d.do("adopts", func() error { return d.m.Adopt(background, p) })
			f.checkAgreement()
			f.checkMessages()
		})
	}},
	{"adopting", func(f *fleet) *attempt {
		p, err := f.devices[1].m.CommitDetached(background, CommitOptions{})
		if err != nil {
			f.t.Fatal(err)
		}
		f.devices[1].commit(CommitOptions{}) // which it takes the place of
		return f.of(func(d *device) error { return d.m.Adopt(background, p) }, func(d *device) {
			f.t.Helper()
			f.broadcast(d, p.Message())
			f.checkAgreement()
			f.checkMessages()
		})
	}},
	{"accepting", func(f *fleet) *attempt {
		out := f.devices[1].commit(CommitOptions{})
		return f.of(func(d *device) error { return d.m.Accept(background) }, func(d *device) {
			f.t.Helper()
			f.broadcast(d, out.Commit)
			f.checkAgreement()
			f.checkMessages()
		})
	}},
	{"dropping", func(f *fleet) *attempt {
		f.devices[1].commit(CommitOptions{})
		return f.of(func(d *device) error { return d.m.Drop(background) }, func(d *device) {
			f.t.Helper()
			if out, err := d.m.Pending(); out != nil || err != nil {
				f.t.Errorf("there is a pending commit, or %v", err)
			}
			f.commit(1, CommitOptions{})
			f.checkMessages()
		})
	}},
	{"receiving data", func(f *fleet) *attempt {
		return f.receiving(f.devices[0].protect("data"), func(r Received) {
			f.t.Helper()
			if a, ok := r.(*ReceivedApplication); !ok || string(a.Data) != "data" {
				f.t.Errorf("received %+v", r)
			}
		})
	}},
	{"receiving data of a past epoch", func(f *fleet) *attempt {
		late := f.devices[0].protect("late")
		f.commit(0, CommitOptions{})
		return f.receiving(late, func(r Received) {
			f.t.Helper()
			if a, ok := r.(*ReceivedApplication); !ok || string(a.Data) != "late" {
				f.t.Errorf("received %+v", r)
			}
			f.devices[1].refuses(late, nil)
		})
	}},
	{"receiving a proposal", func(f *fleet) *attempt {
		message, err := f.devices[0].m.ProposeUpdate(background, LeafChanges{}, ProposeOptions{})
		if err != nil {
			f.t.Fatal(err)
		}
		f.devices[2].process(message)
		return f.receiving(message, func(Received) {
			f.t.Helper()
			f.commit(1, CommitOptions{})
		})
	}},
	{"receiving a commit", func(f *fleet) *attempt {
		out := f.devices[0].commit(CommitOptions{})
		f.devices[1].commit(CommitOptions{}) // which is void then
		f.devices[0].accept()
		f.devices[2].process(out.Commit)
		return f.receiving(out.Commit, func(Received) {
			f.t.Helper()
			if out, err := f.devices[1].m.Pending(); out != nil || err != nil {
				f.t.Errorf("there is a pending commit, or %v", err)
			}
		})
	}},
	{"receiving its own commit", func(f *fleet) *attempt {
		out := f.devices[1].commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}})
		f.broadcast(f.devices[1], out.Commit)
		return f.receiving(out.Commit, func(r Received) {
			f.t.Helper()
			c, ok := r.(*ReceivedCommit)
			if !ok || c.Sender.Leaf != 1 || !c.HasPath || c.Removed || len(c.Proposals) != 1 || c.Group() != nil {
				f.t.Errorf("received %+v", r)
			}
		})
	}},
	{"receiving its own proposal", func(f *fleet) *attempt {
		message, err := f.devices[1].m.Propose(background, &Remove{Removed: 2}, ProposeOptions{})
		if err != nil {
			f.t.Fatal(err)
		}
		return f.receiving(message, func(Received) {
			f.t.Helper()
			if got := len(f.devices[1].view().PendingProposals()); got != 1 {
				f.t.Errorf("%d proposals are pending, want 1", got)
			}
		})
	}},
	{"being removed", func(f *fleet) *attempt {
		out := f.devices[0].commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 1}}})
		f.devices[0].accept()
		f.devices[2].process(out.Commit)
		d := f.devices[1]
		f.devices = []*device{f.devices[0], d, f.devices[2]}
		return f.of(func(d *device) error {
			received, err := d.m.Process(background, out.Commit)
			if err == nil && !received.(*ReceivedCommit).Removed {
				return fmt.Errorf("received %+v", received)
			}
			return err
		}, func(d *device) {
			f.t.Helper()
			_, err := d.m.View()
			wantError(f.t, "a view", err, ErrRemoved)
			f.leave(d)
			f.checkMessages()
		})
	}},
	{"exporting to a component", func(f *fleet) *attempt {
		var secret []byte
		return f.of(func(d *device) (err error) {
			secret, err = d.m.SafeExportSecret(background, 7)
			return err
		}, func(d *device) {
			f.t.Helper()
			want, err := f.devices[0].m.SafeExportSecret(background, 7)
			if err != nil || !bytes.Equal(secret, want) {
				f.t.Errorf("exported %x, another exports %x, %v", secret, want, err)
			}
			_, err = d.m.SafeExportSecret(background, 7)
			wantError(f.t, "exporting again", err, ErrErased)
		})
	}},
	{"erasing the exporter secret", func(f *fleet) *attempt {
		return f.of(func(d *device) error { return d.m.EraseExporterSecret(background) }, func(d *device) {
			f.t.Helper()
			_, err := d.m.Export("label", nil, 32)
			wantError(f.t, "exporting", err, ErrErased)
			f.commit(1, CommitOptions{})
		})
	}},
	{"erasing what is expired", func(f *fleet) *attempt {
		later := f.now.Add(DefaultMaxPastEpochAge + time.Minute)
		return f.of(func(d *device) error {
			f.now = later
			return d.m.EraseExpired(background)
		}, func(d *device) {
			f.t.Helper()
			if n := len(d.m.state.past); n != 0 {
				f.t.Errorf("%d past epochs are kept", n)
			}
			f.checkMessages()
		})
	}},
	{"forgetting", func(f *fleet) *attempt {
		return f.of(func(d *device) error { return d.m.Forget(background) }, func(d *device) {
			f.t.Helper()
			_, err := d.m.View()
			wantError(f.t, "a view", err, ErrErased)
			f.leave(d)
			f.checkMessages()
		})
	}},
	{"branching", func(f *fleet) *attempt {
		return f.founding(func(m *Membership, o SuccessorOptions) (*Membership, *CommitOutput, error) {
			return m.Branch(background, o)
		}, SuccessorOptions{KeyPackages: []*KeyPackage{f.devices[0].keyPackage().KeyPackage}})
	}},
	{"re-initializing", func(f *fleet) *attempt {
		f.close()
		return f.founding(func(m *Membership, o SuccessorOptions) (*Membership, *CommitOutput, error) {
			return m.ReInitialize(background, o)
		}, SuccessorOptions{KeyPackages: []*KeyPackage{
			f.devices[0].keyPackage().KeyPackage, f.devices[2].keyPackage().KeyPackage,
		}})
	}},
	{"joining a successor", func(f *fleet) *attempt {
		d := f.devices[1]
		next, out, err := f.devices[0].m.Branch(background, SuccessorOptions{KeyPackages: []*KeyPackage{d.keyPackage().KeyPackage}})
		if err != nil {
			f.t.Fatal(err)
		}
		var branch *Membership
		return f.of(func(d *device) (err error) {
			branch, err = d.m.JoinSuccessor(background, out.Welcome, nil)
			return err
		}, func(d *device) {
			f.t.Helper()
			f.checkMessages()
			f.devices[0].m, d.m = next, branch
			f.devices = f.devices[:2]
			f.checkAgreement()
			f.checkMessages()
		})
	}},
}

// joiningFromOutside returns an attempt of a device to join by a commit of its own.
func (f *fleet) joiningFromOutside(joiner *device, o ExternalJoinOptions) *attempt {
	f.t.Helper()
	info, err := f.devices[0].m.GroupInfo(GroupInfoOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	var commit []byte
	var before *Membership
	return &attempt{joiner, func() error {
		before = joiner.m
		m, message, err := joiner.c.JoinExternal(background, info, o)
		if err == nil {
			joiner.m, commit = m, message
		}
		return err
	}, func() {
		f.t.Helper()
		f.broadcast(joiner, commit)
		if before == nil {
			f.devices = append(f.devices, joiner)
		} else {
			_, err := before.View()
			wantError(f.t, "a view of the membership that was replaced", err, ErrErased)
		}
		f.checkAgreement()
		f.checkMessages()
		joiner.refuses(commit, ErrWrongEpoch)
	}}
}

// close closes the group for re-initialization.
func (f *fleet) close() {
	f.t.Helper()
	f.commit(0, CommitOptions{Proposals: []Proposal{&ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: f.suite.ID()}}})
}

// founding returns an attempt of device 1 to found a successor with others.
func (f *fleet) founding(found func(*Membership, SuccessorOptions) (*Membership, *CommitOutput, error), o SuccessorOptions) *attempt {
	var next *Membership
	var out *CommitOutput
	return f.of(func(d *device) (err error) {
		next, out, err = found(d.m, o)
		return err
	}, func(d *device) {
		f.t.Helper()
		members := []*device{d}
		for _, joiner := range f.devices {
			if joiner == d || len(o.KeyPackages) == 1 && joiner == f.devices[2] {
				continue
			}
			m, err := joiner.m.JoinSuccessor(background, out.Welcome, nil)
			if err != nil {
				f.t.Fatalf("%s joins: %v", joiner.name, err)
			}
			joiner.m = m
			members = append(members, joiner)
		}
		d.m, f.devices = next, members
		f.checkAgreement()
		f.checkMessages()
	})
}

// forEachOperation runs test for all operations.
func forEachOperation(t *testing.T, test func(t *testing.T, f *fleet, a *attempt)) {
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			f := ready(t)
			test(t, f, o.prepare(f))
		})
	}
}

// sameAs checks that a device is as it was.
func (d *device) sameAs(what string, remembered []byte, stored map[string]string) {
	d.f.t.Helper()
	if !bytes.Equal(d.remembers(), remembered) {
		d.f.t.Fatalf("%s: memory has changed", what)
	}
	if !maps.Equal(d.stored(), stored) {
		d.f.t.Fatalf("%s: the store has changed", what)
	}
}
