package keysched

import (
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// ConfirmedTranscriptHash extends the transcript by a commit, up to and
// including its signature: input is the encoded ConfirmedTranscriptHashInput,
// and interimBefore the previous epoch's interim transcript hash, which is empty
// before the first commit (RFC 9420, Section 8.2).
func ConfirmedTranscriptHash(s *ciphersuite.Suite, interimBefore, input []byte) []byte {
	return s.Hash(interimBefore, input)
}

// InterimTranscriptHash extends the confirmed transcript hash by the commit's
// confirmation tag (RFC 9420, Section 8.2).
func InterimTranscriptHash(s *ciphersuite.Suite, confirmed, confirmationTag []byte) []byte {
	w := wire.NewWriter(make([]byte, 0, len(confirmationTag)+4))
	w.Opaque(confirmationTag)
	return s.Hash(confirmed, w.Data())
}

// ConfirmationTag confirms an epoch's transcript with the epoch's confirmation
// key (RFC 9420, Section 6.1). To check a peer's tag, use
// [ciphersuite.Suite.VerifyMAC], which takes the same time for every tag.
func ConfirmationTag(s *ciphersuite.Suite, confirmationKey, confirmedTranscriptHash []byte) []byte {
	return s.MAC(confirmationKey, confirmedTranscriptHash)
}
