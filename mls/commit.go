package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// commit is the struct Commit. RFC 9420, Section 12.4.
type commit struct {
	proposals []proposalOrRef
	path      *updatePath // nil: none
}

// proposalOrRef is a proposal, or the hash of the message that sent it.
type proposalOrRef struct {
	proposal  Proposal // nil: by reference
	reference []byte
}

// listProposals returns the list of a commit's proposals.
func listProposals(covered []coveredProposal) (list []proposalOrRef) {
	for _, p := range covered {
		if p.ByReference {
			list = append(list, proposalOrRef{reference: p.cached.ref})
		} else {
			list = append(list, proposalOrRef{proposal: p.Proposal})
		}
	}
	return list
}

const (
	proposalByValue     = 1
	proposalByReference = 2
)

func (c *commit) encode(w *wire.Writer) {
	writeVector(w, c.proposals)
	w.Optional(c.path != nil)
	if c.path != nil {
		c.path.encode(w)
	}
}

func (c *commit) decode(r *wire.Reader) {
	c.proposals = readVector[proposalOrRef](r)
	if r.Optional() {
		c.path = new(updatePath)
		c.path.decode(r)
	}
}

func (p *proposalOrRef) encode(w *wire.Writer) {
	if p.proposal != nil {
		w.Uint8(proposalByValue)
		writeProposal(w, p.proposal)
	} else {
		w.Uint8(proposalByReference)
		w.Opaque(p.reference)
	}
}

func (p *proposalOrRef) decode(r *wire.Reader) {
	switch kind := r.Uint8(); kind {
	case proposalByValue:
		p.proposal = readProposal(r)
	case proposalByReference:
		p.reference = r.Opaque()
	default:
		r.Fail(fmt.Errorf("mls: ProposalOrRefType %d is not defined", kind))
	}
}

// updatePath is the struct UpdatePath: the sender's new leaf, and for each node
// of its filtered direct path a new public key and the path secret, encrypted
// to the resolution of the copath child. RFC 9420, Section 7.6.
type updatePath struct {
	leaf  LeafNode
	nodes []updatePathNode
}

type updatePathNode struct {
	encryptionKey []byte
	pathSecrets   []hpkeCiphertext
}

type hpkeCiphertext struct {
	kemOutput  []byte
	ciphertext []byte
}

func (p *updatePath) encode(w *wire.Writer) {
	p.leaf.encode(w)
	writeVector(w, p.nodes)
}

func (p *updatePath) decode(r *wire.Reader) {
	p.leaf.decode(r)
	p.nodes = readVector[updatePathNode](r)
}

func (n *updatePathNode) encode(w *wire.Writer) {
	w.Opaque(n.encryptionKey)
	writeVector(w, n.pathSecrets)
}

func (n *updatePathNode) decode(r *wire.Reader) {
	n.encryptionKey = r.Opaque()
	n.pathSecrets = readVector[hpkeCiphertext](r)
}

func (c *hpkeCiphertext) encode(w *wire.Writer) {
	w.Opaque(c.kemOutput)
	w.Opaque(c.ciphertext)
}

func (c *hpkeCiphertext) decode(r *wire.Reader) {
	c.kemOutput = r.Opaque()
	c.ciphertext = r.Opaque()
}
