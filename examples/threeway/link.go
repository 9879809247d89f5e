package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
)

// A link is a Mendlink connection between two parties, both ends of which are here.
type link struct {
	dialled, accepted end
}

// An end of a link carries octet strings.
type end struct {
	*party
	conn *netconn.Conn
	in   *gob.Decoder
	out  *gob.Encoder
}

func newEnd(p *party, c *netconn.Conn) end {
	return end{p, c, gob.NewDecoder(c), gob.NewEncoder(c)}
}

// connect connects two parties, who accept each other and nobody else, over loopback.
func connect(ctx context.Context, dialling, accepting *party) (*link, error) {
	a, b, err := linkConfigs(dialling, accepting)
	if err != nil {
		return nil, err
	}
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", b)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	accepted := make(chan error, 1)
	var server net.Conn
	go func() {
		var err error
		if server, err = listener.Accept(); err == nil {
			err = server.(*netconn.Conn).HandshakeContext(ctx)
		}
		accepted <- err
	}()
	client, err := (&netconn.Dialer{Config: a}).DialContext(ctx, "tcp", listener.Addr().String())
	if err != nil {
		listener.Close() // in case nobody came
	}
	if err := errors.Join(err, <-accepted); err != nil {
		return nil, err
	}
	return &link{newEnd(dialling, client.(*netconn.Conn)), newEnd(accepting, server.(*netconn.Conn))}, nil
}

func linkConfigs(a, b *party) (forA, forB *netconn.Config, err error) {
	onlyA, err := identity.NewPinned(a.identity.Signer.Public())
	if err != nil {
		return nil, nil, err
	}
	onlyB, err := identity.NewPinned(b.identity.Signer.Public())
	return &netconn.Config{Identity: a.identity, Validator: onlyB}, &netconn.Config{Identity: b.identity, Validator: onlyA}, err
}

// branch makes the group: a key package goes one way over the link, and a Welcome the other.
func (l *link) branch() error {
	founder, joiner := l.dialled, l.accepted
	keyPackage, err := joiner.conn.BranchKeyPackage(channel.BranchOptions{Config: joiner.config})
	if err != nil {
		return err
	}
	if keyPackage, err = carry(joiner, founder, keyPackage); err != nil {
		return err
	}
	group, welcome, err := founder.conn.Branch(keyPackage, channel.BranchOptions{Config: founder.config})
	if err != nil {
		return err
	}
	founder.group = group
	if welcome, err = carry(founder, joiner, welcome); err != nil {
		return err
	}
	joiner.group, err = joiner.conn.JoinBranch(welcome)
	return err
}

// carry sends data from one end to the other, and returns what arrives.
func carry(from, to end, data []byte) (got []byte, err error) {
	sent := make(chan error, 1)
	go func() { sent <- from.out.Encode(data) }()
	err = to.in.Decode(&got)
	return got, errors.Join(err, <-sent)
}

// works checks that both ends can put fresh keys into the link, and talk.
func (l *link) works(ctx context.Context) error {
	for _, ends := range [][2]end{{l.dialled, l.accepted}, {l.accepted, l.dialled}} {
		before := l.epoch()
		updated := make(chan error, 1)
		go func() {
			err := ends[0].conn.Update(ctx)
			updated <- errors.Join(err, ends[0].out.Encode([]byte("healed")))
		}()
		var got []byte
		err := ends[1].in.Decode(&got) // an update needs the other end to read
		if err := errors.Join(err, <-updated); err != nil {
			return fmt.Errorf("the link does not work: %w", err)
		}
		if string(got) != "healed" || l.epoch() <= before {
			return fmt.Errorf("%q over the link, in epoch %d after %d", got, l.epoch(), before)
		}
	}
	return nil
}

func (l *link) epoch() uint64 { return l.dialled.conn.ConnectionState().Epoch }

// close may be called twice.
func (l *link) close() {
	l.dialled.conn.Close()
	l.accepted.conn.Close()
}
