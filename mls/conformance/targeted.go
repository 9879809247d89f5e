package conformance

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls/internal/hooks"
)

// targetedMessages has a message from one member to another, in the format of
// draft-ietf-mls-targeted-messages-02, Appendix A.
type targetedMessages struct {
	suited
	targetedGroup
	RecipientLeafIndex uint32   `json:"recipient_leaf_index"`
	RecipientPriv      hexBytes `json:"recipient_encryption_priv"`
	TargetedMessage    hexBytes `json:"targeted_message"`
}

// multiTargetedMessages has a message from one member to several. The format is
// our own.
type multiTargetedMessages struct {
	suited
	targetedGroup
	Recipients           []targetedRecipient `json:"recipients"`
	MultiTargetedMessage hexBytes            `json:"multi_targeted_message"`
}

type targetedRecipient struct {
	LeafIndex uint32   `json:"leaf_index"`
	Priv      hexBytes `json:"encryption_priv"`
}

// targetedGroup is what both have in common.
type targetedGroup struct {
	GroupID           hexBytes `json:"group_id"`
	Epoch             uint64   `json:"epoch"`
	ExporterSecret    hexBytes `json:"exporter_secret"`
	SenderLeafIndex   uint32   `json:"sender_leaf_index"`
	SenderLeafNode    hexBytes `json:"sender_leaf_node"`
	AuthenticatedData hexBytes `json:"authenticated_data"`
	ApplicationData   hexBytes `json:"application_data"`
	PaddingLength     int      `json:"padding_length"`
}

func (v *targetedMessages) check(c *checker) {
	v.open(c, v.RecipientLeafIndex, v.RecipientPriv, []uint32{v.RecipientLeafIndex}, v.TargetedMessage)
}

func (v *multiTargetedMessages) check(c *checker) {
	var recipients []uint32
	for _, r := range v.Recipients {
		recipients = append(recipients, r.LeafIndex)
	}
	c.that(len(recipients) > 0, "there are no recipients")
	for _, r := range v.Recipients {
		v.open(c, r.LeafIndex, r.Priv, recipients, v.MultiTargetedMessage)
	}
}

// open reads a message as one of its recipients.
func (v *targetedGroup) open(c *checker, leaf uint32, private []byte, recipients []uint32, message []byte) {
	key, err := c.suite.ParseHPKEPrivateKey(private)
	if !c.ok("recipient's private key", err) {
		return
	}
	m, err := hooks.MLS.NewTargeted(hooks.TargetedState{
		Suite: c.suite, GroupID: v.GroupID, Epoch: v.Epoch, ExporterSecret: v.ExporterSecret,
		Leaf: leaf, LeafKey: key, Leaves: map[uint32][]byte{v.SenderLeafIndex: v.SenderLeafNode},
	})
	if !c.ok("sender_leaf_node", err) {
		return
	}
	got, err := m.Process(message)
	if !c.ok(fmt.Sprintf("message to leaf %d", leaf), err) {
		return
	}
	c.that(got.Sender == v.SenderLeafIndex, "sender is leaf %d, want %d", got.Sender, v.SenderLeafIndex)
	c.that(slices.Equal(got.Recipients, recipients), "recipients are %d, want %d", got.Recipients, recipients)
	c.that(got.Padding == v.PaddingLength, "%d octets of padding, want %d", got.Padding, v.PaddingLength)
	c.equal("authenticated_data", got.AuthenticatedData, v.AuthenticatedData)
	c.equal("application_data", got.Data, v.ApplicationData)
}

// A targetedSender is a group in which one member sends to others.
type targetedSender struct {
	targetedGroup
	keys map[uint32]hexBytes // private, of the others
	hooks.Targeted
}

// newTargetedSender returns a group with members at the given leaves, of whom the
// first sends. Messages are padded or not, in turn.
func newTargetedSender(g *generator, leaves ...uint32) (*targetedSender, error) {
	p, err := newParty(g, partyOptions{})
	if err != nil {
		return nil, err
	}
	s := &targetedSender{keys: make(map[uint32]hexBytes)}
	s.targetedGroup = targetedGroup{
		GroupID: g.octets(16), Epoch: uint64(g.uint32()), ExporterSecret: g.secret(), SenderLeafIndex: leaves[0],
		AuthenticatedData: g.octets(g.turn(3) * 8), ApplicationData: g.octets(40),
	}
	state := hooks.TargetedState{
		Suite: g.suite, GroupID: s.GroupID, Epoch: s.Epoch, ExporterSecret: s.ExporterSecret, Leaf: leaves[0],
		Leaves: make(map[uint32][]byte), Rand: g.rand,
	}
	if g.turn(2) == 0 {
		s.PaddingLength = 64
		state.Padding = func(int) int { return s.PaddingLength }
	}
	for _, leaf := range leaves {
		member, err := p.newClient()
		if err != nil {
			return nil, err
		}
		state.Leaves[leaf] = hooks.MLS.LeafNode(member.bundle)
		if leaf == leaves[0] {
			state.Signer, s.SenderLeafNode = member.signer, state.Leaves[leaf]
			continue
		}
		_, s.keys[leaf] = hooks.MLS.BundleKeys(member.bundle)
	}
	s.Targeted, err = hooks.MLS.NewTargeted(state)
	return s, err
}

func generateTargetedMessages(g *generator) (vector, error) {
	s, err := newTargetedSender(g, uint32(g.turn(2)), uint32(2+g.number(6)))
	if err != nil {
		return nil, err
	}
	v := &targetedMessages{targetedGroup: s.targetedGroup}
	v.CipherSuite = g.suite.ID()
	for v.RecipientLeafIndex, v.RecipientPriv = range s.keys {
	}
	v.TargetedMessage, err = s.ProtectTo(v.RecipientLeafIndex, v.ApplicationData, v.AuthenticatedData)
	return v, err
}

// generateMultiTargetedMessages shows one to three recipients, in turn.
func generateMultiTargetedMessages(g *generator) (vector, error) {
	leaves := []uint32{4, 0, 7, 9}[:2+g.turn(3)]
	s, err := newTargetedSender(g, leaves...)
	if err != nil {
		return nil, err
	}
	v := &multiTargetedMessages{targetedGroup: s.targetedGroup}
	v.CipherSuite = g.suite.ID()
	for _, leaf := range leaves[1:] {
		v.Recipients = append(v.Recipients, targetedRecipient{leaf, s.keys[leaf]})
	}
	v.MultiTargetedMessage, err = s.ProtectToSeveral(leaves[1:], v.ApplicationData, v.AuthenticatedData)
	return v, err
}
