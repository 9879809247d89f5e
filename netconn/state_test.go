package netconn

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// The leaf that the peer had before an update is not kept: it has a key of its own, which
// can be large.
func TestPeerIsTheLeafOfTheMoment(t *testing.T) {
	client, server := newConnPair(t)
	before := server.ConnectionState().Peer
	read := make(chan error)
	go func() {
		_, err := server.Read(make([]byte, 1))
		read <- err
	}()
	update(t, client)
	if _, err := client.Write([]byte{1}); err != nil { // behind the KeySwitch
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	after := server.ConnectionState()
	if after.Epoch != 2 || after.Peer.Source != mls.LeafNodeSourceCommit || bytes.Equal(after.Peer.EncryptionKey, before.EncryptionKey) {
		t.Errorf("epoch %d, the peer's leaf is of a %v", after.Epoch, after.Peer.Source)
	}
	server.Close()
	client.Close()
	if ended := server.ConnectionState(); ended.Peer != after.Peer || ended.SessionID != after.SessionID || ended.Negotiated.SendRecordSize != after.Negotiated.SendRecordSize {
		t.Errorf("after the end the state is %+v, was %+v", ended, after)
	}
}
