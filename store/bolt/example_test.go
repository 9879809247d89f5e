package bolt_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/bolt"
	"github.com/mendlink/mendlink/store/seal"
)

// Sessions outlive the process: as Store of a netconn.Config or quicmls.Config, the
// file lets connections resume where they were.
func Example() {
	dir, err := os.MkdirTemp("", "bolt")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	key := filepath.Join(dir, "store.key") // once; and keep it apart from the file of sessions
	if err := seal.CreateFile(key, rand.Reader); err != nil {
		log.Fatal(err)
	}
	keys, err := seal.LoadKeyring(ctx, seal.File(key))
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		store, err := bolt.Open(filepath.Join(dir, "sessions.db"), &bolt.Config{Keys: keys})
		if err != nil {
			log.Fatal(err)
		}
		found, err := store.FindByPeer(ctx, "db.example:7000")
		fmt.Println(len(found), err)
		// What a channel does.
		if _, err := store.Save(ctx, channel.StoredSession{ID: channel.SessionID{1}, Peer: "db.example:7000"}); err != nil {
			fmt.Println(err)
		}
		if err := store.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 0 <nil>
	// 1 <nil>
	// channel: stored session has another version
}

// A key that may have leaked is replaced. After Reseal, destroy the old one: what
// the file and the disk still have of older records goes with it.
func ExampleStore_Reseal() {
	dir, err := os.MkdirTemp("", "bolt")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path, ctx := filepath.Join(dir, "sessions.db"), context.Background()
	former, current := make([]byte, seal.KeySize), make([]byte, seal.KeySize)
	rand.Read(former)
	rand.Read(current)

	with := func(current []byte, former ...[]byte) *bolt.Store {
		keys, err := seal.NewKeyring(current, former...)
		if err != nil {
			log.Fatal(err)
		}
		store, err := bolt.Open(path, &bolt.Config{Keys: keys})
		if err != nil {
			log.Fatal(err)
		}
		return store
	}
	store := with(former)
	if _, err := store.Save(ctx, channel.StoredSession{ID: channel.SessionID{1}}); err != nil {
		log.Fatal(err)
	}
	store.Close()

	store = with(current, former)
	fmt.Println(store.Reseal(ctx))
	store.Close()

	store = with(current)
	_, err = store.Load(ctx, channel.SessionID{1})
	fmt.Println(err)
	store.Close()
	// Output:
	// 1 <nil>
	// <nil>
}
