package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// Updates without a signature around them: draft-kohbrok-mls-fewer-signatures-00,
// Section 4. Commits are not sent that way and not accepted: as the text has it, they cannot be
// made (docs/extensions.md).

// usesOneSignature reports whether an Update of the given leaf, in the place of old, is sent
// without a signature around it: the client is to do so, all others understand it, and
// the signature key stays, which else nobody would vouch for.
func (g *Group) usesOneSignature(leaf, old *LeafNode) bool {
	if !g.cfg.OneSignature || !bytes.Equal(leaf.SignatureKey, old.SignatureKey) || !leaf.Capabilities.supportsExtension(ExtensionAppDataDictionary) {
		return false
	}
	_, all := g.allSupportComponent(ComponentOuterUpdateHash)
	return all
}

// outerUpdateHash returns the hash of OSFramedContentTBH: all that the signature of a proposal
// would cover, but for the leaf of the Update.
func (s *publicState) outerUpdateHash(a *authenticatedContent) (hash []byte) {
	wire.Lend(func(w *wire.Writer) {
		w.Uint16(uint16(MLS10))
		w.Uint16(uint16(a.wireFormat))
		w.Opaque(a.content.groupID)
		w.Uint64(a.content.epoch)
		a.content.sender.encode(w)
		w.Opaque(a.content.authenticatedData)
		w.Uint8(uint8(a.content.contentType))
		w.Uint16(uint16(ProposalUpdate))
		w.Bytes(s.encodedContext)
		hash = s.suite.Hash(w.Data())
	})
	return hash
}

// verifyOneSignature checks a message without a signature as far as its leaf speaks for
// it. The signature of the leaf is verified with the Update, before anything is done.
func (s *publicState) verifyOneSignature(a *authenticatedContent) (verifiedContent, error) {
	var none verifiedContent
	if !s.cfg.OneSignature || a.content.contentType == ContentCommit {
		return none, fmt.Errorf("mls: a %v in a %v: %w", a.content.contentType, a.wireFormat, ErrUnsupported)
	}
	update, ok := a.content.proposal.(*Update)
	if !ok || a.content.sender.Type != SenderMember {
		return none, invalid(CheckOneSignatureContent, "a %v without a signature, want an Update of a member", a.content.contentType)
	}
	leaf := update.LeafNode
	if !bytes.Equal(leaf.SignatureKey, s.tree.leafNode(a.content.sender.Leaf).SignatureKey) {
		return none, invalid(CheckOneSignatureKey, "the Update of leaf %d changes the signature key", a.content.sender.Leaf)
	}
	if !leaf.hasOuterHash(ComponentOuterUpdateHash, s.outerUpdateHash(a)) {
		return none, invalid(CheckOuterUpdateHash, "the leaf does not have the hash of the message around it")
	}
	if err := verifyAuthenticatedData(a.content.authenticatedData, s.context.extensions); err != nil {
		return none, err
	}
	return verifiedContent{a}, nil
}
