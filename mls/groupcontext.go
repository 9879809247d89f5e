package mls

import (
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// groupContext summarises the state of a group in one epoch. RFC 9420, Section 8.1.
type groupContext struct {
	cipherSuite             ciphersuite.ID
	groupID                 []byte
	epoch                   uint64
	treeHash                []byte
	confirmedTranscriptHash []byte
	extensions              Extensions
}

func (c *groupContext) encode(w *wire.Writer) {
	w.Uint16(uint16(MLS10))
	w.Uint16(uint16(c.cipherSuite))
	w.Opaque(c.groupID)
	w.Uint64(c.epoch)
	w.Opaque(c.treeHash)
	w.Opaque(c.confirmedTranscriptHash)
	c.extensions.encode(w)
}

func (c *groupContext) decode(r *wire.Reader) {
	readVersion(r)
	c.cipherSuite = ciphersuite.ID(r.Uint16())
	c.groupID = r.Opaque()
	c.epoch = r.Uint64()
	c.treeHash = r.Opaque()
	c.confirmedTranscriptHash = r.Opaque()
	c.extensions = readExtensions(r)
	fields := []*[]byte{&c.groupID, &c.treeHash, &c.confirmedTranscriptHash}
	for i := range c.extensions {
		fields = append(fields, &c.extensions[i].Data)
	}
	detach(fields...)
}
