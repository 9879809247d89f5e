// Package links knows what is going on: the links that are alive, and what each forward has done since the
// process began. Metrics, the status page and the health check read it; the links feed it.
//
//	channel.Trace ---> Link ---> Forward ---> Registry.Snapshot ---> page, metrics
//
// None of it is secret: who the peer is, how old keys are, how much has flowed.
package links

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/mls"
)

// maxHistory is how many of its latest epochs a Link remembers.
const maxHistory = 120

// A Registry has the forwards of a process. It is safe for concurrent use.
type Registry struct {
	now    func() time.Time
	nextID atomic.Uint64

	// Reloads and ReloadsFailed count reloads of the configuration.
	Reloads, ReloadsFailed atomic.Uint64

	mu       sync.Mutex // guards what follows
	forwards []*Forward
	reload   string // why the last reload failed; empty if it did not
}

// New returns an empty registry.
func New() *Registry { return &Registry{now: time.Now} }

// Reloaded notes that the configuration was reloaded, or why not.
func (r *Registry) Reloaded(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reload = ""
	if err != nil {
		r.ReloadsFailed.Add(1)
		r.reload = "the last reload failed: " + err.Error()
		return
	}
	r.Reloads.Add(1)
}

// A Forward counts what becomes of one forward.
type Forward struct {
	Name, Role, Transport, Listen string

	registry *Registry
	self     func() Self

	// Open is how many forwarded connections there are.
	Open atomic.Int64
	// Connections is how many there were; Turned away is how many had no room.
	Connections, TurnedAway atomic.Uint64
	// Full and Resumed are complete handshakes, Failed is those that were not.
	Full, Resumed, Failed atomic.Uint64
	// Own and Peers count updates by who made them; Rotations is how often a peer has shown another identity,
	// Refusals how often a peer was not, or no more, accepted.
	Own, Peers, Rotations, Refusals atomic.Uint64
	// DialsFailed is attempts to reach the other end of Mendlink, or the service, that failed.
	DialsFailed atomic.Uint64
	// ToPeer and FromPeer are octets of application data.
	ToPeer, FromPeer atomic.Uint64

	mu      sync.Mutex // guards what follows
	links   map[*Link]struct{}
	problem string // why connections cannot be served at the moment; empty if they can
}

// Self is what an end says of itself.
type Self struct {
	Target      string // where it forwards to
	Fingerprint string
	Expiry      time.Time // zero for never
	Err         error     // what is wrong with the files
}

// Add registers a forward. self is asked at each snapshot.
func (r *Registry) Add(name, role, transport, listen string, self func() Self) *Forward {
	f := &Forward{Name: name, Role: role, Transport: transport, Listen: listen, registry: r, self: self, links: make(map[*Link]struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forwards = append(r.forwards, f)
	return f
}

// Remove forgets a forward.
func (r *Registry) Remove(f *Forward) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forwards = slices.DeleteFunc(r.forwards, func(other *Forward) bool { return other == f })
}

// SetProblem says why connections cannot be served now; nil that they can.
func (f *Forward) SetProblem(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = ""
	if err != nil {
		f.problem = err.Error()
	}
}

// Problem reports that connections cannot be served now.
func (f *Forward) Problem() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.problem != ""
}

// A Link is one secure connection between two ends. It becomes visible when its handshake is complete.
type Link struct {
	forward  *Forward
	id       uint64
	remote   string
	streams  atomic.Int64
	toPeer   atomic.Uint64
	fromPeer atomic.Uint64

	mu      sync.Mutex // guards what follows
	update  func(context.Context) error
	session channel.SessionID
	suite   string
	since   time.Time
	resumed bool
	peer    *mls.LeafNode
	epoch   uint64
	history []Point   // the oldest first
	keys    time.Time // when the own private keys were made
	healed  time.Time // the last own update, or resumption; zero if there was none
	own     uint64
	peers   uint64
}

// A Point says when an epoch began.
type Point struct {
	Time  time.Time `json:"time"`
	Epoch uint64    `json:"epoch"`
}

// Begin returns a link that is about to shake hands with whoever is at this address.
func (f *Forward) Begin(remote string) *Link {
	return &Link{forward: f, id: f.registry.nextID.Add(1), remote: remote}
}

// ID numbers the links of a process.
func (l *Link) ID() uint64 { return l.id }

// Trace returns what the link has to be told by its session.
func (l *Link) Trace() *channel.Trace {
	return &channel.Trace{
		Epoch: func(_ channel.SessionID, epoch uint64, _ bool) { l.setEpoch(epoch) },
		Event: l.event,
		Failed: func(_ channel.SessionID, err *channel.Error) {
			if errors.Is(err, channel.ErrPeerRefused) {
				l.forward.Refusals.Add(1)
			}
		},
	}
}

func (l *Link) event(_ channel.SessionID, e channel.Event) {
	f, now := l.forward, l.forward.registry.now()
	switch e := e.(type) {
	case channel.PeerAuthenticated:
		l.mu.Lock()
		l.peer = e.Leaf
		l.mu.Unlock()
	case channel.PeerChanged:
		f.Rotations.Add(1)
		l.mu.Lock()
		l.peer = e.Leaf
		l.mu.Unlock()
	case channel.PeerRefused:
		f.Refusals.Add(1)
	case channel.Updated:
		l.mu.Lock()
		defer l.mu.Unlock()
		if !e.Own {
			f.Peers.Add(1)
			l.peers++
			return
		}
		f.Own.Add(1)
		l.own++
		l.keys, l.healed = now, now
	}
}

func (l *Link) setEpoch(epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.goOn(epoch)
}

