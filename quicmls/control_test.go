package quicmls

import (
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// A peer that asks for other keys again and again, and does not read the control stream, cannot make
// this end keep much for it. What comes afterwards is as it should be.
func TestRequestsForKeysDoNotPileUp(t *testing.T) {
	ic, rc := newConfigs(t)
	client, server, toClient, toServer := detachedPair(t, ic, rc)
	defer release(client)
	defer release(server)
	for range 1000 {
		sealed, err := client.control.protection.Seal(nil, record.ContentHandshake, []byte("\xea\x00\x00\x01\x01"))
		if err == nil {
			err = client.control.protection.Update()
		}
		if err != nil {
			t.Fatal(err)
		}
		toServer.Write(sealed)
		if err := takeOne(server); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(server.control.queue.items); n == 0 || n > 4 {
		t.Errorf("%d items wait", n)
	}
	if _, err := server.driver.Update(channel.ReasonRequested); err != nil {
		t.Fatal(err)
	}
	if err := server.control.flush(); err != nil {
		t.Fatal(err)
	}
	for toClient.Len() > 0 || toServer.Len() > 0 {
		for _, c := range []*Conn{client, server} {
			if err := takeAll(c); err != ErrControl { // for the moment there is no more
				t.Fatal(err)
			}
		}
	}
	if x, y := client.driver.State().Epoch, server.driver.State().Epoch; x != 2 || y != 2 {
		t.Errorf("epochs %d and %d, want 2", x, y)
	}
}
