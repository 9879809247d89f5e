package quicmls

import (
	"context"
	"errors"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
)

// SendDatagram sends p in a QUIC datagram (RFC 9221), which may be lost, come late or out of order, but
// is never delivered twice. It adds record.DatagramOverhead octets, of which the
// [quic.DatagramTooLargeError] of a p that does not fit takes account.
func (c *Conn) SendDatagram(p []byte) error {
	if err := c.handshaken(context.Background()); err != nil {
		return err
	}
	buf := getBuffer(datagramBuffers)
	defer buf.release()
	sealed, worn, err := c.sending.sealDatagram(buf.data[:0], p)
	if err != nil {
		if errors.Is(err, record.ErrErased) {
			return c.closedBy()
		}
		return err
	}
	c.driver.Count(1, len(p), worn)
	err = c.quic.SendDatagram(sealed)
	if tooLarge, ok := errors.AsType[*quic.DatagramTooLargeError](err); ok {
		return &quic.DatagramTooLargeError{MaxDatagramPayloadSize: max(0, tooLarge.MaxDatagramPayloadSize-record.DatagramOverhead)}
	}
	return c.explain(err)
}

// ReceiveDatagram waits for the next datagram. Those that are no good, as they are changed, or
// come twice or too late, are passed over in silence.
func (c *Conn) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	for {
		b, err := c.quic.ReceiveDatagram(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx) // which may say that another connection has ended, and not this one
		case err != nil:
			return nil, c.explain(err)
		}
		content, err := c.openDatagram(ctx, b)
		if err == nil {
			return content, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if c.ctx.Err() != nil {
			return nil, c.closedBy()
		}
	}
}

// openDatagram opens a datagram, and waits for its epoch if the control stream is about to
// announce that.
func (c *Conn) openDatagram(ctx context.Context, b []byte) ([]byte, error) {
	for {
		content, worn, wait, err := c.receiving.openDatagram(b)
		switch {
		case err != nil:
			return nil, err
		case wait == nil:
			c.driver.Count(1, len(content), worn)
			return content, nil
		case !c.comes(wait):
			return nil, ErrEpochGone
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.ctx.Done():
			return nil, c.closedBy()
		}
	}
}
