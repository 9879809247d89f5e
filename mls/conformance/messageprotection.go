package conformance

import (
	"crypto/rand"

	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// messageProtection has messages of leaf 1 in a group of two.
type messageProtection struct {
	suited
	GroupID          hexBytes `json:"group_id"`
	Epoch            uint64   `json:"epoch"`
	TreeHash         hexBytes `json:"tree_hash"`
	TranscriptHash   hexBytes `json:"confirmed_transcript_hash"`
	SignaturePriv    hexBytes `json:"signature_priv"`
	SignaturePub     hexBytes `json:"signature_pub"`
	EncryptionSecret hexBytes `json:"encryption_secret"`
	SenderDataSecret hexBytes `json:"sender_data_secret"`
	MembershipKey    hexBytes `json:"membership_key"`
	Proposal         hexBytes `json:"proposal"`
	ProposalPub      hexBytes `json:"proposal_pub"`
	ProposalPriv     hexBytes `json:"proposal_priv"`
	Commit           hexBytes `json:"commit"`
	CommitPub        hexBytes `json:"commit_pub"`
	CommitPriv       hexBytes `json:"commit_priv"`
	Application      hexBytes `json:"application"`
	ApplicationPriv  hexBytes `json:"application_priv"`
}

func (v *messageProtection) check(c *checker) {
	for _, m := range []struct {
		name            string
		contentType     uint8
		content         hexBytes
		public, private hexBytes
	}{
		{"proposal", hooks.Proposal, v.Proposal, v.ProposalPub, v.ProposalPriv},
		{"commit", hooks.Commit, v.Commit, v.CommitPub, v.CommitPriv},
		{"application", hooks.Application, v.Application, nil, v.ApplicationPriv},
	} {
		v.open(c, m.name+"_priv", m.contentType, m.private, m.content)
		if m.contentType != hooks.Application {
			v.open(c, m.name+"_pub", m.contentType, m.public, m.content)
			v.protect(c, m.name+" of our own as a PublicMessage", m.contentType, hooks.PublicMessage, m.content)
		} else if sender := v.member(c, 1, nil); sender != nil {
			_, err := sender.Protect(m.contentType, hooks.PublicMessage, m.content, nil)
			c.that(err != nil, "application data was sent as a PublicMessage")
		}
		v.protect(c, m.name+" of our own as a PrivateMessage", m.contentType, hooks.PrivateMessage, m.content)
	}
}

// open compares the content of a message.
func (v *messageProtection) open(c *checker, what string, contentType uint8, message, want []byte) {
	receiver := v.member(c, 0, nil)
	if receiver == nil {
		return
	}
	content, err := receiver.Open(contentType, message)
	if c.ok(what, err) {
		c.equal("content of "+what, content, want)
	}
}

// protect sends content, without padding and with, and compares what arrives.
func (v *messageProtection) protect(c *checker, what string, contentType uint8, wireFormat uint16, content []byte) {
	for _, padding := range []func(int) int{nil, func(n int) int { return 64 - n%64 }} {
		sender := v.member(c, 1, padding)
		if sender == nil {
			return
		}
		message, err := sender.Protect(contentType, wireFormat, content, []byte("authenticated data"))
		if c.ok(what, err) {
			v.open(c, what, contentType, message, content)
		}
	}
}

// member returns one of the two members, nil if there cannot be one.
func (v *messageProtection) member(c *checker, leaf uint32, padding func(int) int) hooks.Member {
	signer, err := c.suite.ParseSigner(v.SignaturePriv)
	if !c.ok("signature_priv", err) {
		return nil
	}
	m, err := hooks.MLS.NewMember(hooks.MemberState{
		Suite:            c.suite,
		Leaf:             leaf,
		GroupContext:     hooks.MLS.GroupContext(v.CipherSuite, v.GroupID, v.Epoch, v.TreeHash, v.TranscriptHash),
		Signer:           signer,
		PeerSignatureKey: v.SignaturePub,
		EncryptionSecret: v.EncryptionSecret,
		SenderDataSecret: v.SenderDataSecret,
		MembershipKey:    v.MembershipKey,
		Rand:             rand.Reader,
		Padding:          padding,
	})
	c.ok("GroupContext", err)
	return m
}

// removeProposal is a Proposal that removes leaf 1, commitOfRemove a Commit with
// that alone, by value and without a path.
var (
	removeProposal = hexBytes(encodeRemove(1))
	commitOfRemove = hexBytes{7, 1, 0, removeType, 0, 0, 0, 1, 0}
)

// generateMessageProtection pads PrivateMessages or not, in turn.
func generateMessageProtection(g *generator) (vector, error) {
	signer, err := g.signer()
	if err != nil {
		return nil, err
	}
	v := &messageProtection{
		GroupID: g.octets(16), Epoch: uint64(g.uint32()), TreeHash: g.secret(), TranscriptHash: g.secret(),
		SignaturePriv: signer.private, SignaturePub: signer.public,
		EncryptionSecret: g.secret(), SenderDataSecret: g.secret(), MembershipKey: g.secret(),
		Proposal: removeProposal, Commit: commitOfRemove, Application: g.octets(50),
	}
	v.CipherSuite = g.suite.ID()
	state := hooks.MemberState{
		Suite:            g.suite,
		Leaf:             1,
		GroupContext:     hooks.MLS.GroupContext(v.CipherSuite, v.GroupID, v.Epoch, v.TreeHash, v.TranscriptHash),
		Signer:           signer,
		EncryptionSecret: v.EncryptionSecret,
		SenderDataSecret: v.SenderDataSecret,
		MembershipKey:    v.MembershipKey,
		Rand:             g.rand,
	}
	if g.turn(2) == 0 {
		state.Padding = func(n int) int { return 256 - n%256 }
	}
	sender, err := hooks.MLS.NewMember(state)
	if err != nil {
		return nil, err
	}
	for _, m := range []struct {
		message     *hexBytes
		contentType uint8
		wireFormat  uint16
		content     hexBytes
	}{
		{&v.ProposalPub, hooks.Proposal, hooks.PublicMessage, v.Proposal},
		{&v.ProposalPriv, hooks.Proposal, hooks.PrivateMessage, v.Proposal},
		{&v.CommitPub, hooks.Commit, hooks.PublicMessage, v.Commit},
		{&v.CommitPriv, hooks.Commit, hooks.PrivateMessage, v.Commit},
		{&v.ApplicationPriv, hooks.Application, hooks.PrivateMessage, v.Application},
	} {
		if *m.message, err = sender.Protect(m.contentType, m.wireFormat, m.content, nil); err != nil {
			return nil, err
		}
	}
	return v, nil
}
