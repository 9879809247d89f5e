package quicmls

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"

	"github.com/mendlink/mendlink/channel"
)

// A qlogFile is what qlog writes of one connection.
type qlogFile struct {
	bytes.Buffer
	began  [2]time.Time // between these it did
	closed chan struct{}
}

func (q *qlogFile) Close() error {
	close(q.closed)
	return nil
}

// A qlogEvent is a packet that was sent or received.
type qlogEvent struct {
	Time float64 // milliseconds since the beginning
	Name string
	Data struct {
		Frames []struct {
			Type   string  `json:"frame_type"`
			Stream *uint64 `json:"stream_id"`
		}
	}
}

// read returns the connection ID and the events, once all is written.
func (q *qlogFile) read(t *testing.T) (id string, events []qlogEvent) {
	t.Helper()
	<-q.closed
	for i, b := range bytes.Split(q.Bytes(), []byte{qlogwriter.RecordSeparator})[1:] {
		if i == 0 {
			var header struct {
				Trace struct {
					Common struct {
						ID string `json:"group_id"`
					} `json:"common_fields"`
				}
			}
			if err := json.Unmarshal(b, &header); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
			id = header.Trace.Common.ID
			continue
		}
		var e qlogEvent
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		events = append(events, e)
	}
	return id, events
}

// qlogs is a tracer for quic.Config that keeps everything.
type qlogs struct {
	mu    sync.Mutex
	files []*qlogFile
}

func (l *qlogs) trace(_ context.Context, isClient bool, id quic.ConnectionID) qlogwriter.Trace {
	f := &qlogFile{closed: make(chan struct{})}
	f.began[0] = time.Now()
	seq := qlogwriter.NewConnectionFileSeq(f, isClient, id)
	f.began[1] = time.Now()
	go seq.Run() // until the connection ends
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, f)
	return seq
}

// A moment is something that a channel.Trace tells.
type moment struct {
	what string
	at   time.Time
}

// moments is a TraceFor that keeps, for each connection, the steps of this end's own updates.
type moments struct {
	mu   sync.Mutex
	ids  []string
	list map[string][]moment
}

func (m *moments) trace(id quic.ConnectionID) *channel.Trace {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ids = append(m.ids, id.String())
	if m.list == nil {
		m.list = make(map[string][]moment)
	}
	note := func(what string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.list[id.String()] = append(m.list[id.String()], moment{what, time.Now()})
	}
	return &channel.Trace{
		Sent: func(_ channel.SessionID, t channel.MessageType, _ int) {
			if t == channel.MessageConnectionUpdate {
				note("sent")
			}
		},
		Event: func(_ channel.SessionID, e channel.Event) {
			if e, ok := e.(channel.Updated); ok && e.Own {
				note("updated")
			}
		},
	}
}

// The traces of a connection that QUIC and the session write can be told to belong together: by
// its ID, which is the same at both ends, and by time: between the moment that an update is
// sent and that it is done, a packet of the control stream went there, and before the next update one came back.
func TestQlogAndTraceBelongTogether(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	ic.PeerName = "peer"
	var logs [2]qlogs
	var told [2]moments
	for i, c := range []*Config{ic, rc} {
		c.QUIC = &quic.Config{Tracer: logs[i].trace}
		c.TraceFor = told[i].trace
	}
	const connections, updates = 2, 5
	for range connections { // the second resumes the session
		client, server := connect(t, ic, rc)
		for range updates {
			update(t, client)
			update(t, server)
		}
		client.CloseWithError(0, "")
		<-server.Context().Done()
		server.CloseWithError(0, "")
	}
	for end := range logs {
		if len(told[end].ids) != connections || len(logs[end].files) != connections {
			t.Fatalf("end %d: %d traces and %d qlogs, want %d", end, len(told[end].ids), len(logs[end].files), connections)
		}
		for i, f := range logs[end].files {
			id, events := f.read(t)
			if id == "" || id != told[end].ids[i] || id != told[0].ids[i] {
				t.Errorf("end %d: qlog of %q, trace of %q, %q at the initiator", end, id, told[end].ids[i], told[0].ids[i])
			}
			checkUpdates(t, f, events, told[end].list[id], updates)
		}
		if told[end].ids[0] == told[end].ids[1] {
			t.Errorf("both connections have the ID %s", told[end].ids[0])
		}
	}
}

