package mls

import (
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// groupInfo tells a newcomer the state of a group. RFC 9420, Section 12.4.3.
type groupInfo struct {
	context         groupContext
	extensions      Extensions
	confirmationTag []byte
	signer          LeafIndex
	signature       []byte
}

func (g *groupInfo) encodeContent(w *wire.Writer) {
	g.context.encode(w)
	g.extensions.encode(w)
	w.Opaque(g.confirmationTag)
	w.Uint32(uint32(g.signer))
}

func (g *groupInfo) encode(w *wire.Writer) {
	g.encodeContent(w)
	w.Opaque(g.signature)
}

func (g *groupInfo) decode(r *wire.Reader) {
	g.context.decode(r)
	g.extensions = readExtensions(r)
	g.confirmationTag = r.Opaque()
	g.signer = LeafIndex(r.Uint32())
	g.signature = r.Opaque()
}

// toBeSigned returns GroupInfoTBS.
func (g *groupInfo) toBeSigned() []byte { return wire.Encode(g.encodeContent) }

// welcome brings new members into a group. RFC 9420, Section 12.4.3.1.
type welcome struct {
	cipherSuite        ciphersuite.ID
	secrets            []encryptedGroupSecrets
	encryptedGroupInfo []byte
}

type encryptedGroupSecrets struct {
	newMember []byte // KeyPackageRef
	secrets   hpkeCiphertext
}

func (m *welcome) encode(w *wire.Writer) {
	w.Uint16(uint16(m.cipherSuite))
	writeVector(w, m.secrets)
	w.Opaque(m.encryptedGroupInfo)
}

func (m *welcome) decode(r *wire.Reader) {
	m.cipherSuite = ciphersuite.ID(r.Uint16())
	m.secrets = readVector[encryptedGroupSecrets](r)
	m.encryptedGroupInfo = r.Opaque()
}

func (s *encryptedGroupSecrets) encode(w *wire.Writer) {
	w.Opaque(s.newMember)
	s.secrets.encode(w)
}

func (s *encryptedGroupSecrets) decode(r *wire.Reader) {
	s.newMember = r.Opaque()
	s.secrets.decode(r)
}

// groupSecrets is what one new member gets, encrypted to its init key.
// RFC 9420, Section 12.4.3.1.
type groupSecrets struct {
	joinerSecret  []byte
	hasPathSecret bool
	pathSecret    []byte
	psks          []PreSharedKeyID
}

func (s *groupSecrets) encode(w *wire.Writer) {
	w.Opaque(s.joinerSecret)
	w.Optional(s.hasPathSecret)
	if s.hasPathSecret {
		w.Opaque(s.pathSecret)
	}
	writeVector(w, s.psks)
}

func (s *groupSecrets) decode(r *wire.Reader) {
	s.joinerSecret = r.Opaque()
	if s.hasPathSecret = r.Optional(); s.hasPathSecret {
		s.pathSecret = r.Opaque()
	}
	s.psks = readVector[PreSharedKeyID](r)
}
