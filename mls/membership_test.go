package mls

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// Many goroutines use one membership. No generation is used twice: others can
// decrypt all that it sends, and only once.
func TestMembershipsAreSafeForConcurrentUse(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.configure = func(cfg *Config) { cfg.Rand = rand.Reader } // what crowds have is not safe
	f.found(3)
	sender, peer, third := f.devices[0], f.devices[1], f.devices[2]
	const workers, rounds = 4, 8
	var sent [workers * rounds][]byte
	var incoming [workers * rounds][]byte
	for i := range incoming {
		incoming[i] = third.protect(fmt.Sprint("to the sender ", i))
	}
	var all sync.WaitGroup
	run := func(do func(i int) error) {
		for w := range workers {
			all.Go(func() {
				for r := range rounds {
					if err := do(w*rounds + r); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	run(func(i int) (err error) {
		sent[i], err = sender.m.Protect(background, []byte(fmt.Sprint("number ", i)), nil)
		return err
	})
	run(func(i int) error {
		r, err := sender.m.Process(background, incoming[i])
		if err == nil && string(r.(*ReceivedApplication).Data) != fmt.Sprint("to the sender ", i) {
			err = fmt.Errorf("received %+v", r)
		}
		return err
	})
	authenticator := sender.view().EpochAuthenticator()
	run(func(int) error {
		v, err := sender.m.View()
		if err != nil {
			return err
		}
		if !bytes.Equal(v.EpochAuthenticator(), authenticator) || len(v.Members()) != 3 || len(v.RatchetTree()) == 0 || len(v.PendingProposals()) != 0 {
			return errors.New("the view is another")
		}
		_, err = sender.m.Export("label", nil, 32)
		return err
	})
	run(func(int) error {
		p, err := sender.m.CommitDetached(background, CommitOptions{})
		if err != nil {
			return err
		}
		p.Erase()
		_, err = sender.m.GroupInfo(GroupInfoOptions{})
		return err
	})
	run(func(i int) error {
		_, err := sender.c.NewKeyPackage(background, KeyPackageOptions{Suite: suite1, Identity: sender.id})
		if err != nil {
			return err
		}
		m, err := sender.c.Open(background, sender.m.GroupID())
		if err == nil && m != sender.m {
			err = errors.New("opened another membership")
		}
		return err
	})
	all.Wait()
	if t.Failed() {
		return
	}
	for i, message := range sent {
		peer.reads(message, fmt.Sprint("number ", i))
		peer.refuses(message, nil)
	}
	for _, message := range incoming {
		sender.refuses(message, nil)
	}
	sender.restart()
	f.commit(0, CommitOptions{})
	f.checkMessages()
}

// Commits of several goroutines, own ones and others', move the group on one at a
// time.
func TestConcurrentCommitsMoveAMembershipOnOneAtATime(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.configure = func(cfg *Config) { cfg.Rand = rand.Reader }
	f.found(2)
	d := f.devices[0]
	const workers, rounds = 3, 6
	var mu sync.Mutex
	commits := make(map[uint64][]byte) // by the epoch that they were sent in
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range rounds {
				out, err := d.m.Commit(background, CommitOptions{})
				if errors.Is(err, ErrCommitPending) {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				h, err := ParseHeader(out.Commit)
				if err != nil {
					t.Error(err)
				}
				if _, err := d.m.Process(background, out.Commit); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if commits[h.Epoch] != nil {
					t.Errorf("two commits lead on from epoch %d", h.Epoch)
				}
				commits[h.Epoch] = out.Commit
				mu.Unlock()
			}
		})
		all.Go(func() { // who looks on while the group moves
			for range rounds {
				v, err := d.m.View()
				if err != nil {
					t.Error(err)
					continue
				}
				if len(v.Members()) != 2 || !bytes.Equal(mustParseTree(t, v.RatchetTree()).rootHash(f.suite), v.TreeHash()) {
					t.Error("a view is not of one moment")
				}
			}
		})
	}
	all.Wait()
	for epoch := f.devices[1].view().Epoch(); commits[epoch] != nil; epoch++ {
		f.devices[1].process(commits[epoch])
	}
	f.checkAgreement()
	f.checkMessages()
}

// A refusal by the application leaves the group as it was, and so does a panic in
// its code.
func TestReviewsDecideOnCommitsOfOthers(t *testing.T) {
	var verdict func(c *ReceivedCommit) error
	f := &fleet{crowd: emptyCrowd(t, suite1), options: ClientOptions{Review: func(c *ReceivedCommit) error { return verdict(c) }}}
	f.found(1)
	accept := func(*ReceivedCommit) error { return nil }
	verdict = accept
	f.add(0, 2)
	d := f.devices[1]
	refused := errors.New("refused")
	review := func(out *CommitOutput, removed bool) {
		t.Helper()
		var seen *ReceivedCommit
		verdict = func(c *ReceivedCommit) error {
			seen = c
			return refused
		}
		d.refuses(out.Commit, refused)
		if seen == nil || seen.Sender.Leaf != 0 || len(seen.Proposals) != 1 || seen.Removed != removed {
			t.Errorf("reviewed %+v", seen)
		}
		remembered, stored := d.remembers(), d.stored()
		verdict = func(*ReceivedCommit) error { panic("in a review") }
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			_, err := d.m.Process(background, out.Commit)
			t.Error(err)
		}()
		d.sameAs("a panic", remembered, stored)
		verdict = accept
		f.broadcast(nil, out.Commit)
		f.checkAgreement()
		f.checkMessages()
	}
	review(f.devices[0].commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}}), false)
	review(f.devices[0].commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 1}}}), true)

	// One's own commits are not reviewed.
	verdict = func(*ReceivedCommit) error { return refused }
	f.commit(0, CommitOptions{})
}

