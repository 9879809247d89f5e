package etcd

import (
	"context"
	"fmt"
	"log"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Two responders have one store: as Store of a netconn.Config or quicmls.Config, it lets
// either resume what the other has begun.
func Example() {
	cluster, err := theCluster() // three members, made for the tests
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	responder := func() (*Store, *clientv3.Client) {
		client, err := clientv3.New(clientv3.Config{Endpoints: cluster.endpoints()}) // and its TLS
		if err != nil {
			log.Fatal(err)
		}
		keys, err := seal.LoadKeyring(ctx, func(context.Context) ([]byte, error) { // seal.File, or another
			return []byte("0123456789abcdefghijklmnopqrstuv"), nil
		})
		if err != nil {
			log.Fatal(err)
		}
		store, err := New(ctx, &Config{Client: client, Keys: keys, Prefix: "example/"})
		if err != nil {
			log.Fatal(err)
		}
		return store, client
	}
	one, client := responder()
	defer client.Close()
	two, client := responder()
	defer client.Close()

	// What channels do.
	version, err := one.Save(ctx, channel.StoredSession{ID: channel.SessionID{1}, Peer: "SHA256:..."})
	fmt.Println(version, err)
	session, err := two.Load(ctx, channel.SessionID{1})
	fmt.Println(session.Peer, err)
	_, err = two.Save(ctx, session)
	fmt.Println(err)
	_, err = one.Save(ctx, session)
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// SHA256:... <nil>
	// <nil>
	// etcd: saving a session: channel: stored session has another version
}
