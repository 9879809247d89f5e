package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// A Price is what a server's end of an operation takes. The transport's part is in it.
type Price struct {
	CPU       float64 `json:"cpu_s"`       // seconds of CPU time, garbage collection included
	Allocated float64 `json:"allocated_B"` // octets, most of which are garbage soon
	Saves     float64 `json:"saves"`       // into the store
	Octets    float64 `json:"octets"`      // of records, both directions together
}

// Prices are those of one cipher suite on one machine.
type Prices struct {
	Suite      string `json:"suite"`
	Handshake  Price  `json:"handshake"`
	Resumption Price  `json:"resumption"`
	Refused    Price  `json:"refused"`     // a resumption that is, and the handshake that follows
	OwnUpdate  Price  `json:"own_update"`  // made by the server
	PeerUpdate Price  `json:"peer_update"` // made by the client
	Exchange   Price  `json:"exchange"`    // a message of 1 KiB from the client and one to it
	Seal       Price  `json:"seal_mib"`    // a mebibyte in records of 16 KiB, without a transport
	Open       Price  `json:"open_mib"`

	IdleHeap  float64 `json:"idle_heap_B"`  // of an end that waits in Read, after an update of each end
	IdleStack float64 `json:"idle_stack_B"` // of its goroutine
	State     float64 `json:"state_B"`      // of a session in a store, before sealing

	Stores map[string]StorePrice `json:"stores"` // by what -store calls them
}

// A StorePrice is what a store takes to save a session.
type StorePrice struct {
	CPU       float64 `json:"cpu_s"`
	PerSecond float64 `json:"per_second"` // saves, by the clock on the wall, with many connections that save at once
}

// The stores.
const (
	inMemory  = "memory"
	onDisk    = "bolt"
	notSynced = "bolt-nosync" // in a file system in memory, where nobody waits for a disk
)

// with returns the price of an operation with a store other than the one in memory, which it was measured with.
func (p *Prices) with(store string, op Price) Price {
	op.CPU += op.Saves * max(0, p.Stores[store].CPU-p.Stores[inMemory].CPU)
	return op
}

// loadPrices reads what a run with -json has written.
func loadPrices(file string) ([]*Prices, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all figures
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var prices []*Prices
	for _, e := range all.Estimates {
		prices = append(prices, e.Prices)
	}
	if len(prices) == 0 {
		return nil, fmt.Errorf("%s has no prices", file)
	}
	return prices, nil
}
