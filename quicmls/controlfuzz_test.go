package quicmls

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// detached returns an end without a QUIC connection, whose control stream is in and out.
// Its session has taken its first step.
func detached(t testing.TB, config *Config, initiator bool, in io.Reader, out io.Writer) *Conn {
	t.Helper()
	config, err := config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{initiator: initiator, handshake: &handshakeState{config: config}}
	c.ctx, c.cancel = context.WithCancelCause(t.Context())
	t.Cleanup(func() { c.cancel(nil) })
	c.control.conn = c
	c.control.in, c.control.out = in, out
	c.configure(config)
	newSession := channel.NewResponder
	if initiator {
		newSession = channel.NewInitiator
	}
	session, err := newSession(&config.Config)
	if err == nil {
		err = c.driver.Start(session, func(s *channel.Session) ([]channel.Event, error) { return s.Start(c.ctx) })
	}
	if err == nil {
		err = c.control.flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// takeAll takes in what there is, as serve does, and returns why it does not go on.
func takeAll(c *Conn) error {
	for {
		if err := takeOne(c); err != nil {
			return err
		}
		if err := c.control.flush(); err != nil {
			return err
		}
	}
}

// takeOne takes in one record.
func takeOne(c *Conn) error {
	if err := c.control.wait(); err != nil {
		return err
	}
	return c.control.step()
}

// release ends a detached end.
func release(c *Conn) {
	c.driver.Fail(io.ErrClosedPipe)
	c.driver.Close()
	c.control.erase()
	c.sending.erase()
	c.receiving.erase()
}

// detachedPair returns two ends whose handshake is complete. What they send goes to the
// other's in.
func detachedPair(t testing.TB, ic, rc *Config) (client, server *Conn, toClient, toServer *bytes.Buffer) {
	t.Helper()
	toClient, toServer = new(bytes.Buffer), new(bytes.Buffer)
	client = detached(t, ic, true, toClient, toServer)
	server = detached(t, rc, false, toServer, toClient)
	for _, c := range []*Conn{server, client, server} {
		if err := takeAll(c); err != ErrControl { // for the moment there is no more
			t.Fatal(err)
		}
	}
	if !client.handshake.ready || !server.handshake.ready {
		t.Fatal("the handshake is not complete")
	}
	return client, server, toClient, toServer
}

// Whatever comes before there are keys is an error in the end: never a handshake or a panic.
func FuzzControlInTheClear(f *testing.F) {
	ic, rc := newConfigs(f)
	var hello bytes.Buffer
	release(detached(f, ic, true, new(bytes.Buffer), &hello))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), false)
	f.Add([]byte("\x16\x03\x03\x00\x04\xe0\x00\x00\x00"), true)
	f.Add([]byte("\x15\x03\x03\x00\x02\x01\x00"), true)
	f.Add([]byte("\x17\x03\x03\x00\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), false)
	f.Add(hello.Bytes(), false)
	f.Add(hello.Bytes(), true)
	f.Add(append(hello.Bytes(), hello.Bytes()...), false)
	f.Fuzz(func(t *testing.T, in []byte, initiator bool) {
		config := rc
		if initiator {
			config = ic
		}
		c := detached(t, config, initiator, bytes.NewReader(in), io.Discard)
		defer release(c)
		if err := takeAll(c); err == nil || err == io.EOF || c.handshake.ready {
			t.Fatalf("complete: %t, %v", c.handshake.ready, err)
		}
	})
}

// An end that has completed the handshake may say whatever it likes, well sealed: the other ends
// the connection or goes on, and is in the same epoch either way. in is a list of records: a type, a
// length of two octets, and the content.
func FuzzControlOfAPeer(f *testing.F) {
	ic, rc := newConfigs(f)
	one := func(t record.ContentType, content string) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{byte(t)}, uint16(len(content))), content...)
	}
	f.Add(one(record.ContentHandshake, "\xe5\x00\x00\x18xxxxxxxxxxxxxxxxxxxxxxxx"), true)
	f.Add(one(record.ContentHandshake, "\xe3\x00\x00\x04xxxx"), false)
	f.Add(one(record.ContentHandshake, "\xea\x00\x00\x01\x01"), true)
	f.Add(bytes.Repeat(one(record.ContentHandshake, "\xea\x00\x00\x01\x01"), 20), false)
	f.Add(one(record.ContentHandshake, "\xea\x00\x00\x01\x01\xea\x00\x00\x01\x01"), true)
	f.Add(one(record.ContentHandshake, "\xe3\xff\xff\xff"), true)
	f.Add(one(record.ContentAlert, "\x02\x00"), false)
	f.Add(one(record.ContentApplicationData, "data"), true)
	f.Add(one(record.ContentEpochEnd, ""), false)
	f.Fuzz(func(t *testing.T, in []byte, byInitiator bool) {
		client, server, toClient, toServer := detachedPair(t, ic, rc)
		defer release(client)
		defer release(server)
		evil, victim, to := client, server, toServer
		if !byInitiator {
			evil, victim, to = server, client, toClient
		}
		stepping := "\xea\x00\x00\x01" // a KeyUpdate
		records := 0
		for len(in) >= 3 {
			kind, size := record.ContentType(in[0]), min(int(binary.BigEndian.Uint16(in[1:])), len(in)-3)
			content := in[3 : 3+size]
			in = in[3+size:]
			sealed, err := evil.control.protection.Seal(nil, kind, content)
			if err != nil {
				break // there is no such record
			}
			to.Write(sealed)
			records++
			if kind == record.ContentHandshake && (string(content) == stepping+"\x00" || string(content) == stepping+"\x01") {
				if err := evil.control.protection.Update(); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := takeAll(victim)
		if epoch := victim.driver.State().Epoch; err == nil || err == io.EOF || epoch != 1 {
			t.Fatalf("%d records: epoch %d, %v", records, epoch, err)
		}
	})
}
