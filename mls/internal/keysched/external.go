package keysched

import (
	"io"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// externalInitLabel is what both ends of an external initialization export.
const externalInitLabel = "MLS 1.0 external init secret"

// ExternalKeyPair derives the key pair that the whole group holds, so that a
// new member can join by an external commit (RFC 9420, Section 8).
func ExternalKeyPair(s *ciphersuite.Suite, externalSecret []byte) (*ciphersuite.HPKEPrivateKey, error) {
	return s.DeriveHPKEKeyPair(externalSecret)
}

// SendExternalInit agrees with the group that published externalPub on an init
// secret for the next epoch. It returns that and the kem_output for the
// ExternalInit proposal (RFC 9420, Section 8.3). Errors are those of the suite.
func SendExternalInit(s *ciphersuite.Suite, rand io.Reader, externalPub []byte) (kemOutput, initSecret []byte, err error) {
	return s.ExportSender(rand, externalPub, nil, []byte(externalInitLabel), s.HashSize())
}

// ReceiveExternalInit returns the init secret that the sender of an ExternalInit
// proposal with kemOutput agreed on (RFC 9420, Section 8.3). Errors are those of
// the suite.
func ReceiveExternalInit(s *ciphersuite.Suite, externalPriv *ciphersuite.HPKEPrivateKey, kemOutput []byte) (initSecret []byte, err error) {
	return s.ExportReceiver(externalPriv, kemOutput, nil, []byte(externalInitLabel), s.HashSize())
}
