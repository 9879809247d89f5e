package forward

import (
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestASocketThatWasLeftBehindIsForOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "front")
	for range 100 {
		left, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		left.(*net.UnixListener).SetUnlinkOnClose(false)
		left.Close()
		var all sync.WaitGroup
		var listening atomic.Pointer[net.Listener]
		for range 8 {
			all.Go(func() {
				l, err := listenUnix(path)
				if err == nil && listening.Swap(&l) != nil {
					t.Error("two listen")
				}
			})
		}
		all.Wait()
		l := listening.Load()
		if l == nil {
			t.Fatal("nobody listens")
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("nobody listens any more: %v", err)
		}
		c.Close()
		(*l).Close()
	}
}
