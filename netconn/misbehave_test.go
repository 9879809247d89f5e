package netconn

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// A peer that is authenticated, and then breaks the rules under its own good keys.
func TestAPeerThatBreaksTheRulesIsToldSo(t *testing.T) {
	const data, handshake, alert = record.ContentApplicationData, record.ContentHandshake, record.ContentAlert
	type rec struct {
		t       record.ContentType
		content string
	}
	idle := make([]rec, maxIdleRecords+1)
	for i := range idle {
		idle[i].t = data
	}
	for _, c := range []struct {
		name    string
		records []rec
		want    error
		alert   channel.Alert
	}{
		{"unknown content type", []rec{{20, "x"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"empty message record", []rec{{handshake, ""}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"data inside a message", []rec{{handshake, "\xe3\x00"}, {data, "x"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"alert inside a message", []rec{{handshake, "\xe3\x00"}, {alert, "\x02\x00"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"short alert", []rec{{alert, "\x02"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"long alert", []rec{{alert, "\x02\x00\x00"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"data after close_notify", []rec{{alert, "\x01\x00"}, {data, "x"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"close_notify twice", []rec{{alert, "\x01\x00"}, {alert, "\x01\x00"}}, record.ErrUnexpected, channel.AlertUnexpectedMessage},
		{"records without end that hold nothing", idle, ErrIdleRecords, channel.AlertUnexpectedMessage},
		{"oversized message", []rec{{handshake, "\xe3\xff\xff\xff"}}, channel.ErrMessageSize, channel.AlertRecordOverflow},
		{"hello under keys", []rec{{handshake, "\xe0\x00\x00\x00"}}, channel.ErrUnexpectedMessage, channel.AlertUnexpectedMessage},
		{"a message that TLS has", []rec{{handshake, "\x18\x00\x00\x01\x00"}}, channel.ErrUnexpectedMessage, channel.AlertUnexpectedMessage},
		{"acknowledgement of nothing", []rec{{handshake, "\xe4\x00\x00\x01x"}}, channel.ErrUnexpectedMessage, channel.AlertUnexpectedMessage},
		{"garbage as an update", []rec{{handshake, "\xe3\x00\x00\x01x"}}, nil, channel.AlertDecodeError},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			client.sender.mu.Lock()
			client.sender.room(1)
			for _, r := range c.records {
				if err := client.sender.seal(r.t, []byte(r.content)); err != nil {
					t.Fatal(err)
				}
			}
			client.sender.flush()
			client.sender.mu.Unlock()
			// After close_notify Read says io.EOF without looking further; an update does look.
			if _, err := server.Read(make([]byte, 10)); err == io.EOF {
				if err := server.Update(t.Context()); err == nil {
					t.Error("an update comes through")
				}
			}
			_, err := server.Read(make([]byte, 10))
			if err == io.EOF {
				server.receiver.mu.Lock()
				err = server.receiver.err
				server.receiver.mu.Unlock()
			}
			var ours *channel.Error
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &ours) {
				t.Errorf("Read: %v, want %v", err, c.want)
			}
			if _, err := server.Write([]byte("x")); err == nil {
				t.Error("Write goes on")
			}
			_, err = client.Read(make([]byte, 10))
			var told *AlertError
			if !errors.As(err, &told) || !told.Authenticated || told.Alert != c.alert {
				t.Errorf("the peer gets %v, want an authentic %v", err, c.alert)
			}
		})
	}
}

// What anybody could have put into the transport must not pass for the peer's.
func TestRecordsInTheClearAreRefusedAfterTheHandshake(t *testing.T) {
	for name, injected := range map[string]string{
		"close_notify":       "\x15\x03\x03\x00\x02\x01\x00",
		"alert":              "\x15\x03\x03\x00\x02\x02\x28",
		"message":            "\x16\x03\x03\x00\x0c\xe5\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x02",
		"data":               "\x17\x03\x03\x00\x01x",
		"forged data":        "\x17\x03\x03\x00\x1312345678901234567890"[:24],
		"HTTP":               "HTTP/1.1 200 OK\r\n\r\n",
		"oversized record":   "\x17\x03\x03\xff\xff",
		"another version":    "\x17\x03\x01\x00\x13",
		"change_cipher_spec": "\x14\x03\x03\x00\x01\x01",
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			if _, err := io.WriteString(client.NetConn(), injected); err != nil {
				t.Fatal(err)
			}
			_, err := server.Read(make([]byte, 10))
			var alert *AlertError
			if err == nil || err == io.EOF || errors.As(err, &alert) {
				t.Errorf("Read: %v", err)
			}
			if _, again := server.Read(make([]byte, 10)); again == nil || again == io.EOF {
				t.Errorf("Read once more: %v", again)
			}
		})
	}
}

// Keys change at the end of a record: nothing may follow the message that changes them.
func TestNothingFollowsAKeyChangeInItsRecord(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, am := net.Pipe()
	bm, b := net.Pipe()
	client, server := Client(a, ic), Server(b, rc)
	go io.Copy(bm, am)
	go func() {
		defer am.Close()
		hello := make([]byte, record.MaxRecord)
		if _, err := io.ReadFull(bm, hello[:record.HeaderSize]); err != nil {
			return
		}
		h, err := record.ParseHeader(hello)
		if err != nil {
			return
		}
		io.ReadFull(bm, hello[record.HeaderSize:record.HeaderSize+h.Length])
		content := append(hello[record.HeaderSize:record.HeaderSize+h.Length:record.MaxRecord], 0xe5)
		longer, _ := record.AppendPlaintext(nil, record.ContentHandshake, content)
		am.Write(longer)
		io.Copy(io.Discard, bm)
	}()
	clientErr, _ := func() (error, error) {
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		err := client.Handshake()
		client.Close()
		server.Close()
		am.Close()
		bm.Close()
		return err, <-done
	}()
	if !errors.Is(clientErr, record.ErrUnexpected) {
		t.Errorf("%v, want record.ErrUnexpected", clientErr)
	}
}
