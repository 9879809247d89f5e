package channel

import (
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An Event is something that the driver of a [Session] has to carry out, or may
// want to know. Events are carried out in the order in which they were returned:
// a message that was to leave under the old keys must not leave under the new ones.
type Event interface{ event() }

// Send asks for a message to be sent, under the sending keys of the moment, or
// in the clear while there are none.
type Send struct{ Message Message }

// SwitchSend asks for everything that follows to be sent under new keys, and
// for the old ones to be erased. Suite is that of the session and gives the
// record layer its hash and AEAD; Secret is the traffic secret of that hash's
// size and belongs to the driver, who erases it once its keys are derived.
// RecordSize is how many octets of content the peer accepts in a record.
type SwitchSend struct {
	Epoch      uint64
	Suite      *ciphersuite.Suite
	Secret     []byte
	RecordSize int
}

// SwitchReceive asks for everything that follows on the receiving side to be
// opened under new keys, and for the old ones to be erased. If part of another
// message is waiting at that point, the peer is at fault, and so it is if a record
// has more octets of content than RecordSize.
type SwitchReceive struct {
	Epoch      uint64
	Suite      *ciphersuite.Suite
	Secret     []byte
	RecordSize int
}

// PeerAuthenticated says that the peer has proved to be who its leaf says, and
// that [Config.Validator] accepts it. It comes right before HandshakeComplete.
type PeerAuthenticated struct{ Leaf *mls.LeafNode }

// HandshakeComplete says that application data may flow.
type HandshakeComplete struct{ Resumed bool }

// Updated says that an update is done and the session is in a new epoch.
type Updated struct {
	Epoch uint64
	// Own says that this end made the update, which has renewed its private
	// keys, and that the peer has confirmed it.
	Own bool
	// Reason is why this end made the update. Zero if Own is false.
	Reason UpdateReason
	// Full says that the update was a full one, in a session of two groups.
	Full bool
}

// StepSend asks for everything that follows to be sent under the next key of the
// same epoch, which a KDF step gives: [record.Protection.Update].
type StepSend struct{}

// StepReceive asks for everything that follows on the receiving side to be opened
// under the next key of the same epoch. Like [SwitchReceive], it must not find part
// of another message waiting.
type StepReceive struct{}

// PeerChanged says that the peer goes on with another credential or signature key,
// which [Config.Validator] accepts. Neither leaf must be changed. Another one with which the peer resumes a session
// is that of a new connection, of which there is no such event: it is the Peer of the [ConnectionState] from the beginning.
type PeerChanged struct{ Leaf, Previous *mls.LeafNode }

// PeerRefused says that [Config.Validator] does not accept the peer any more.
type PeerRefused struct{ Err error }

// EarlyData is data that the peer has sent together with its ResumptionRequest. It
// comes before HandshakeComplete: the peer is who it was, but may be cut off already.
// The data belongs to the driver.
type EarlyData struct{ Data []byte }

// EarlyDataResult says what became of this end's early data. It comes right before
// PeerAuthenticated.
type EarlyDataResult struct {
	Fate EarlyDataFate
	// Elsewhere says that data which was delivered was so on another connection: on
	// one before, or on one to which somebody has copied this end's first flight. If the
	// peer crashed right then, its application may not have seen the data; nobody will
	// deliver it again.
	Elsewhere bool
}

func (Send) event()              {}
func (StepSend) event()          {}
func (StepReceive) event()       {}
func (PeerChanged) event()       {}
func (PeerRefused) event()       {}
func (EarlyData) event()         {}
func (EarlyDataResult) event()   {}
func (SwitchSend) event()        {}
func (SwitchReceive) event()     {}
func (PeerAuthenticated) event() {}
func (HandshakeComplete) event() {}
func (Updated) event()           {}

// eraseSecrets erases the secrets in events that the driver does not get.
func eraseSecrets(events []Event) {
	for _, e := range events {
		switch e := e.(type) {
		case SwitchSend:
			clear(e.Secret)
		case SwitchReceive:
			clear(e.Secret)
		}
	}
}
