package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// vectorTargeted is a [hooks.Targeted].
type vectorTargeted struct{ g *Group }

// maxVectorLeaf bounds the tree that a vector can ask for.
const maxVectorLeaf = 1 << 12

func newVectorTargeted(m hooks.TargetedState) (hooks.Targeted, error) {
	last := m.Leaf
	for i := range m.Leaves {
		last = max(last, i)
	}
	if last > maxVectorLeaf {
		return nil, fmt.Errorf("mls: leaf %d, want one up to %d", last, maxVectorLeaf)
	}
	size := treemath.Size(1)
	for uint32(size) <= last {
		size *= 2
	}
	g := &Group{
		publicState: publicState{
			cfg:     &Config{Rand: m.Rand, Padding: m.Padding, TargetedMessages: true, proposals: builtinProposals},
			suite:   m.Suite,
			context: groupContext{groupID: m.GroupID, epoch: m.Epoch},
			tree:    &ratchetTree{size: size, nodes: make([]node, size.Nodes())},
		},
		signer: m.Signer,
		own:    LeafIndex(m.Leaf),
		epoch:  &keysched.Epoch{ExporterSecret: m.ExporterSecret},
	}
	for i, encoded := range m.Leaves {
		leaf := new(LeafNode)
		if err := unmarshal(encoded, leaf); err != nil {
			return nil, fmt.Errorf("mls: decoding a LeafNode: %w", err)
		}
		if err := leaf.verify(m.Suite, m.GroupID, LeafIndex(i)); err != nil {
			return nil, err
		}
		g.tree.nodes[leafPosition(LeafIndex(i))].leaf = leaf
	}
	if m.LeafKey != nil {
		g.keys.put(leafPosition(g.own), newSharedKey(m.LeafKey))
	}
	return vectorTargeted{g}, nil
}

func (m vectorTargeted) ProtectTo(recipient uint32, data, authenticatedData []byte) ([]byte, error) {
	return m.g.ProtectTo(LeafIndex(recipient), data, authenticatedData)
}

func (m vectorTargeted) ProtectToSeveral(recipients []uint32, data, authenticatedData []byte) ([]byte, error) {
	var leaves []LeafIndex
	for _, i := range recipients {
		leaves = append(leaves, LeafIndex(i))
	}
	return m.g.ProtectToSeveral(leaves, data, authenticatedData)
}

func (m vectorTargeted) Process(message []byte) (*hooks.ReceivedTargeted, error) {
	var decoded mlsMessage
	if err := unmarshal(message, &decoded); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	var ciphertext []byte
	switch {
	case decoded.targetedMessage != nil:
		ciphertext = decoded.targetedMessage.ciphertext
	case decoded.multiTargetedMessage != nil:
		ciphertext = decoded.multiTargetedMessage.ciphertext
	default:
		return nil, fmt.Errorf("mls: message is %v, want a targeted one", decoded.wireFormat)
	}
	received, err := m.g.processTargeted(&decoded)
	if err != nil {
		return nil, err
	}
	t := received.(*ReceivedTargeted)
	var content wire.Writer
	content.Opaque(t.Data)
	r := &hooks.ReceivedTargeted{
		Sender: uint32(t.Sender), AuthenticatedData: t.AuthenticatedData, Data: t.Data,
		Padding: len(ciphertext) - m.g.suite.TagSize() - content.Len(),
	}
	for _, i := range t.Recipients {
		r.Recipients = append(r.Recipients, uint32(i))
	}
	return r, nil
}
