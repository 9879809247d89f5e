package main

import (
	"fmt"
	"io"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
)

// measureStreams compares what it takes to open a stream, to send a message on it and to get
// it back, and to close it in both directions.
func measureStreams(l *lab) ([]report.Finding, error) {
	links, done, err := l.links(classical)
	if err != nil {
		return nil, err
	}
	defer done()
	var subjects []measure.Subject
	var used, before [2]float64
	for i, k := range links {
		go serveStreams(k.server) // until done closes it
		before[i] = k.packets()
		subjects = append(subjects, measure.Repeat(func() error {
			used[i]++
			return useStream(k.client)
		}))
	}
	series, err := measure.Rounds(l.rounds, l.batch, subjects)
	if err != nil {
		return nil, err
	}
	const name = "stream with 1 KiB to and fro"
	packets := func(i int) float64 { return (links[i].packets() - before[i]) / used[i] }
	return append(compareCosts(name, 1.1, series),
		report.Finding{Row: report.Row{Name: name, Unit: "packets/op", Ours: packets(0), Peer: packets(1), PeerName: quicGo}}), nil
}

// useStream opens a stream, sends a message, and awaits the answer and the end.
func useStream(e end) error {
	s, err := e.open()
	if err != nil {
		return err
	}
	var message [messageSize]byte
	if _, err := s.Write(message[:]); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	n, err := readAll(s, message[:])
	if err == nil && n != len(message) {
		err = fmt.Errorf("%d octets came back of %d", n, len(message))
	}
	return err
}

// readAll reads into p until the stream ends.
func readAll(s stream, p []byte) (n int, err error) {
	for {
		var k int
		// The last octet is given twice, as p may be full.
		k, err = s.Read(p[min(n, len(p)-1):])
		if n += k; err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// serveStreams sends back what comes on each stream, until the connection ends.
func serveStreams(e end) {
	var message [messageSize]byte
	for {
		s, err := e.accept()
		if err != nil {
			return
		}
		n, err := readAll(s, message[:])
		if err != nil || n > len(message) {
			return
		}
		if _, err := s.Write(message[:n]); err != nil {
			return
		}
		if s.Close() != nil {
			return
		}
	}
}

// compareCosts compares CPU and elapsed time of ours, which come first, and theirs.
func compareCosts(name string, limit float64, series []measure.Series) []report.Finding {
	ours, theirs := series[0].Median(), series[1].Median()
	return []report.Finding{
		{
			Row: report.Row{Name: name + ", CPU", Unit: "us", Ours: ours.CPU.Seconds() * 1e6, Peer: theirs.CPU.Seconds() * 1e6,
				PeerName: quicGo, Ratio: measure.Ratio(series[1], series[0], measure.CPU)},
			Goal: &report.Goal{Text: name + ", CPU in terms of quic-go's", Limit: limit, Measured: measure.Ratio(series[0], series[1], measure.CPU)},
		},
		{
			Row: report.Row{Name: name + ", elapsed", Unit: "us", Ours: ours.Wall.Seconds() * 1e6, Peer: theirs.Wall.Seconds() * 1e6,
				PeerName: quicGo, Ratio: measure.Ratio(series[1], series[0], measure.Wall)},
			Goal: &report.Goal{Text: name + ", elapsed in terms of quic-go's", Limit: limit, Measured: measure.Ratio(series[0], series[1], measure.Wall)},
		},
		{Row: report.Row{Name: name, Unit: "allocs/op", Ours: ours.Allocs, Peer: theirs.Allocs, PeerName: quicGo}},
		{Row: report.Row{Name: name, Unit: "kB/op", Ours: ours.Bytes / 1000, Peer: theirs.Bytes / 1000, PeerName: quicGo}},
	}
}
