package channel

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// commitOf returns a ConnectionUpdate with a commit that no session makes.
func (p *peer) commitOf(t tb, o mls.CommitOptions) Message {
	t.Helper()
	if o.AuthenticatedData == nil {
		o.AuthenticatedData = purposeConnectionUpdate.authenticatedData()
	}
	c, err := p.group.Commit(o)
	if err != nil {
		t.Fatal(err)
	}
	return Message{Type: MessageConnectionUpdate, Body: c.Message(), Protected: true}
}

func TestCommitWithOtherProposalsIsRefused(t *testing.T) {
	a, _ := established(t)
	x := lists(t, mls.ComponentsList{componentTwoParty, componentParameters}, mls.ComponentsList{componentTwoParty}, nil)
	keyPackage := must(must(mls.ParseKeyPackage(hello(t, x).Body)).Verify(a.mls))
	for name, o := range map[string]mls.CommitOptions{
		"an Add":              {Proposals: []mls.Proposal{&mls.Add{KeyPackage: keyPackage}}},
		"other extensions":    {Proposals: []mls.Proposal{&mls.GroupContextExtensions{Extensions: a.group.Extensions()}}},
		"a PSK of resumption": {Proposals: []mls.Proposal{&mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKResumption, Usage: mls.ResumptionApplication, Group: a.id[:], Epoch: 1, Nonce: make([]byte, 32)}}}},
		"another purpose":     {AuthenticatedData: purposeResumptionRequest.authenticatedData()},
		"no purpose":          {AuthenticatedData: noPurpose},
		"no encryption":       {WireFormat: mls.WireFormatPublicMessage},
	} {
		p, q := established(t)
		if _, err := q.Receive(ctx, p.commitOf(t, o)); !errors.Is(err, ErrProfile) || q.store.Len() != 0 {
			t.Errorf("%s: %v, %d sessions are stored", name, err, q.store.Len())
		}
	}
}

// The members themselves do not support the proposals by which a dictionary
// changes, so neither end gets as far as to send one.
func TestTheDictionaryStaysAsNegotiated(t *testing.T) {
	a, b := established(t)
	for _, g := range []*mls.Group{a.group, b.group} {
		for _, p := range []mls.Proposal{
			&mls.AppDataUpdate{Component: componentParameters, Update: []byte{0, 1, 0}}, &mls.AppEphemeral{Component: componentTwoParty},
		} {
			_, err := g.Commit(mls.CommitOptions{Proposals: []mls.Proposal{p}, AuthenticatedData: noPurpose})
			if broken := (*mls.Error)(nil); !errors.As(err, &broken) || broken.Check != mls.CheckProposalSupport {
				t.Errorf("%v: %v", p.ProposalType(), err)
			}
		}
	}
}

func TestParametersStayAsNegotiated(t *testing.T) {
	for i := range 2 {
		a, b := established(t)
		p, q := a, b
		if i == 1 {
			p, q = b, a
		}
		x := leafExtensions(q.Session.cfg.ownOffer(make([]byte, hashSize)).marshal())
		if _, err := q.Receive(ctx, p.commitOf(t, mls.CommitOptions{Leaf: mls.LeafChanges{Extensions: &x}})); !errors.Is(err, ErrProfile) || AlertOf(err) != AlertIllegalParameter {
			t.Errorf("%s changes its parameters: %v", p.name, err)
		}
	}
}

// A responder that says that a pre-shared key is in use, and leaves it out.
func TestWelcomeHasToHoldTheChosenKeys(t *testing.T) {
	for _, included := range []bool{true, false} {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		for _, h := range []*host{ha, hb} {
			h.cfg.PSK, h.cfg.PSKIdentities = (keys{"x": "1"}).lookUp, [][]byte{[]byte("x")}
		}
		a, b := initiate(t, ha, hb)
		events := must(a.Session.Start(ctx))
		keyPackage := must(must(mls.ParseKeyPackage(events[0].(Send).Message.Body)).Verify(b.mls))
		chosen := must(b.Session.cfg.choose(must(offerOf(&keyPackage.LeafNode))))
		group := must(mls.NewGroup(b.mls, mls.GroupOptions{
			Suite: suite, Identity: hb.cfg.Identity, Extensions: contextExtensions(chosen.marshal()), Leaf: b.leafOptions(nil),
		}))
		var proposals []mls.Proposal
		if included {
			proposals = must(b.pskProposals(group, chosen.parameters.psks))
		}
		pair := must(group.Commit(mls.CommitOptions{
			Proposals: append(proposals, &mls.Add{KeyPackage: keyPackage}), OmitPath: true, AuthenticatedData: noPurpose,
		}))
		_, err := a.Receive(ctx, Message{Type: MessageServerHello, Body: pair.Welcome()})
		if included && err != nil || !included && !errors.Is(err, ErrProfile) {
			t.Errorf("with the key: %t: %v", included, err)
		}
	}
}
