package bolt

import (
	"sync"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

// stateSize is about that of a session with a post-quantum suite and no commit under way, in octets.
const stateSize = 5000

func BenchmarkSave(b *testing.B) {
	s := openStore(b, newPath(b), nil)
	session := channel.StoredSession{ID: id(1), Peer: "p", Data: make([]byte, stateSize)}
	b.ReportAllocs()
	for b.Loop() {
		session.Version = save(b, s, session)
	}
}

// 64 connections save at once, and share transactions.
func BenchmarkSaveBy64(b *testing.B) {
	s := openStore(b, newPath(b), nil)
	const savers = 64
	var versions [savers]uint64
	for b.Loop() {
		var wg sync.WaitGroup
		for n := range savers {
			wg.Go(func() {
				versions[n] = save(b, s, channel.StoredSession{ID: id(n), Peer: "p", Version: versions[n], Data: make([]byte, stateSize)})
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*savers), "µs/save")
}

func BenchmarkLoad(b *testing.B) {
	s := openStore(b, newPath(b), nil)
	save(b, s, channel.StoredSession{ID: id(1), Peer: "p", Data: make([]byte, stateSize)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(b.Context(), id(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	path := newPath(b)
	s := openStore(b, path, nil)
	for n := range 2000 {
		save(b, s, channel.StoredSession{ID: id(n), Peer: "p", Data: make([]byte, stateSize)})
	}
	s.Close()
	for b.Loop() {
		s, err := Open(path, &Config{Keys: keyring(b, 1)})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
