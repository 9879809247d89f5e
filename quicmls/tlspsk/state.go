package tlspsk

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"time"
)

// What crypto/tls writes for the two kinds of sessions.
const (
	serverState = 1
	clientState = 2
)

// pskSuite says which hash the key is for: SHA-256. The connection's cipher suite may
// be any with that hash.
const pskSuite = tls.TLS_AES_128_GCM_SHA256

// secretOffset is where the secret begins in an encoded session.
const secretOffset = 2 + 1 + 2 + 8 + 1

// useWithin is how long a state may wait for its handshake, which begins right away.
const useWithin = time.Hour

// parse is tls.ParseSessionState, but for tests that play a later version of Go.
var parse = tls.ParseSessionState

// newState returns a session of crypto/tls whose secret is the given one, and the
// memory in which it holds that secret: it is to be erased when the handshake is past it.
// decoy is the certificate that the session is said to come from, nil for a server's.
func newState(kind uint8, secret []byte, decoy []byte, now time.Time) (state *tls.SessionState, memory []byte, err error) {
	encoded := encodeState(kind, secret, decoy, uint64(now.Unix()))
	if state, err = parseState(encoded); err != nil {
		clear(encoded)
		return nil, nil, err
	}
	// The state points into what it was parsed from. No more than the secret may be
	// erased: the certificate is shared with other sessions.
	return state, encoded[secretOffset:][:len(secret)], nil
}

// parseState parses an encoded session and makes sure that nothing was understood
// differently: what it encodes to again is the same, to the octet.
func parseState(encoded []byte) (*tls.SessionState, error) {
	state, err := parse(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: parsing one: %w", ErrEncoding, err)
	}
	again, err := state.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: encoding one: %w", ErrEncoding, err)
	}
	defer clear(again)
	if !bytes.Equal(again, encoded) {
		return nil, fmt.Errorf("%w: %d octets came back as other %d", ErrEncoding, len(encoded), len(again))
	}
	return state, nil
}

// verifyEncoding fails with [ErrEncoding] where states cannot be made. The callbacks
// in which they are made have no way to say why.
func verifyEncoding(kind uint8, decoy []byte) error {
	_, _, err := newState(kind, make([]byte, secretSize), decoy, time.Now())
	return err
}

// encodeState writes a session as [tls.SessionState.Bytes] does, of a version of TLS
// without anything that 0-RTT needs. The structure is in a comment of its source.
func encodeState(kind uint8, secret, decoy []byte, created uint64) []byte {
	b := make([]byte, 0, 64+len(secret)+len(decoy)) // so that no secret is left behind by growing
	b = binary.BigEndian.AppendUint16(b, tls.VersionTLS13)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, pskSuite)
	b = binary.BigEndian.AppendUint64(b, created)
	b = append(b, byte(len(secret)))
	b = append(b, secret...)
	b = appendUint24(b, 0) // extra
	b = append(b, 0)       // ext_master_secret, which TLS 1.3 does not have
	b = append(b, 0)       // early_data
	if kind == serverState {
		b = appendUint24(b, 0)    // certificate_list
		return appendUint24(b, 0) // verified_chains
	}
	b = appendUint24(b, 3+len(decoy)+2) // certificate_list
	b = appendUint24(b, len(decoy))
	b = append(b, decoy...)
	b = binary.BigEndian.AppendUint16(b, 0) // its extensions
	b = appendUint24(b, 3)                  // verified_chains: one, without its leaf empty
	b = appendUint24(b, 0)
	b = binary.BigEndian.AppendUint64(b, created+uint64(useWithin/time.Second)) // use_by
	return binary.BigEndian.AppendUint32(b, 0)                                  // age_add: RFC 8446 wants no age of an external key
}

func appendUint24(b []byte, n int) []byte {
	return append(b, byte(n>>16), byte(n>>8), byte(n))
}
