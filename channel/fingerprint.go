package channel

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// Fingerprint names a signature key, encoded as MLS does it, in the form that
// ssh-keygen made known: the SHA-256 hash in base64 after "SHA256:".
func Fingerprint(signatureKey []byte) string {
	sum := sha256.Sum256(signatureKey)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// EpochAuthenticator returns a value that both ends have in common in an epoch,
// and that says nothing about its keys: whoever sits in the middle has a different
// one with each of them. It is of the size of the suite's hash, and nil before the
// handshake is complete. RFC 9420, Section 8.7.
func (s *Session) EpochAuthenticator() []byte {
	if !s.state.complete() {
		return nil
	}
	return s.group.EpochAuthenticator()
}

// ShortFingerprint returns the [Session.EpochAuthenticator] in a form for people
// to compare, over the telephone for instance: six groups of five decimal digits.
// Both ends must be asked in the same epoch. Empty before the handshake is complete.
//
// Somebody in the middle who wants both ends to see the same number has to try
// some 10^30 handshakes.
func (s *Session) ShortFingerprint() string {
	authenticator := s.EpochAuthenticator()
	if authenticator == nil {
		return ""
	}
	sum := sha256.Sum256(append([]byte("Mendlink short fingerprint"), authenticator...))
	groups := make([]string, 6)
	for i := range groups {
		// Five octets each: the digits are even to one part in 10^7.
		five := append(make([]byte, 3), sum[5*i:5*i+5]...)
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(five)%100_000)
	}
	return strings.Join(groups, " ")
}
