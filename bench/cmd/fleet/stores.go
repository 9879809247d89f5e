package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/bolt"
	"github.com/mendlink/mendlink/store/seal"
)

// memoryDir is a file system in memory, where there is one.
const memoryDir = "/dev/shm"

// measureStores measures saves of sessions of this suite's size by many connections at once.
func (p *Prices) measureStores(e effort) error {
	err := p.measureStore(inMemory, channel.NewMemoryStore(e.sessions), e)
	if err != nil {
		return err
	}
	if err := p.measureBolt(onDisk, e.dir, e); err != nil {
		return err
	}
	if _, err := os.Stat(memoryDir); err != nil {
		log.Printf("%s is not measured: %v", notSynced, err)
		return nil
	}
	return p.measureBolt(notSynced, memoryDir, e)
}

func (p *Prices) measureBolt(name, dir string, e effort) (err error) {
	if dir, err = os.MkdirTemp(dir, "fleet-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := make([]byte, seal.KeySize)
	crand.Read(key)
	keys, err := seal.NewKeyring(key)
	if err != nil {
		return err
	}
	store, err := bolt.Open(filepath.Join(dir, "sessions.db"), &bolt.Config{Keys: keys, MaxSessions: e.sessions})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return p.measureStore(name, store, e)
}

// measureStore measures a store that is full of sessions: each execution is a save by each of so many connections.
func (p *Prices) measureStore(name string, store channel.Store, e effort) error {
	sessions := make([]channel.StoredSession, e.sessions)
	data := make([]byte, int(p.State))
	for i := range sessions {
		crand.Read(sessions[i].ID[:])
		sessions[i].Peer, sessions[i].Data = fmt.Sprint("peer ", i), data
	}
	// save has as many connections save at once.
	save := func(which []int) error {
		errs := make([]error, len(which))
		var all sync.WaitGroup
		for i, n := range which {
			all.Go(func() { sessions[n].Version, errs[i] = store.Save(context.Background(), sessions[n]) })
		}
		all.Wait()
		return errors.Join(errs...)
	}
	order := rand.Perm(len(sessions))
	for some := range slices.Chunk(order, e.savers) {
		if err := save(some); err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
	}
	next := 0
	op := measure.Repeat(func() error {
		if next+e.savers > len(order) {
			next = 0
		}
		next += e.savers
		return save(order[next-e.savers : next])
	})
	series, err := measure.Rounds(e.rounds, e.batch/4, []measure.Subject{op})
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	m, saves := series[0].Median(), float64(e.savers)
	p.Stores[name] = StorePrice{CPU: m.CPU.Seconds() / saves, PerSecond: saves / m.Wall.Seconds()}
	return nil
}
