package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/bench/internal/channels"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/quic-go/quic-go"
)

// setUps are ways to a new connection. That with a throw-away certificate knows
// nobody until a channel has done its handshake inside, so this stands beside it.
func (c curve) setUps() ([]contestant, func() error, error) {
	mutual, err := c.mutual()
	if err != nil {
		return nil, nil, err
	}
	throwAway, err := c.throwAway()
	if err != nil {
		return nil, nil, errors.Join(err, mutual.close())
	}
	keyed, err := c.keyed()
	if err != nil {
		return nil, nil, errors.Join(err, mutual.close(), throwAway.close())
	}
	end := func() error { return errors.Join(mutual.close(), throwAway.close(), keyed.close()) }
	pair, err := channels.NewPair(c.suite, false)
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return []contestant{
		{"keyed by the group", measure.Repeat(keyed.setUp)},
		{"mutual certificates", measure.Repeat(mutual.setUp)},
		{"throw-away certificate", measure.Repeat(throwAway.setUp)},
		{"handshake of a channel, in memory", pair.Handshake()},
	}, end, nil
}

// healings are ways to get rid of who has stolen an end's secrets: an update with a
// connection that takes over from the one before, with one stream; and an update
// alone, which is enough where packets are protected inside of the connection.
func (c curve) healings() ([]contestant, func() error, error) {
	keyed, err := c.keyed()
	if err != nil {
		return nil, nil, err
	}
	client, server, err := keyed.connect()
	if err != nil {
		return nil, nil, errors.Join(err, keyed.close())
	}
	s := keyed.session
	move := func() error {
		if err := s.client.Update(ctx); err != nil {
			return err
		}
		freshClient, freshServer, err := keyed.connect()
		if err != nil {
			return err
		}
		if err := errors.Join(touch(freshClient, freshServer), client.CloseWithError(0, ""), server.CloseWithError(0, "")); err != nil {
			return err
		}
		client, server = freshClient, freshServer
		return nil
	}
	return []contestant{
		{"update and a new connection", measure.Repeat(move)},
		{"update alone", measure.Repeat(func() error { return s.client.Update(ctx) })},
	}, keyed.close, nil
}

// touch opens a stream and sends an octet to and fro.
func touch(client, server *quic.Conn) error {
	out, err := client.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	octet := []byte{1}
	if _, err := out.Write(octet); err != nil {
		return err
	}
	in, err := server.AcceptStream(ctx)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(in, octet); err != nil {
		return err
	}
	if _, err := in.Write(octet); err != nil {
		return err
	}
	if _, err := io.ReadFull(out, octet); err != nil {
		return err
	}
	if octet[0] != 1 {
		return fmt.Errorf("%d came back", octet[0])
	}
	return nil
}