// A view does not change when the group does.
func TestViewsAreOfOneMoment(t *testing.T) {
	f := newFleet(t, 3)
	d := f.devices[1]
	message, err := f.devices[0].m.Propose(background, &Remove{Removed: 2}, ProposeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.process(message)
	v := d.view()
	authenticator, tree := v.EpochAuthenticator(), v.RatchetTree()
	f.devices[2].process(message)
	joiner := f.newDevice()
	f.commit(1, CommitOptions{Proposals: []Proposal{joiner.keyPackage()}}, joiner)
	d.m.Close()
	if v.Epoch() != 1 || len(v.Members()) != 3 || len(v.PendingProposals()) != 1 || v.OwnLeaf() != 1 || v.ReInit() != nil {
		t.Errorf("the view is of epoch %d, with %d members", v.Epoch(), len(v.Members()))
	}
	wantEqual(t, "epoch authenticator", v.EpochAuthenticator(), authenticator)
	wantEqual(t, "tree", v.RatchetTree(), tree)
	v.EpochAuthenticator()[0] ^= 1
	wantEqual(t, "epoch authenticator", v.EpochAuthenticator(), authenticator)
}

// The store gets the context of the caller.
func TestContextsReachTheStore(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	ctx, cancel := context.WithCancel(background)
	cancel()
	d.store.Store = heedful{d.memory}
	remembered, stored := d.remembers(), d.stored()
	_, err := d.m.Protect(ctx, nil, nil)
	wantError(t, "speaking", err, context.Canceled)
	_, err = d.m.Process(ctx, f.devices[0].protect("data"))
	wantError(t, "listening", err, context.Canceled)
	_, err = d.c.Open(ctx, []byte("another"))
	wantError(t, "opening", err, context.Canceled)
	_, err = d.c.Groups(ctx)
	wantError(t, "listing groups", err, context.Canceled)
	d.sameAs("cancelled calls", remembered, stored)
	d.store.Store = d.memory
	f.checkMessages()
}

// A heedful store does nothing for a caller who has gone.
type heedful struct{ *MemoryStore }

func (s heedful) Get(ctx context.Context, name string) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	return s.MemoryStore.Get(ctx, name)
}

func (s heedful) Names(ctx context.Context, prefix string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.MemoryStore.Names(ctx, prefix)
}

func (s heedful) Update(ctx context.Context, changes []Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.MemoryStore.Update(ctx, changes)
}

// What an operation stores is in proportion to what it changes: a message does not
// write the epoch anew.
func TestMessagesWriteTheHeadOnly(t *testing.T) {
	f := ready(t)
	d := f.devices[1]
	changed := func(do func()) (names []string) {
		before := d.stored()
		do()
		for name, value := range d.stored() {
			if before[name] != value {
				names = append(names, name[len(d.m.head()):])
			}
		}
		return names
	}
	for what, do := range map[string]func(){
		"sending":   func() { d.protect("data") },
		"receiving": func() { d.reads(f.devices[0].protect("data"), "data") },
		"exporting": func() {
			d.do("exports", func() error {
				_, err := d.m.SafeExportSecret(background, 1)
				return err
			})
		},
	} {
		for _, name := range changed(do) {
			if name != "" {
				t.Errorf("%s writes %s", what, name)
			}
		}
	}
	if names := changed(func() { d.commit(CommitOptions{}) }); len(names) != 2 {
		t.Errorf("committing writes %q", names)
	}
	erase := func() { d.do("erases", func() error { return d.m.EraseExporterSecret(background) }) }
	if names := changed(erase); len(names) != 2 {
		t.Errorf("erasing the exporter secret writes %q", names)
	}
}