// checkUpdates holds the moments of updates against the packets of the control stream.
func checkUpdates(t *testing.T, f *qlogFile, events []qlogEvent, list []moment, updates int) {
	t.Helper()
	if len(list) != 2*updates {
		t.Fatalf("%d moments, want %d", len(list), 2*updates)
	}
	for i := 0; i < len(list); i += 2 {
		if list[i].what != "sent" || list[i+1].what != "updated" {
			t.Fatalf("%v", list)
		}
		there := -1 // when the packet with the update was sent
		back := -1  // quic-go writes down what it has received when it has handed that on, so perhaps after the update is done
		next := list[i+1].at.Add(time.Hour)
		if i+2 < len(list) {
			next = list[i+2].at
		}
		for j, e := range events {
			after := time.Duration(e.Time * float64(time.Millisecond))
			// The first moment at which the event can have been, and the last.
			from, to := f.began[0].Add(after-time.Microsecond), f.began[1].Add(after+time.Microsecond)
			switch {
			case !e.ofControlStream() || to.Before(list[i].at) || from.After(next):
			case e.Name == qlog.PacketSent{}.Name() && there < 0 && !from.After(list[i+1].at):
				there = j
			case e.Name == qlog.PacketReceived{}.Name() && there >= 0:
				back = j
			}
		}
		if there < 0 || back < there {
			t.Errorf("update %d: its packet was sent as event %d and the answer is event %d", i/2, there, back)
		}
	}
}

func (e *qlogEvent) ofControlStream() bool {
	for _, f := range e.Data.Frames {
		if f.Type == "stream" && f.Stream != nil && *f.Stream == 0 {
			return true
		}
	}
	return false
}

// The ID is the one in the name of the file that qlog.DefaultConnectionTracer writes.
func TestTheTracesIDIsInTheNameOfTheQlog(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	dir := t.TempDir()
	t.Setenv("QLOGDIR", dir)
	var told [2]moments
	for i, c := range []*Config{ic, rc} {
		c.QUIC = &quic.Config{Tracer: qlog.DefaultConnectionTracer}
		c.TraceFor = told[i].trace
	}
	client, server := connect(t, ic, rc)
	alive(t, client, server)
	for i, name := range []string{told[0].ids[0] + "_client.sqlog", told[1].ids[0] + "_server.sqlog"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("end %d: %v", i, err)
		}
	}
}

// A QUIC connection that was made elsewhere is told by WithTraceID, with or without a qlog; else it
// has no ID, and is no worse for it. A configuration that is selected has the connection's trace.
func TestTheTraceOfAQUICConnectionThatWasMadeElsewhere(t *testing.T) {
	checkGoroutines(t)
	for _, wrap := range []func(*quic.Config) *quic.Config{WithTraceID, func(c *quic.Config) *quic.Config { return c }} {
		ic, rc := newConfigs(t)
		var told [2]moments
		ic.TraceFor, rc.TraceFor = told[0].trace, told[1].trace
		chosen := rc.Config
		rc.Select = func(channel.ClientHello) (*channel.Config, error) { return &chosen, nil }
		toClient, toServer := withoutProof(t)
		l, err := quic.ListenAddr("127.0.0.1:0", toClient, wrap(nil))
		if err != nil {
			t.Fatal(err)
		}
		q, err := quic.DialAddr(t.Context(), l.Addr().String(), toServer, wrap(nil))
		if err != nil {
			t.Fatal(err)
		}
		client := Client(q, ic)
		if q, err = l.Accept(t.Context()); err != nil {
			t.Fatal(err)
		}
		server := Server(q, rc)
		done := make(chan error, 1)
		go func() { done <- server.HandshakeContext(t.Context()) }()
		if err := errors.Join(client.HandshakeContext(t.Context()), <-done); err != nil {
			t.Fatal(err)
		}
		update(t, client)
		update(t, server)
		id := traceID(client.QUIC())
		for i := range told {
			if got := told[i].ids; len(got) != 1 || got[0] != id.String() {
				t.Errorf("end %d: traces of %q, want %s", i, got, id)
			}
			if n := len(told[i].list[id.String()]); n != 2 {
				t.Errorf("end %d: the trace has %d moments, want 2", i, n)
			}
		}
		if wrapped := traceID(server.QUIC()).Valid(); wrapped != id.Valid() || wrapped != (q.QlogTrace() != nil) {
			t.Errorf("the ID is %s", id)
		}
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
		l.Close()
	}
}
