package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/storetest"
	"github.com/mendlink/mendlink/store/seal"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// patience is how long tests wait for what takes a moment unless the machine is busy.
const patience = time.Minute

// keyring returns one whose keys are known by numbers.
func keyring(current byte, former ...byte) *seal.Keyring {
	key := func(n byte) []byte { return bytes.Repeat([]byte{n, 0xa5}, seal.KeySize/2) }
	var others [][]byte
	for _, n := range former {
		others = append(others, key(n))
	}
	k, err := seal.NewKeyring(key(current), others...)
	if err != nil {
		panic(err)
	}
	return k
}

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("test/%d/", prefixes.Add(1)) }

func newStore(t testing.TB, config Config) *Store {
	t.Helper()
	if config.Client == nil {
		config.Client = testCluster(t).client(t)
	}
	if config.Keys == nil {
		config.Keys = keyring(1)
	}
	if config.Prefix == "" {
		config.Prefix = newPrefix()
	}
	if config.Timeout == 0 {
		config.Timeout = patience
	}
	s, err := New(t.Context(), &config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func id(n int) channel.SessionID { return channel.SessionID{byte(n), byte(n >> 8)} }

func save(t testing.TB, s *Store, session channel.StoredSession) uint64 {
	t.Helper()
	version, err := s.Save(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestStoreKeepsTheRules(t *testing.T) {
	client := testCluster(t).client(t)
	storetest.Test(t, func(t *testing.T) channel.Store { return newStore(t, Config{Client: client}) })
}

func TestConfigNeedsAClientAndKeys(t *testing.T) {
	client := testCluster(t).client(t)
	for _, config := range []*Config{nil, {Client: client}, {Keys: keyring(1)}} {
		if _, err := New(t.Context(), config); err == nil {
			t.Errorf("made of %+v", config)
		}
	}
}

func TestStoresOfAPrefixShareSessions(t *testing.T) {
	prefix := newPrefix()
	one, two := newStore(t, Config{Prefix: prefix}), newStore(t, Config{Prefix: prefix})
	v := save(t, one, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")})
	if got, err := two.Load(t.Context(), id(1)); err != nil || got.Version != v || string(got.Data) != "1" {
		t.Errorf("loaded %+v, %v", got, err)
	}
	if ids, err := two.FindByPeer(t.Context(), "p"); err != nil || !slices.Equal(ids, []channel.SessionID{id(1)}) {
		t.Errorf("found %v, %v", ids, err)
	}
	save(t, two, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("2"), Version: v})
	if _, err := one.Save(t.Context(), channel.StoredSession{ID: id(1), Peer: "p", Version: v}); !errors.Is(err, channel.ErrConflict) {
		t.Errorf("the other one saves the same version: %v", err)
	}
	if _, err := newStore(t, Config{}).Load(t.Context(), id(1)); !errors.Is(err, channel.ErrNoSession) {
		t.Errorf("a store of another prefix: %v", err)
	}
}

func TestEtcdSeesNeitherDataNorLabels(t *testing.T) {
	s := newStore(t, Config{})
	save(t, s, channel.StoredSession{ID: id(1), Peer: "replica-7.example:7000", Data: []byte("the private keys of a session")})
	all, err := s.config.Client.Get(t.Context(), s.config.Prefix, clientv3.WithPrefix())
	if err != nil || len(all.Kvs) != 3 {
		t.Fatalf("%d keys, %v", len(all.Kvs), err)
	}
	for _, kv := range all.Kvs {
		if all := string(kv.Key) + string(kv.Value); strings.Contains(all, "replica") || strings.Contains(all, "private") {
			t.Errorf("%q: %q", kv.Key, kv.Value)
		}
	}
}

func TestRecordsThatWereMovedOrRolledBackDoNotOpen(t *testing.T) {
	var told int
	s := newStore(t, Config{Unreadable: func(id channel.SessionID, err error) { told++ }})
	v := save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")})
	save(t, s, channel.StoredSession{ID: id(2), Peer: "p", Data: []byte("2")})
	get := func(n int) string {
		answer, err := s.config.Client.Get(t.Context(), s.sessionKey(id(n)))
		if err != nil {
			t.Fatal(err)
		}
		return string(answer.Kvs[0].Value)
	}
	former, other := get(1), get(2)
	save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("later"), Version: v})
	for n, value := range []string{former, other, "short", ""} {
		if _, err := s.config.Client.Put(t.Context(), s.sessionKey(id(1)), value); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(t.Context(), id(1)); !errors.Is(err, channel.ErrNoSession) || !errors.Is(err, seal.ErrForged) || told != n+1 {
			t.Errorf("%.20q: %v, told %d times; want an error that matches ErrNoSession and ErrForged", value, err, told)
		}
	}
	if err := s.Delete(t.Context(), id(1)); err != nil {
		t.Errorf("deleting what does not open: %v", err)
	}
}

func TestAKeyIsReplaced(t *testing.T) {
	prefix, client := newPrefix(), testCluster(t).client(t)
	old := newStore(t, Config{Client: client, Prefix: prefix})
	const sessions = resealEach + 6
	for n := range sessions {
		save(t, old, channel.StoredSession{ID: id(n), Peer: "p", Data: []byte{byte(n)}})
	}
	if _, err := New(t.Context(), &Config{Client: client, Prefix: prefix, Keys: keyring(2)}); !errors.Is(err, seal.ErrUnknownKey) {
		t.Fatalf("under another key: %v, want ErrUnknownKey", err)
	}
	both := newStore(t, Config{Client: client, Prefix: prefix, Keys: keyring(2, 1)})
	if n, err := both.Reseal(t.Context()); err != nil || n != sessions {
		t.Errorf("%d records, %v, want %d", n, err, sessions)
	}
	if n, err := both.Reseal(t.Context()); err != nil || n != 0 {
		t.Errorf("once more: %d records, %v", n, err)
	}
	fresh := newStore(t, Config{Client: client, Prefix: prefix, Keys: keyring(2)})
	for n := range sessions {
		if got, err := fresh.Load(t.Context(), id(n)); err != nil || !bytes.Equal(got.Data, []byte{byte(n)}) {
			t.Fatalf("session %d: %+v, %v", n, got, err)
		}
	}
	if ids, err := fresh.FindByPeer(t.Context(), "p"); err != nil || len(ids) != sessions || ids[0] != id(sessions-1) {
		t.Errorf("found %d sessions, %v", len(ids), err)
	}
	told := 0
	third := newStore(t, Config{Client: client, Prefix: prefix, Keys: keyring(3, 2), Unreadable: func(channel.SessionID, error) { told++ }})
	if _, err := old.Save(t.Context(), channel.StoredSession{ID: id(999)}); err != nil { // a process that was forgotten
		t.Fatal(err)
	}
	if n, err := third.Reseal(t.Context()); err != nil || n != sessions || told != 1 {
		t.Errorf("%d records, told %d times, %v", n, told, err)
	}
}

func TestSessionsHaveLeases(t *testing.T) {
	s := newStore(t, Config{MaxAge: 24 * time.Hour})
	client := s.config.Client
	leaseOf := func(key string) clientv3.LeaseID {
		answer, err := client.Get(t.Context(), key)
		if err != nil || len(answer.Kvs) != 1 {
			t.Fatalf("%s: %v, %v", key, answer, err)
		}
		return clientv3.LeaseID(answer.Kvs[0].Lease)
	}
	v := save(t, s, channel.StoredSession{ID: id(1), Peer: "p"})
	save(t, s, channel.StoredSession{ID: id(2), Peer: "p"})
	first := leaseOf(s.sessionKey(id(1)))
	if first == 0 || first != leaseOf(s.sessionKey(id(2))) || first != leaseOf(s.tagPrefix(s.index.Tag("p"))+id(1).String()) {
		t.Error("two sessions of one period, and their labels, do not share a lease")
	}
	left, err := client.TimeToLive(t.Context(), first)
	if err != nil || left.GrantedTTL != 25*3600 {
		t.Errorf("time to live %+v, %v, want 25 hours", left, err)
	}
	if leaseOf(s.indexKey()) != 0 {
		t.Error("the index ends with a lease")
	}
	// When the period is over, a save takes the session to a later lease.
	s.lease.until = time.Now()
	v = save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Version: v})
	if second := leaseOf(s.sessionKey(id(1))); second == first {
		t.Error("the lease is the same after its period")
	}
	if _, err := client.Revoke(t.Context(), first); err != nil { // as if it had come to its end
		t.Fatal(err)
	}
	if ids, err := s.FindByPeer(t.Context(), "p"); err != nil || !slices.Equal(ids, []channel.SessionID{id(1)}) {
		t.Errorf("found %v, %v, want the one that was saved again", ids, err)
	}
	if _, err := s.Load(t.Context(), id(2)); !errors.Is(err, channel.ErrNoSession) {
		t.Errorf("a session whose lease has ended: %v", err)
	}
	// A lease that is gone before its time is replaced.
	if _, err := client.Revoke(t.Context(), leaseOf(s.sessionKey(id(1)))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(t.Context(), channel.StoredSession{ID: id(1), Peer: "p", Version: v}); !errors.Is(err, channel.ErrConflict) {
		t.Errorf("saving a session that is gone: %v", err)
	}
	save(t, s, channel.StoredSession{ID: id(3), Peer: "p"})
}

// A save that got through though it seemed to have failed is no conflict when it is tried again, and
// that of another is one.
func TestASaveIsTriedAgain(t *testing.T) {
	s := newStore(t, Config{})
	kv := &forgetful{KV: s.config.Client.KV}
	s.config.Client.KV = kv
	session := channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")}
	for n := range uint64(3) {
		kv.forget = 2
		session.Version = save(t, s, session)
		if got, err := s.Load(t.Context(), id(1)); err != nil || got.Version != n+1 || session.Version != n+1 {
			t.Fatalf("version %d, loaded %+v, %v; want %d", session.Version, got, err, n+1)
		}
	}
	kv.forget, kv.between = 1, func() {
		save(t, s, session) // which somebody else does
	}
	if _, err := s.Save(t.Context(), session); !errors.Is(err, channel.ErrConflict) {
		t.Errorf("an attempt that another has overtaken: %v, want ErrConflict", err)
	}
}

// forgetful commits transactions and loses some of the answers.
type forgetful struct {
	clientv3.KV
	forget  int
	between func()
}

type forgetfulTxn struct {
	clientv3.Txn
	kv *forgetful
}

func (f *forgetful) Txn(ctx context.Context) clientv3.Txn { return &forgetfulTxn{f.KV.Txn(ctx), f} }

func (x *forgetfulTxn) If(c ...clientv3.Cmp) clientv3.Txn  { x.Txn = x.Txn.If(c...); return x }
func (x *forgetfulTxn) Then(o ...clientv3.Op) clientv3.Txn { x.Txn = x.Txn.Then(o...); return x }
func (x *forgetfulTxn) Else(o ...clientv3.Op) clientv3.Txn { x.Txn = x.Txn.Else(o...); return x }
func (x *forgetfulTxn) Commit() (*clientv3.TxnResponse, error) {
	if x.kv.forget > 0 {
		x.kv.forget--
		if between := x.kv.between; between != nil {
			x.kv.between = nil
			between()
			return nil, context.DeadlineExceeded
		}
		if _, err := x.Txn.Commit(); err != nil {
			return nil, err
		}
		return nil, context.DeadlineExceeded
	}
	return x.Txn.Commit()
}

func TestAClusterThatIsAwayIsUnavailable(t *testing.T) {
	client, err := newClient([]string{freeURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	config := Config{Client: client, Keys: keyring(1), Timeout: 300 * time.Millisecond}
	if _, err := New(t.Context(), &config); !errors.Is(err, ErrUnavailable) {
		t.Errorf("New: %v, want ErrUnavailable", err)
	}
	s := newStore(t, Config{})
	s.config.Client, s.config.Timeout = client, config.Timeout
	_, saving := s.Save(t.Context(), channel.StoredSession{ID: id(1)})
	_, loading := s.Load(t.Context(), id(1))
	_, finding := s.FindByPeer(t.Context(), "p")
	for _, err := range []error{saving, loading, finding, s.Delete(t.Context(), id(1))} {
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, channel.ErrConflict) || errors.Is(err, channel.ErrNoSession) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Load(ctx, id(1)); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("after the caller has given up: %v", err)
	}
}

func BenchmarkSave(b *testing.B) {
	s := newStore(b, Config{})
	session := channel.StoredSession{ID: id(1), Peer: "p", Data: make([]byte, 5000)}
	for b.Loop() {
		session.Version = save(b, s, session)
	}
}

func BenchmarkLoad(b *testing.B) {
	s := newStore(b, Config{})
	save(b, s, channel.StoredSession{ID: id(1), Peer: "p", Data: make([]byte, 5000)})
	for b.Loop() {
		if _, err := s.Load(b.Context(), id(1)); err != nil {
			b.Fatal(err)
		}
	}
}
