package links

import "time"

// A Status is what the status page and the status command show.
type Status struct {
	Time          time.Time       `json:"time"`
	Problem       string          `json:"problem"` // of the process as a whole; empty if there is none
	Reloads       uint64          `json:"reloads"`
	ReloadsFailed uint64          `json:"reloads_failed"`
	Forwards      []ForwardStatus `json:"forwards"`
}

// Healthy reports that nothing is wrong that somebody has to see to.
func (s Status) Healthy() bool { return len(s.Problems()) == 0 }

// Problems returns all that is wrong, with the names of the forwards.
func (s Status) Problems() []string {
	var all []string
	if s.Problem != "" {
		all = append(all, s.Problem)
	}
	for _, f := range s.Forwards {
		for _, problem := range f.Problems {
			all = append(all, f.Name+": "+problem)
		}
	}
	return all
}

// A ForwardStatus is the state of one forward. Counts are since the process began.
type ForwardStatus struct {
	Name              string       `json:"name"`
	Role              string       `json:"role"`
	Transport         string       `json:"transport"`
	Listen            string       `json:"listen"`
	Forward           string       `json:"forward"`
	Fingerprint       string       `json:"fingerprint"`
	Expires           *time.Time   `json:"expires"` // of the own certificate; null for never
	Problems          []string     `json:"problems"`
	Open              int64        `json:"open"`
	Connections       uint64       `json:"connections"`
	TurnedAway        uint64       `json:"turned_away"`
	HandshakesFull    uint64       `json:"handshakes_full"`
	HandshakesResumed uint64       `json:"handshakes_resumed"`
	HandshakesFailed  uint64       `json:"handshakes_failed"`
	UpdatesOwn        uint64       `json:"updates_own"`
	UpdatesPeer       uint64       `json:"updates_peer"`
	PeerRotations     uint64       `json:"peer_rotations"`
	PeerRefusals      uint64       `json:"peer_refusals"`
	DialsFailed       uint64       `json:"dials_failed"`
	BytesToPeer       uint64       `json:"bytes_to_peer"`
	BytesFromPeer     uint64       `json:"bytes_from_peer"`
	Links             []LinkStatus `json:"links"`
}

// A LinkStatus is the state of one link.
type LinkStatus struct {
	ID            uint64     `json:"id"`
	Remote        string     `json:"remote"`
	Session       string     `json:"session"` // the same through all resumptions
	Suite         string     `json:"suite"`
	Since         time.Time  `json:"since"`
	Resumed       bool       `json:"resumed"` // the session began on an earlier connection
	Peer          string     `json:"peer"`    // fingerprint of its key
	Name          string     `json:"name"`
	Expires       *time.Time `json:"expires"` // of the peer's certificate; null for never
	Epoch         uint64     `json:"epoch"`
	Epochs        []Point    `json:"epochs"`
	KeyAge        float64    `json:"key_age_seconds"` // of the own private keys
	LastHeal      *time.Time `json:"last_heal"`       // null before the first
	UpdatesOwn    uint64     `json:"updates_own"`
	UpdatesPeer   uint64     `json:"updates_peer"`
	Streams       int64      `json:"streams"`
	BytesToPeer   uint64     `json:"bytes_to_peer"`
	BytesFromPeer uint64     `json:"bytes_from_peer"`
}
