package quicmls

import (
	"context"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"
)

// WithTraceID returns a copy of c for QUIC connections that are handed to [Client] or [Server]: by it
// Config.TraceFor learns which connection it is asked about. [Dial] and [Listen] need no such
// thing. A nil c stands for the defaults. The connections' QlogTrace is then a view
// of what c.Tracer returned.
func WithTraceID(c *quic.Config) *quic.Config {
	d := new(quic.Config)
	if c != nil {
		d = c.Clone()
	}
	inner := d.Tracer
	d.Tracer = func(ctx context.Context, isClient bool, id quic.ConnectionID) qlogwriter.Trace {
		t := &identifiedTrace{id: id}
		if inner != nil {
			t.inner = inner(ctx, isClient, id)
		}
		return t
	}
	return d
}

// An identifiedTrace is a qlog that knows of which connection.
type identifiedTrace struct {
	inner qlogwriter.Trace // nil: nothing is written
	id    quic.ConnectionID
}

// AddProducer implements [qlogwriter.Trace]. It returns nil where nothing is written.
func (t *identifiedTrace) AddProducer() qlogwriter.Recorder {
	if t.inner == nil {
		return nil
	}
	return t.inner.AddProducer()
}

// traceID returns the ID of a connection in its qlog; an invalid one if that is not known.
func traceID(q *quic.Conn) quic.ConnectionID {
	if t, ok := q.QlogTrace().(*identifiedTrace); ok {
		return t.id
	}
	return quic.ConnectionID{}
}
