package links

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
)

var (
	// ErrNoForward means that there is no forward of a name.
	ErrNoForward = errors.New("links: there is no forward of that name")
	// ErrNoPeer means that no link is up with a peer.
	ErrNoPeer = errors.New("links: no link is up with that peer")
)

// A Rekeyed says what has become of replacing the own keys of a link.
type Rekeyed struct {
	Forward string `json:"forward"`
	Link    uint64 `json:"link"`
	Peer    string `json:"peer"`  // fingerprint of its key
	Error   string `json:"error"` // why the peer has not confirmed; empty if it has
}

// Rekey replaces the own keys of all links at once, or of those of a forward, or with a peer, that are not empty. A
// peer is named by the fingerprint of its key, or as somebody attests it. Rekey returns when each peer has
// confirmed, or ctx has ended; what is under way then goes on. The error matches [ErrNoForward] or [ErrNoPeer] if there
// is nothing of that name.
func (r *Registry) Rekey(ctx context.Context, forward, peer string) ([]Rekeyed, error) {
	r.mu.Lock()
	forwards := slices.Clone(r.forwards)
	r.mu.Unlock()
	if forward != "" {
		forwards = slices.DeleteFunc(forwards, func(f *Forward) bool { return f.Name != forward })
		if len(forwards) == 0 {
			return nil, fmt.Errorf("%w: %q", ErrNoForward, forward)
		}
	}
	var live []*Link
	for _, f := range forwards {
		f.mu.Lock()
		for l := range f.links {
			if peer == "" || l.isWith(peer) {
				live = append(live, l)
			}
		}
		f.mu.Unlock()
	}
	if peer != "" && len(live) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoPeer, peer)
	}
	slices.SortFunc(live, func(a, b *Link) int { return cmp.Compare(a.id, b.id) })
	all := make([]Rekeyed, len(live))
	var updates sync.WaitGroup
	for i, l := range live {
		updates.Go(func() { all[i] = l.rekey(ctx) })
	}
	updates.Wait()
	return all, nil
}

// isWith reports whether the peer is called that.
func (l *Link) isWith(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.peer == nil {
		return false
	}
	return credentials.AttestedNameOf(l.peer) == name || channel.Fingerprint(l.peer.SignatureKey) == name
}

func (l *Link) rekey(ctx context.Context) Rekeyed {
	l.mu.Lock()
	update := l.update
	l.mu.Unlock()
	result := Rekeyed{Forward: l.forward.Name, Link: l.id, Peer: l.Peer()}
	switch err := update(ctx); {
	case errors.Is(err, context.DeadlineExceeded):
		result.Error = "the peer has not confirmed yet: it may not be reading"
	case err != nil:
		result.Error = err.Error()
	}
	return result
}
