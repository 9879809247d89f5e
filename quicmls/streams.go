package quicmls

import (
	"context"
	"net"
)

// OpenStream opens a bidirectional stream. The peer can accept it once there is data on it, or
// [SendStream.Announce] was called. It fails with a [quic.StreamLimitReachedError] while the peer allows no more.
func (c *Conn) OpenStream() (*Stream, error) {
	if err := c.handshaken(context.Background()); err != nil {
		return nil, err
	}
	q, err := c.quic.OpenStream()
	if err != nil {
		return nil, c.explain(err)
	}
	return newStream(c, q), nil
}

// OpenStreamSync is OpenStream that waits until the peer allows another stream.
func (c *Conn) OpenStreamSync(ctx context.Context) (*Stream, error) {
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	q, err := c.quic.OpenStreamSync(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	return newStream(c, q), nil
}

// OpenUniStream opens a stream in this direction alone, like OpenStream.
func (c *Conn) OpenUniStream() (*SendStream, error) {
	if err := c.handshaken(context.Background()); err != nil {
		return nil, err
	}
	q, err := c.quic.OpenUniStream()
	if err != nil {
		return nil, c.explain(err)
	}
	s := new(SendStream)
	s.init(c, q)
	return s, nil
}

// OpenUniStreamSync is OpenUniStream that waits until the peer allows another stream.
func (c *Conn) OpenUniStreamSync(ctx context.Context) (*SendStream, error) {
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	q, err := c.quic.OpenUniStreamSync(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	s := new(SendStream)
	s.init(c, q)
	return s, nil
}

// AcceptStream waits for the next bidirectional stream that the peer opens.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	q, err := c.quic.AcceptStream(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	return newStream(c, q), nil
}

// AcceptUniStream waits for the next unidirectional stream that the peer opens.
func (c *Conn) AcceptUniStream(ctx context.Context) (*ReceiveStream, error) {
	if err := c.handshaken(ctx); err != nil {
		return nil, err
	}
	q, err := c.quic.AcceptUniStream(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	s := new(ReceiveStream)
	s.init(c, q)
	return s, nil
}

// Listener returns a view of the streams that the peer opens as a [net.Listener]. To close it closes the
// connection, with code 0.
func (c *Conn) Listener() net.Listener { return streamListener{c} }

type streamListener struct{ conn *Conn }

func (l streamListener) Accept() (net.Conn, error) {
	s, err := l.conn.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	return s.NetConn(), nil
}

func (l streamListener) Close() error   { return l.conn.CloseWithError(0, "") }
func (l streamListener) Addr() net.Addr { return l.conn.LocalAddr() }
