package netconn

import (
	"time"

	"github.com/mendlink/mendlink/channel/record"
)

// A recordSizer says how large the next record may be. The peer can read nothing of a
// record before all of it is there. So the first records of a flow are small, each for a
// segment of TCP on usual networks: while TCP itself starts slowly, a large one would take
// several round trips. Later ones are large, as that is cheaper.
type recordSizer struct {
	flow int       // octets since the flow began
	last time.Time // of a Write that needs more than one small record
}

const (
	smallContent = 1400 - record.Overhead
	slowStart    = 64 << 10    // octets in small records
	flowRest     = time.Second // with less data for so long, the next is a new flow
)

// begin takes note of a Write of n octets.
func (z *recordSizer) begin(n int) {
	if n <= smallContent {
		return
	}
	now := time.Now()
	if now.Sub(z.last) > flowRest {
		z.flow = 0
	}
	z.last = now
}

// limit returns how much content the next record may have, of at most so much.
func (z *recordSizer) limit(most int) int {
	if z.flow < slowStart {
		return min(most, smallContent)
	}
	return most
}

// sealed takes note of n octets.
func (z *recordSizer) sealed(n int) { z.flow += n }
