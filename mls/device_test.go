package mls

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

var background = context.Background()

// A device is a participant of a test that can be restarted: all that it knows is
// in its store and its keyring.
type device struct {
	*client
	f          *fleet
	keys       keyring
	memory     *MemoryStore
	store      *faultyStore // memory, as the Client sees it
	random     *faults      // of Config.Rand
	c          *Client
	m          *Membership // in the fleet's group
	lastResort bool        // its key packages are
}

// A keyring has the signature keys that a client ever used.
type keyring []crypto.Signer

func (k *keyring) lookup(s *ciphersuite.Suite, publicKey []byte) (crypto.Signer, error) {
	for _, signer := range *k {
		if found, err := OnlySigner(signer)(s, publicKey); err == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("none of %d signers is for %x", len(*k), publicKey)
}

// A faultyStore fails when a test says so.
type faultyStore struct {
	Store
	*faults
	saves *faults // of an Update that has done what it should all the same
}

func (s *faultyStore) Get(ctx context.Context, name string) (Record, error) {
	if err := s.next(); err != nil {
		return Record{}, err
	}
	return s.Store.Get(ctx, name)
}

func (s *faultyStore) Names(ctx context.Context, prefix string) ([]string, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.Names(ctx, prefix)
}

func (s *faultyStore) Update(ctx context.Context, changes []Change) error {
	if err := s.next(); err != nil {
		return err
	}
	if err := s.Store.Update(ctx, changes); err != nil {
		return err
	}
	return s.saves.next()
}

// A fleet is a group whose members are devices, and a perfect delivery service.
// Its methods fail the test if anything goes wrong.
type fleet struct {
	*crowd
	devices []*device
	// options are those of new clients, but for Config, Store and Signers.
	options ClientOptions
	// restarting: devices are restarted after each operation.
	restarting bool
}

// newFleet returns a group of n, which the first created.
func newFleet(t failer, n int) *fleet {
	t.Helper()
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.psks["key"] = []byte("a pre-shared key")
	f.found(n)
	return f
}

// otherFleet returns a group that has nothing in common with that of newFleet.
func otherFleet(t failer, n int) *fleet {
	t.Helper()
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.rand = rand.NewChaCha8([32]byte{2})
	f.found(n)
	return f
}

func (f *fleet) found(n int) {
	f.t.Helper()
	founder := f.newDevice()
	founder.do("creates the group", func() (err error) {
		founder.m, err = founder.c.CreateGroup(background, GroupOptions{Suite: f.suite.ID(), Identity: founder.id})
		return err
	})
	f.devices = append(f.devices, founder)
	if n > 1 {
		f.add(0, n-1)
	}
}

// newDevice returns a device that is in no group.
func (f *fleet) newDevice() *device {
	f.t.Helper()
	d := &device{client: f.newClient(), f: f, memory: NewMemoryStore(), random: &faults{after: -1}}
	d.cfg.Rand = faultyReader{d.cfg.Rand, d.random}
	d.keys = keyring{d.id.Signer}
	d.store = &faultyStore{d.memory, &faults{after: -1}, &faults{after: -1}}
	d.c = d.newClient()
	return d
}

// newClient returns a client with what the device has stored, as after a restart.
func (d *device) newClient() *Client {
	d.f.t.Helper()
	o := d.f.options
	o.Config, o.Store, o.Signers = d.cfg, d.store, d.keys.lookup
	c, err := NewClient(o)
	if err != nil {
		d.f.t.Fatal(err)
	}
	return c
}

// restart starts the device anew, and checks that it is as it was.
func (d *device) restart() {
	d.f.t.Helper()
	before, stored := d.remembers(), d.stored()
	d.reopen()
	if !bytes.Equal(d.remembers(), before) {
		d.f.t.Fatalf("%s: another state after a restart", d.name)
	}
	if !maps.Equal(d.stored(), stored) {
		d.f.t.Fatalf("%s: a restart has changed the store", d.name)
	}
}

// reopen starts the device anew.
func (d *device) reopen() {
	d.f.t.Helper()
	d.c = d.newClient()
	if d.m == nil {
		return
	}
	id := d.m.GroupID()
	d.m.Close()
	var err error
	if d.m, err = d.c.Open(background, id); err != nil {
		d.f.t.Fatalf("%s: %v", d.name, err)
	}
}

// do has the device do something, and then restarts it if the fleet says so.
func (d *device) do(what string, f func() error) {
	d.f.t.Helper()
	if err := f(); err != nil {
		d.f.t.Fatalf("%s %s: %v", d.name, what, err)
	}
	if d.f.restarting {
		d.restart()
	}
}

// stored returns what is in the device's store, by name.
func (d *device) stored() map[string]string {
	d.f.t.Helper()
	names, err := d.memory.Names(background, "")
	if err != nil {
		d.f.t.Fatal(err)
	}
	records := make(map[string]string)
	for _, name := range names {
		r, err := d.memory.Get(background, name)
		if err != nil {
			d.f.t.Fatal(err)
		}
		records[name] = fmt.Sprint(r.Version, " ", string(r.Value))
	}
	return records
}

// remembers returns all that a membership consists of in memory.
func (d *device) remembers() []byte {
	d.f.t.Helper()
	if d.m == nil {
		return nil
	}
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	return d.m.remembers(d.f.t)
}

func (m *Membership) remembers(t failer) []byte {
	t.Helper()
	if m.ended != nil {
		return []byte(m.ended.Error())
	}
	var w wire.Writer
	w.Opaque(mustMarshal(t, m.state.group))
	if p := m.state.pending; p != nil {
		state, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		w.Opaque(state)
	}
	for _, p := range m.state.past {
		p.encode(&w)
	}
	return w.Data()
}

// view returns what the device sees of the group.
func (d *device) view() *View {
	d.f.t.Helper()
	v, err := d.m.View()
	if err != nil {
		d.f.t.Fatalf("%s: %v", d.name, err)
	}
	return v
}

func (d *device) process(message []byte) Received {
	d.f.t.Helper()
	var received Received
	d.do("processes a message", func() (err error) {
		received, err = d.m.Process(background, message)
		return err
	})
	return received
}

// reads checks that a device receives application data.
func (d *device) reads(message []byte, want string) {
	d.f.t.Helper()
	a, ok := d.process(message).(*ReceivedApplication)
	if !ok || string(a.Data) != want {
		d.f.t.Errorf("%s received %+v, want %q", d.name, a, want)
	}
}

// refuses checks that a device refuses a message and stays as it was.
func (d *device) refuses(message []byte, want error) {
	d.f.t.Helper()
	before, stored := d.remembers(), d.stored()
	if _, err := d.m.Process(background, message); err == nil || want != nil && !errors.Is(err, want) {
		d.f.t.Errorf("%s: error %v, want %v", d.name, err, want)
	}
	if !bytes.Equal(d.remembers(), before) || !maps.Equal(d.stored(), stored) {
		d.f.t.Errorf("%s: a message that was refused has changed something", d.name)
	}
}

func (d *device) protect(data string) []byte {
	d.f.t.Helper()
	var message []byte
	d.do("speaks", func() (err error) {
		message, err = d.m.Protect(background, []byte(data), nil)
		return err
	})
	return message
}

func (d *device) commit(o CommitOptions) *CommitOutput {
	d.f.t.Helper()
	var out *CommitOutput
	d.do("commits", func() (err error) {
		out, err = d.m.Commit(background, o)
		return err
	})
	return out
}

func (d *device) accept() {
	d.f.t.Helper()
	d.do("accepts its commit", func() error { return d.m.Accept(background) })
}

// keyPackage returns a key package of the device as others receive it.
func (d *device) keyPackage() *Add {
	d.f.t.Helper()
	var add *Add
	d.do("makes a key package", func() error {
		message, err := d.c.NewKeyPackage(background, KeyPackageOptions{
			Suite: d.f.suite.ID(), Identity: d.id, LastResort: d.lastResort, OneSignature: d.f.oneSignature,
		})
		if err != nil {
			return err
		}
		add, err = d.c.ParseAdd(message)
		return err
	})
	return add
}

func (d *device) join(welcome, ratchetTree []byte) {
	d.f.t.Helper()
	d.do("joins", func() (err error) {
		d.m, err = d.c.Join(background, welcome, ratchetTree)
		return err
	})
}

// add has a device add n new ones with one commit.
func (f *fleet) add(by, n int) {
	f.t.Helper()
	var joiners []*device
	var o CommitOptions
	for range n {
		joiner := f.newDevice()
		joiners = append(joiners, joiner)
		o.Proposals = append(o.Proposals, joiner.keyPackage())
	}
	f.commit(by, o, joiners...)
}

// commit has a device commit, delivers that to everybody, itself among them, lets
// those who are invited in and those who are removed out, and checks that all agree.
func (f *fleet) commit(by int, o CommitOptions, joiners ...*device) *CommitOutput {
	f.t.Helper()
	out := f.devices[by].commit(o)
	f.broadcast(nil, out.Commit)
	for _, joiner := range joiners {
		joiner.join(out.Welcome, nil)
		f.devices = append(f.devices, joiner)
	}
	f.checkAgreement()
	return out
}

// broadcast delivers a message to all devices but from. Those whom it removes go.
func (f *fleet) broadcast(from *device, message []byte) {
	f.t.Helper()
	for _, d := range slices.Clone(f.devices) {
		if d == from {
			continue
		}
		received, err := d.m.Process(background, message)
		if err != nil {
			f.t.Fatalf("%s processes a message: %v", d.name, err)
		}
		if c, ok := received.(*ReceivedCommit); ok && c.Removed {
			f.leave(d)
		} else if f.restarting {
			d.restart()
		}
	}
}

// leave checks that nothing is left of a membership, and lets the device go.
func (f *fleet) leave(d *device) {
	f.t.Helper()
	if _, err := d.c.Open(background, d.m.groupID); !errors.Is(err, ErrNotStored) {
		f.t.Errorf("%s has left, and opens the group: %v", d.name, err)
	}
	for name := range d.stored() {
		if strings.HasPrefix(name, groupRecords) {
			f.t.Errorf("%s has left, and keeps %s", d.name, name)
		}
	}
	f.devices = slices.DeleteFunc(f.devices, func(o *device) bool { return o == d })
}

// checkAgreement checks that all devices agree on the group.
func (f *fleet) checkAgreement() {
	f.t.Helper()
	crowd := *f.crowd
	crowd.members = nil
	for _, d := range f.devices {
		crowd.members = append(crowd.members, &client{name: d.name, g: d.m.state.group})
	}
	crowd.checkAgreement()
}

// checkMessages has every device send application data to all others.
func (f *fleet) checkMessages() {
	f.t.Helper()
	for _, from := range f.devices {
		message := from.protect("from " + from.name)
		for _, d := range f.devices {
			if d != from {
				d.reads(message, "from "+from.name)
			}
		}
	}
}

// wantError fails the test unless err matches want.
func wantError(t failer, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
