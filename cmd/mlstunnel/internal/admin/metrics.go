package admin

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

// A collector makes metrics of a snapshot, at each scrape.
type collector struct{ registry *links.Registry }

// A metric is one family with the labels forward, role and transport, and one more if it has a name for that.
type metric struct {
	description *prometheus.Desc
	kind        prometheus.ValueType
	values      func(f links.ForwardStatus) map[string]float64 // by the value of the further label
}

func family(name, help string, kind prometheus.ValueType, label string, values func(links.ForwardStatus) map[string]float64) metric {
	labels := []string{"forward", "role", "transport"}
	if label != "" {
		labels = append(labels, label)
	}
	return metric{prometheus.NewDesc("mlstunnel_"+name, help, labels, nil), kind, values}
}

func one(value func(f links.ForwardStatus) float64) func(links.ForwardStatus) map[string]float64 {
	return func(f links.ForwardStatus) map[string]float64 { return map[string]float64{"": value(f)} }
}

var (
	counter, gauge = prometheus.CounterValue, prometheus.GaugeValue

	reloads = prometheus.NewDesc("mlstunnel_reloads_total", "Reloads of the configuration, by result.", []string{"result"}, nil)

	families = []metric{
		family("up", "1 if the forward can serve connections and all its files are in force.", gauge, "", one(func(f links.ForwardStatus) float64 {
			if len(f.Problems) > 0 {
				return 0
			}
			return 1
		})),
		family("links", "Secure connections that are up.", gauge, "", one(func(f links.ForwardStatus) float64 { return float64(len(f.Links)) })),
		family("connections", "Forwarded connections that are open.", gauge, "", one(func(f links.ForwardStatus) float64 { return float64(f.Open) })),
		family("connections_total", "Forwarded connections.", counter, "", one(func(f links.ForwardStatus) float64 { return float64(f.Connections) })),
		family("connections_turned_away_total", "Connections for which max_connections left no room.", counter, "", one(func(f links.ForwardStatus) float64 { return float64(f.TurnedAway) })),
		family("handshakes_total", "Handshakes by result: full, resumed or failed.", counter, "result", func(f links.ForwardStatus) map[string]float64 {
			return map[string]float64{"full": float64(f.HandshakesFull), "resumed": float64(f.HandshakesResumed), "failed": float64(f.HandshakesFailed)}
		}),
		family("updates_total", "Confirmed updates by who made them: own or peer. An update heals the end that makes it.", counter, "by", func(f links.ForwardStatus) map[string]float64 {
			return map[string]float64{"own": float64(f.UpdatesOwn), "peer": float64(f.UpdatesPeer)}
		}),
		family("peer_rotations_total", "How often a peer has shown another identity in a living link.", counter, "", one(func(f links.ForwardStatus) float64 { return float64(f.PeerRotations) })),
		family("peer_refusals_total", "How often a peer was not, or no more, accepted.", counter, "", one(func(f links.ForwardStatus) float64 { return float64(f.PeerRefusals) })),
		family("dials_failed_total", "Attempts to reach the server, or the service, that failed.", counter, "", one(func(f links.ForwardStatus) float64 { return float64(f.DialsFailed) })),
		family("bytes_total", "Application data by direction: to_peer or from_peer.", counter, "direction", func(f links.ForwardStatus) map[string]float64 {
			return map[string]float64{"to_peer": float64(f.BytesToPeer), "from_peer": float64(f.BytesFromPeer)}
		}),
		family("oldest_keys_seconds", "Age of the oldest private keys of this end in a living link; absent without links.", gauge, "", func(f links.ForwardStatus) map[string]float64 {
			if len(f.Links) == 0 {
				return nil
			}
			oldest := 0.0
			for _, l := range f.Links {
				oldest = max(oldest, l.KeyAge)
			}
			return map[string]float64{"": oldest}
		}),
		family("certificate_expiry_timestamp_seconds", "When a certificate ends, in seconds since 1970: that of this end (own), and the first to end of its peers (peer); absent without certificates.", gauge, "whose", func(f links.ForwardStatus) map[string]float64 {
			values := make(map[string]float64)
			if f.Expires != nil {
				values["own"] = seconds(*f.Expires)
			}
			for _, l := range f.Links {
				if l.Expires == nil {
					continue
				}
				if first, ok := values["peer"]; !ok || seconds(*l.Expires) < first {
					values["peer"] = seconds(*l.Expires)
				}
			}
			return values
		}),
	}
)

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	to <- reloads
	for _, m := range families {
		to <- m.description
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.registry.Snapshot()
	to <- prometheus.MustNewConstMetric(reloads, counter, float64(s.Reloads), "ok")
	to <- prometheus.MustNewConstMetric(reloads, counter, float64(s.ReloadsFailed), "failed")
	seen := make(map[[3]string]bool)
	for _, f := range slices.Backward(s.Forwards) {
		// One that drains after a reload may have a successor with the same labels, which counts.
		labels := [3]string{f.Name, f.Role, f.Transport}
		if seen[labels] {
			continue
		}
		seen[labels] = true
		for _, m := range families {
			for label, value := range m.values(f) {
				labels := []string{f.Name, f.Role, f.Transport}
				if label != "" {
					labels = append(labels, label)
				}
				to <- prometheus.MustNewConstMetric(m.description, m.kind, value, labels...)
			}
		}
	}
}
