package forward

import (
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

// trace returns what has link know what its session does, and logs who the ends are as that changes.
func (f *Forward) trace(link *links.Link) *channel.Trace {
	t := link.Trace()
	told, log := t.Event, f.log.With("link", link.ID())
	t.Event = func(id channel.SessionID, e channel.Event) {
		told(id, e)
		switch e := e.(type) {
		case channel.Updated:
			if e.Own && e.Reason == channel.ReasonIdentity {
				log.Info("own identity rotated in the living link")
			}
		case channel.PeerChanged:
			log.Info("the peer shows another identity", "peer", link.Peer(), "name", credentials.NameOf(e.Leaf), credentials.Expires(e.Leaf.Credential))
		case channel.PeerRefused:
			log.Warn("the peer is not accepted any more", "peer", link.Peer(), "error", e.Err)
		}
	}
	return t
}
