package mls

import (
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// What an application has not found and hands over all the same, such as a key package that it looked up, is an error.
func TestWhatIsMissingIsAnError(t *testing.T) {
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 2)
	g, cfg := c.members[0].g, c.members[0].cfg
	info, err := g.GroupInfo(GroupInfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	joiner := ExternalJoinOptions{Identity: c.newClient().id}
	for name, p := range map[string]Proposal{"no proposal": nil, "no key package": &Add{}} {
		_, err := g.Commit(CommitOptions{Proposals: []Proposal{p}})
		_, err2 := g.Propose(p, ProposeOptions{})
		_, err3 := ProposeAsExternalSender(cfg, ExternalProposalOptions{}, p)
		joiner.Proposals = []Proposal{p}
		_, err4 := JoinExternal(cfg, info, joiner)
		for i, err := range []error{err, err2, err3, err4} {
			if err == nil {
				t.Errorf("%s, call %d: no error", name, i)
			}
		}
	}
	_, err = Join(cfg, nil, nil, JoinOptions{})
	if err == nil {
		t.Error("no key package to join with: no error")
	}
	c.checkAgreement()
	c.checkMessages()
}
