package rivals

import (
	"errors"
	"net"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

// A Dialer makes TCP connections on loopback.
type Dialer struct{ listener net.Listener }

// NewDialer returns a Dialer, which is to be closed.
func NewDialer() (*Dialer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Dialer{l}, nil
}

// Close stops listening.
func (d *Dialer) Close() error { return d.listener.Close() }

// Connect is connecting, accepting, and closing both ends.
func (d *Dialer) Connect() measure.Op { return measure.Repeat(d.connect) }

func (d *Dialer) connect() error {
	client, server, err := d.Pair()
	if err != nil {
		return err
	}
	return errors.Join(client.Close(), server.Close())
}

// Pair returns both ends of a new connection.
func (d *Dialer) Pair() (client, server net.Conn, err error) {
	if client, err = net.Dial("tcp", d.listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	if server, err = d.listener.Accept(); err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, server, nil
}