// goOn notes that an epoch has begun. l.mu is locked.
func (l *Link) goOn(epoch uint64) {
	l.epoch = epoch
	l.history = append(l.history, Point{l.forward.registry.now(), epoch})
	if len(l.history) > maxHistory {
		l.history = slices.Delete(l.history, 0, len(l.history)-maxHistory)
	}
}

// UpdateBy says how the link's own keys are replaced, for [Registry.Rekey]. It is called before Established.
func (l *Link) UpdateBy(update func(context.Context) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.update = update
}

// Established makes the link visible, whose handshake is complete.
func (l *Link) Established(session channel.SessionID, suite string, epoch uint64, resumed bool, peer *mls.LeafNode) {
	f, now := l.forward, l.forward.registry.now()
	l.mu.Lock()
	l.session, l.suite, l.since, l.resumed = session, suite, now, resumed
	if l.peer == nil {
		l.peer = peer
	}
	if l.keys.IsZero() {
		l.keys = now
	}
	if resumed {
		l.healed = now
	}
	if l.epoch < epoch { // an update may have come since the caller looked
		l.goOn(epoch)
	}
	l.mu.Unlock()
	if resumed {
		f.Resumed.Add(1)
	} else {
		f.Full.Add(1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.links[l] = struct{}{}
}

// Failed counts a handshake that was not completed.
func (l *Link) Failed() { l.forward.Failed.Add(1) }

// End makes the link invisible again.
func (l *Link) End() {
	l.forward.mu.Lock()
	defer l.forward.mu.Unlock()
	delete(l.forward.links, l)
}

// Opened counts a forwarded connection over the link, until closed is called.
func (l *Link) Opened() (closed func()) {
	l.streams.Add(1)
	l.forward.Open.Add(1)
	l.forward.Connections.Add(1)
	return func() {
		l.streams.Add(-1)
		l.forward.Open.Add(-1)
	}
}

// Streams is how many forwarded connections are open over the link.
func (l *Link) Streams() int64 { return l.streams.Load() }

// Sent counts octets to the peer.
func (l *Link) Sent(n int) { l.toPeer.Add(uint64(n)); l.forward.ToPeer.Add(uint64(n)) }

// Received counts octets from the peer.
func (l *Link) Received(n int) { l.fromPeer.Add(uint64(n)); l.forward.FromPeer.Add(uint64(n)) }

// Peer names the peer for a log: the fingerprint of its key.
func (l *Link) Peer() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peer == nil {
		return ""
	}
	return channel.Fingerprint(l.peer.SignatureKey)
}

// PeerName is the name that somebody attests to the peer, empty if there is none.
func (l *Link) PeerName() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peer == nil {
		return ""
	}
	return credentials.AttestedNameOf(l.peer)
}

// Snapshot returns the state of all forwards, in the order in which they were added.
func (r *Registry) Snapshot() Status {
	r.mu.Lock()
	forwards, reload := slices.Clone(r.forwards), r.reload
	r.mu.Unlock()
	s := Status{Time: r.now(), Problem: reload, Reloads: r.Reloads.Load(), ReloadsFailed: r.ReloadsFailed.Load(),
		Forwards: make([]ForwardStatus, 0, len(forwards))}
	for _, f := range forwards {
		s.Forwards = append(s.Forwards, f.status(s.Time))
	}
	return s
}

func (f *Forward) status(now time.Time) ForwardStatus {
	self := f.self()
	s := ForwardStatus{
		Name: f.Name, Role: f.Role, Transport: f.Transport, Listen: f.Listen, Forward: self.Target,
		Fingerprint: self.Fingerprint, Expires: timeOrNil(self.Expiry),
		Open: f.Open.Load(), Connections: f.Connections.Load(), TurnedAway: f.TurnedAway.Load(),
		HandshakesFull: f.Full.Load(), HandshakesResumed: f.Resumed.Load(), HandshakesFailed: f.Failed.Load(),
		UpdatesOwn: f.Own.Load(), UpdatesPeer: f.Peers.Load(), PeerRotations: f.Rotations.Load(), PeerRefusals: f.Refusals.Load(),
		DialsFailed: f.DialsFailed.Load(), BytesToPeer: f.ToPeer.Load(), BytesFromPeer: f.FromPeer.Load(),
		Links: []LinkStatus{},
	}
	f.mu.Lock()
	if f.problem != "" {
		s.Problems = append(s.Problems, f.problem)
	}
	live := make([]*Link, 0, len(f.links))
	for l := range f.links {
		live = append(live, l)
	}
	f.mu.Unlock()
	if self.Err != nil {
		s.Problems = append(s.Problems, self.Err.Error())
	}
	for _, l := range live {
		s.Links = append(s.Links, l.status(now))
	}
	slices.SortFunc(s.Links, func(a, b LinkStatus) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

func (l *Link) status(now time.Time) LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LinkStatus{
		ID: l.id, Remote: l.remote, Session: l.session.String(), Suite: l.suite, Since: l.since, Resumed: l.resumed,
		Epoch: l.epoch, Epochs: slices.Clone(l.history), KeyAge: max(0, now.Sub(l.keys).Seconds()), LastHeal: timeOrNil(l.healed),
		UpdatesOwn: l.own, UpdatesPeer: l.peers, Streams: l.streams.Load(), BytesToPeer: l.toPeer.Load(), BytesFromPeer: l.fromPeer.Load(),
	}
	if l.peer != nil {
		s.Peer, s.Name = channel.Fingerprint(l.peer.SignatureKey), credentials.NameOf(l.peer)
		if expiry, err := channel.CredentialExpiry(l.peer.Credential); err == nil {
			s.Expires = timeOrNil(expiry)
		}
	}
	return s
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
