package conformance

import (
	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// transcriptHashes has a commit and the transcript hashes before and after it.
type transcriptHashes struct {
	suited
	ConfirmationKey hexBytes `json:"confirmation_key"`
	Content         hexBytes `json:"authenticated_content"`
	InterimBefore   hexBytes `json:"interim_transcript_hash_before"`
	ConfirmedAfter  hexBytes `json:"confirmed_transcript_hash_after"`
	InterimAfter    hexBytes `json:"interim_transcript_hash_after"`
}

func (v *transcriptHashes) check(c *checker) {
	s := c.suite
	input, tag, err := hooks.MLS.CommitTranscript(v.Content)
	if !c.ok("authenticated_content", err) {
		return
	}
	confirmed := keysched.ConfirmedTranscriptHash(s, v.InterimBefore, input)
	c.equal("confirmed_transcript_hash_after", confirmed, v.ConfirmedAfter)
	c.equal("confirmation tag", keysched.ConfirmationTag(s, v.ConfirmationKey, confirmed), tag)
	c.equal("interim_transcript_hash_after", keysched.InterimTranscriptHash(s, confirmed, tag), v.InterimAfter)
}

func generateTranscriptHashes(g *generator) (vector, error) {
	signer, err := g.signer()
	if err != nil {
		return nil, err
	}
	sender, err := hooks.MLS.NewMember(hooks.MemberState{
		Suite: g.suite, Leaf: 0, Signer: signer, EncryptionSecret: g.secret(), Rand: g.rand,
		GroupContext: hooks.MLS.GroupContext(g.suite.ID(), g.octets(16), uint64(g.uint32()), g.secret(), g.secret()),
	})
	if err != nil {
		return nil, err
	}
	s, v := g.suite, &transcriptHashes{ConfirmationKey: g.secret(), InterimBefore: g.secret()}
	v.CipherSuite = s.ID()
	var tag []byte
	v.Content, err = sender.SignCommit(commitOfRemove, func(input []byte) []byte {
		v.ConfirmedAfter = keysched.ConfirmedTranscriptHash(s, v.InterimBefore, input)
		tag = keysched.ConfirmationTag(s, v.ConfirmationKey, v.ConfirmedAfter)
		return tag
	})
	v.InterimAfter = keysched.InterimTranscriptHash(s, v.ConfirmedAfter, tag)
	return v, err
}
