package quicmls

import (
	"sync"

	"github.com/mendlink/mendlink/channel/record"
)

// Sizes in octets. A stream holds buffers only while data flows.
const (
	batchSize    = 128 << 10 // sealed records for one QUIC write
	smallSize    = 2 << 10   // of buffers for little
	readSize     = 128 << 10 // at least two records
	maxDatagram  = 2 << 10
	maxEpochLag  = 1024 // epochs by which the reader of a stream may be behind
	maxOldEpochs = 200  // that streams may still begin in; less than what one octet counts
	fillingSize  = 1 << 10
	// maxEpochsAhead is by how many epochs the peer's sending keys may be ahead of what the control stream
	// has brought: after its own KeySwitch it may have acknowledged an update that this end began
	// before that came. More takes a message of this end's that follows either.
	maxEpochsAhead = 2
	maxIdleRecord  = 32 // in a row that hold no data
	// maxLeft is how much a stream keeps sealed for a peer that does not read.
	maxLeft = batchSize + maxEpochLag*record.StreamOverhead
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
	readBuffers     = newPool(readSize)
	batchBuffers    = newPool(batchSize)
	smallBuffers    = newPool(smallSize)
	datagramBuffers = newPool(maxDatagram)
	controlBuffers  = newPool(record.MaxRecord)
)

func getBuffer(p *sync.Pool) *buffer { return p.Get().(*buffer) }

func (b *buffer) release() { b.pool.Put(b) }
