package netconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// SetEarlyData gives the initiator the first octets of its stream before the handshake, so
// that they travel with the first flight if a session is resumed and the peer accepts
// as many. The Conn keeps a copy. It fails once the handshake has begun, or on the responder.
//
// If the peer has not taken them, the Conn sends them at the end of the handshake, which then
// is not over before the transport has them. So the peer's Read sees the same stream either way, with one exception, of which
// [ConnectionState].EarlyData tells: EarlyDataUnknown.
//
// Early data is protected by less than what follows: whoever steals this end's stored session before the
// peer has answered, or the peer's before the first flight arrives, reads it. It cannot be
// replayed, but somebody on the network can have it delivered over a connection that
// is never completed; only a peer that calls [Conn.ReadEarlyData] takes it from there.
func (c *Conn) SetEarlyData(data []byte) error {
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	switch {
	case !c.initiator:
		return errors.New("netconn: early data of a responder")
	case c.opening == nil || !c.opening.end.IsZero() || c.handshakeErr != nil || c.opening.started:
		return fmt.Errorf("netconn: early data after the handshake has begun: %w", channel.ErrStarted)
	}
	c.opening.early = bytes.Clone(data)
	return nil
}

// takeEarly returns what the sender has to do about early data once the handshake is complete.
func (c *Conn) takeEarly() (items []outItem) {
	data := c.opening.early
	c.opening.early = nil
	if c.opening.fate != channel.EarlyDataRejected {
		return nil
	}
	for len(data) > 0 {
		k := min(len(data), record.MaxPlaintext)
		items = append(items, outItem{data: data[:k]})
		data = data[k:]
	}
	return items
}

// ReadEarlyData returns early data as soon as it is there, before the handshake is
// complete, or nil once that is complete without. Read returns such data too, first of all, but
// not before the handshake is complete. There is none unless Config.MaxEarlyData is
// positive, and all of it comes at once.
//
// It comes from the peer that the session was made with, which may be cut off already. This
// end's next call of Handshake, Read or Write completes the handshake, within what is left
// of Config.HandshakeTimeout. If that fails, the data has been delivered all the same, and is
// not delivered again. Errors are those of [Conn.HandshakeContext].
func (c *Conn) ReadEarlyData(ctx context.Context) ([]byte, error) {
	if !c.driver.Established() {
		if err := c.handshake(ctx, true); err != nil {
			return nil, err
		}
	}
	return c.receiver.ahead.takeEarly(), nil
}
