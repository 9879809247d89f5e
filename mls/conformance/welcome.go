package conformance

import (
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// welcome has a Welcome without PSKs and the keys to open it.
type welcome struct {
	suited
	InitPriv   hexBytes `json:"init_priv"`
	SignerPub  hexBytes `json:"signer_pub"`
	KeyPackage hexBytes `json:"key_package"`
	Welcome    hexBytes `json:"welcome"`
}

func (v *welcome) check(c *checker) {
	s := c.suite
	initKey, err := s.ParseHPKEPrivateKey(v.InitPriv)
	if !c.ok("init_priv", err) {
		return
	}
	w, err := hooks.MLS.OpenWelcome(s, v.KeyPackage, initKey, v.Welcome)
	if !c.ok("welcome", err) {
		return
	}
	c.ok("signature of the GroupInfo", s.VerifyWithLabel(v.SignerPub, "GroupInfoTBS", w.ToBeSigned, w.Signature))
	epoch := keysched.NewEpoch(s, w.JoinerSecret, nil, w.GroupContext)
	tag := keysched.ConfirmationTag(s, epoch.ConfirmationKey, w.ConfirmedTranscriptHash)
	c.equal("confirmation tag", tag, w.ConfirmationTag)
}

func generateWelcome(g *generator) (vector, error) {
	p, err := newParty(g, partyOptions{})
	if err != nil {
		return nil, err
	}
	invitee, err := p.newClient()
	if err != nil {
		return nil, err
	}
	initKey, _ := hooks.MLS.BundleKeys(invitee.bundle)
	pending, err := p.members[0].group.Commit(mls.CommitOptions{Proposals: []mls.Proposal{invitee.add()}})
	if err != nil {
		return nil, err
	}
	v := &welcome{
		InitPriv: initKey, SignerPub: p.members[0].signer.public,
		KeyPackage: invitee.bundle.Message(), Welcome: pending.Welcome(),
	}
	v.CipherSuite = g.suite.ID()
	return v, nil
}
