package netconn

import (
	"context"

	"github.com/mendlink/mendlink/channel"
)

// Update puts fresh key material into the connection, so that whoever has copied this end's
// secrets up to now cannot read on: it begins a new epoch and returns once the peer
// has confirmed it. An update that was under way at the time of the call does not count.
// Data flows on meanwhile. Update performs the handshake first if need be.
//
// The peer confirms when it reads: in Read, while an update of its own is under way, or behind the end of this end's data.
// If it does none of these, Update waits for as long as ctx lets it. At this end, too, what the peer sends has to be read.
// If nobody is in Read, the Conn reads up to 256 KiB of application data ahead; if that is full, the update
// waits for a Read. When ctx ends first, Update returns its error and the update goes on.
func (c *Conn) Update(ctx context.Context) error {
	return c.update(ctx, "update", func() (uint64, error) { return c.driver.Update(channel.ReasonRequested) })
}

// UpdateFull is [Conn.Update] that replaces the post-quantum keys as well, where Config.APQ has led
// to a session with such keys of its own. In other sessions it is Update.
func (c *Conn) UpdateFull(ctx context.Context) error {
	return c.update(ctx, "update", func() (uint64, error) { return c.driver.UpdateFull(channel.ReasonRequested) })
}

// InjectPSK is [Conn.Update] that mixes pre-shared keys, which both ends look up by
// Config.PSK, into the keys. It returns an error that matches mls.ErrUnknownPSK if this end
// does not know them; if the peer does not, that ends the connection.
func (c *Conn) InjectPSK(ctx context.Context, identities ...[]byte) error {
	return c.update(ctx, "update", func() (uint64, error) { return c.driver.InjectPSK(identities...) })
}

// UpdateKeys goes on to the next sending key of the same epoch, and asks the peer for
// the same if request is set. Unlike [Conn.Update] it does not wait for the peer, costs next to
// nothing, and does not heal: whoever has the key has the next one too. What was sent
// before cannot be read with it. The old key is erased once what goes before is sent. UpdateKeys
// performs the handshake first if need be.
func (c *Conn) UpdateKeys(request bool) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	return c.opError("update", c.orClosed(c.driver.Drive(func(s *channel.Session) ([]channel.Event, error) {
		return s.UpdateKeys(request)
	})))
}

// update begins an update and returns once the peer has confirmed it.
func (c *Conn) update(ctx context.Context, op string, begin func() (number uint64, err error)) error {
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	number, err := begin()
	if err == nil {
		err = c.driver.Wait(ctx, number)
	}
	return c.opError(op, c.orClosed(err))
}
