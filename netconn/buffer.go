package netconn

import (
	"sync"

	"github.com/mendlink/mendlink/channel/record"
)

// Sizes in octets, chosen by measurement: many records for each system call, and
// small buffers for small writes. A connection holds buffers only while data flows.
const (
	batchSize       = 2 * 65463 // of segments of TCP on loopback; a little more makes a third one, of next to nothing
	batchRecords    = 8         // that a batch needs if they may have the full size
	fillingSize     = 1 << 10   // of a record that fills a batch, at least
	copySize        = batchSize - batchRecords*record.Overhead
	smallBatchSize  = 4 << 10
	pipelineSize    = 4 * copySize // of what io.Copy reads at once if Writes are pipelined
	readBufferSize  = 256 << 10
	handshakeSize   = record.MaxRecord // of what a peer that is not authenticated yet makes us hold, with one octet
	firstReadSize   = 512              // of a transport that cannot tell when it is readable
	maxReadAhead    = 256 << 10        // application data that is read ahead of the application
	maxIdleRecords  = 32               // in a row
	maxUnsentOutput = batchSize        // sealed records that wait for the transport, before more are sealed
)

// A buffer is a pooled slice. Handing around the pointer keeps the pools free of allocations.
type buffer struct {
	data []byte
	pool *sync.Pool
}

func newPool(size int) *sync.Pool {
	p := new(sync.Pool)
	p.New = func() any { return &buffer{data: make([]byte, size), pool: p} }
	return p
}

var (
	readBuffers       = newPool(readBufferSize)
	handshakeBuffers  = newPool(handshakeSize)
	batchBuffers      = newPool(batchSize)
	smallBatchBuffers = newPool(smallBatchSize)
	pipelineBuffers   = newPool(pipelineSize)
)

func getBuffer(p *sync.Pool) *buffer { return p.Get().(*buffer) }

func (b *buffer) release() { b.pool.Put(b) }
