package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/netconn"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A recordingStore remembers all that an initiator has ever saved.
type recordingStore struct {
	channel.Store

	mu    sync.Mutex
	saved []channel.StoredSession
}

func (r *recordingStore) Save(ctx context.Context, s channel.StoredSession) (uint64, error) {
	version, err := r.Store.Save(ctx, s)
	if err == nil {
		s.Version, s.Data = version, slices.Clone(s.Data)
		r.mu.Lock()
		r.saved = append(r.saved, s)
		r.mu.Unlock()
	}
	return version, err
}

// A place is a session in one of its epochs.
type place struct {
	session channel.SessionID
	epoch   uint64
}

// A chronicle has what all states of both ends say about epochs. A session that has gone two
// ways has an epoch with two authenticators, as each depends on all commits before it.
type chronicle struct {
	authenticators map[place][]byte
	states         int
}

// note adds a state that an end has saved, and returns its epoch.
func (c *chronicle) note(config *netconn.Config, s channel.StoredSession) (epoch uint64, err error) {
	group, err := s.Group(&channel.Config{Identity: config.Identity, Validator: config.Validator, Suites: config.Suites, Now: time.Now})
	if err != nil {
		return 0, err
	}
	defer group.Erase()
	c.states++
	at := place{s.ID, group.Epoch()}
	if known := c.authenticators[at]; known == nil {
		c.authenticators[at] = bytes.Clone(group.EpochAuthenticator())
	} else if !bytes.Equal(known, group.EpochAuthenticator()) {
		return 0, fmt.Errorf("session %v has forked: there are two epochs %d", s.ID, at.epoch)
	}
	return at.epoch, nil
}

// verifyHistories looks at each state of each session that was ever in etcd, and at those that
// initiators had: each session has gone one way, forwards, and both ends the same.
func verifyHistories(t *testing.T, c *cluster, prefix string, links []*link) {
	t.Helper()
	story := &chronicle{authenticators: make(map[place][]byte)}
	for _, l := range links {
		epochs := make(map[channel.SessionID]uint64)
		for _, s := range l.store.saved {
			epoch, err := story.note(l.config, s)
			if err != nil || epoch < epochs[s.ID] {
				t.Fatalf("%s, session %v: epoch %d after %d, %v", l.name, s.ID, epoch, epochs[s.ID], err)
			}
			epochs[s.ID] = epoch
		}
	}
	initiators, theirs := story.states, maps.Clone(story.authenticators)

	config, err := linkConfig("responder", nil, initiatorNames(len(links))...)
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, Config{Prefix: prefix})
	versions, epochs, shared := make(map[channel.SessionID]int64), make(map[channel.SessionID]uint64), make(map[channel.SessionID]int)
	for _, event := range history(t, c.client(t), store.sessionsPrefix()) {
		id, err := parseID(string(event.Kv.Key[len(store.sessionsPrefix()):]))
		if err != nil {
			t.Fatal(err)
		}
		if event.Type == clientv3.EventTypeDelete {
			versions[id] = -1 // it must not come back
			continue
		}
		if event.Kv.Version != versions[id]+1 || versions[id] < 0 {
			t.Fatalf("session %v: version %d after %d", id, event.Kv.Version, versions[id])
		}
		versions[id] = event.Kv.Version
		s, err := store.open(id, event.Kv.Version, event.Kv.Value)
		if err != nil {
			t.Fatalf("session %v, version %d: %v", id, event.Kv.Version, err)
		}
		if len(s.Data) == 0 { // given up
			continue
		}
		epoch, err := story.note(config, s)
		if err != nil || epoch < epochs[id] {
			t.Fatalf("session %v, version %d: epoch %d after %d, %v", id, event.Kv.Version, epoch, epochs[id], err)
		}
		epochs[id] = epoch
		if theirs[place{id, epoch}] != nil {
			shared[id]++
		}
	}
	// At a resumption the initiator goes on by two epochs at once, so that not all are shared.
	for id := range versions {
		if shared[id] == 0 {
			t.Errorf("session %v: no initiator was ever in an epoch of its", id)
		}
	}
	if len(versions) < len(links) {
		t.Errorf("%d sessions for %d links", len(versions), len(links))
	}
	t.Logf("%d sessions, %d epochs; %d states of initiators and %d of responders agree on them", len(versions), len(story.authenticators), initiators, story.states-initiators)
}

// What TestLinksOutliveTheirResponders looks for is found where it is: here both ends go on
// twice from one state, as with a store that does not compare versions.
func TestAForkIsNoticed(t *testing.T) {
	stores := [2]*recordingStore{{Store: channel.NewMemoryStore(0)}, {Store: channel.NewMemoryStore(0)}}
	initiator, err := linkConfig(initiatorName(0), stores[0], "responder")
	if err != nil {
		t.Fatal(err)
	}
	responder, err := linkConfig("responder", stores[1], initiatorName(0))
	if err != nil {
		t.Fatal(err)
	}
	connect := func() {
		t.Helper()
		listener, err := netconn.Listen("tcp", "127.0.0.1:0", responder)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		defer func() {
			listener.Close()
			<-served
		}()
		go func() {
			defer close(served)
			if conn, err := listener.Accept(); err == nil {
				defer conn.Close()
				io.Copy(conn, conn)
			}
		}()
		conn, err := dial(t.Context(), listener.Addr().String(), initiator)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := exchange(conn, true); err != nil {
			t.Fatal(err)
		}
	}
	story := func(n int, config *netconn.Config) (err error) {
		c := &chronicle{authenticators: make(map[place][]byte)}
		stores[n].mu.Lock()
		defer stores[n].mu.Unlock()
		for _, s := range stores[n].saved {
			if _, e := c.note(config, s); e != nil {
				err = e
			}
		}
		return err
	}
	connect()
	before := [2]channel.StoredSession{last(stores[0]), last(stores[1])}
	for range 2 {
		for n, s := range before {
			stores[n].Store = channel.NewMemoryStore(0)
			s.Version = 0
			if _, err := stores[n].Store.Save(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(story(0, initiator), story(1, responder)); err != nil {
			t.Fatalf("before the fork: %v", err)
		}
		connect()
	}
	for n, config := range []*netconn.Config{initiator, responder} {
		if err := story(n, config); err == nil {
			t.Errorf("the fork does not show in the history of end %d", n)
		}
	}
}

// last returns what was saved last.
func last(r *recordingStore) channel.StoredSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.saved[len(r.saved)-1]
	s.Data = slices.Clone(s.Data)
	return s
}

// history returns all that ever happened to keys with a prefix.
func history(t *testing.T, client *clientv3.Client, prefix string) (events []*clientv3.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end := prefix + "~" // behind all IDs
	if _, err := client.Put(ctx, end, ""); err != nil {
		t.Fatal(err)
	}
	for answer := range client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		if err := answer.Err(); err != nil {
			t.Fatal(err)
		}
		for _, event := range answer.Events {
			if string(event.Kv.Key) == end {
				return events
			}
			events = append(events, event)
		}
	}
	t.Fatal("the history has no end")
	return nil
}
