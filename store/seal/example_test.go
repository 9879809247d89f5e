package seal_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
)

// A key in a file takes the place of one in the environment: what was sealed under
// that one can still be opened.
func ExampleLoadKeyring() {
	dir, err := os.MkdirTemp("", "seal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "store.key")
	if err := seal.CreateFile(path, rand.Reader); err != nil {
		log.Fatal(err)
	}
	os.Setenv("STORE_KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")

	ctx := context.Background()
	before, err := seal.LoadKeyring(ctx, seal.Environment("STORE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	after, err := seal.LoadKeyring(ctx, seal.File(path), seal.Environment("STORE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	record := before.Session(channel.StoredSession{Peer: "db.example:7000", Version: 1, Data: []byte("secret")})
	s, err := after.OpenSession(channel.SessionID{}, 1, record)
	fmt.Println(s.Peer, err, after.IsCurrent(record))
	// Output: db.example:7000 <nil> false
}

// The key itself stays with a key management service, and a wrapped one in a file.
func ExampleUnwrapped() {
	dir, err := os.MkdirTemp("", "seal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "store.key.wrapped")
	if err := os.WriteFile(path, []byte("what the service has made of a new key"), 0o644); err != nil {
		log.Fatal(err)
	}
	decrypt := func(ctx context.Context, wrapped []byte) ([]byte, error) {
		// Here the service is asked.
		return []byte("0123456789abcdefghijklmnopqrstuv"), nil
	}
	_, err = seal.LoadKeyring(context.Background(), seal.Unwrapped(path, decrypt))
	fmt.Println(err)
	// Output: <nil>
}
