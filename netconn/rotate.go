package netconn

import (
	"context"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// Rotate gives this end another credential, another signature key, or both, by an update,
// and returns once the peer has confirmed it, like [Conn.Update]. The peer's validator sees the new
// leaf and the one before. If it refuses, the connection ends, with an [*AlertError] at this end.
// An error that says that the key does not fit the cipher suite leaves all as it was.
//
// The session can be resumed only with a Config whose Identity is the new one from then
// on. If the connection ends before Rotate returns, it is under either: have the other one
// among the PreviousIdentities.
func (c *Conn) Rotate(ctx context.Context, identity mls.Identity) error {
	return c.update(ctx, "rotate", func() (uint64, error) { return c.driver.Rotate(identity) })
}

// Revalidate asks Config.Validator about the peer once more, as if it were new: for when
// pins, roots or revocations have changed. The error of a validator that refuses matches
// channel.ErrPeerRefused. What becomes of the connection then is up to action: with
// RefusalClose it ends, the peer is told, and the session is deleted from the store; with RefusalWarn it
// goes on; RefusalKeep does not even return the error. Revalidate performs the handshake
// first if need be.
func (c *Conn) Revalidate(action channel.RefusalAction) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	return c.opError("revalidate", c.orClosed(c.driver.Revalidate(action)))
}
