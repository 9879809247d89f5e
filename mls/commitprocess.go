package mls

import (
	"crypto/subtle"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// processCommit validates a commit, whose signature is verified, and returns
// it with the epoch that it leads to. RFC 9420, Section 12.4.2.
func (g *Group) processCommit(a verifiedContent) (_ Received, err error) {
	received, t, err := g.receiveCommit(a)
	if err != nil {
		return nil, err
	}
	if received.AppAcks, err = g.compareAppAcks(received.Proposals); err != nil {
		return nil, err
	}
	if slices.Contains(t.removed, g.own) {
		received.Removed = true
		return received, nil
	}
	next := g.nextGroup(t)
	defer func() {
		if err != nil {
			next.discard()
		}
	}()
	next.context.treeHash = t.tree.rootHash(g.suite)
	commitSecret, err := g.decryptPath(a.content.commit.path, t, next)
	if err != nil {
		return nil, err
	}
	defer clear(commitSecret)
	joinerSecret, pskSecret, err := g.advance(next, t, a.authenticatedContent, commitSecret)
	if err != nil {
		return nil, err
	}
	clear(joinerSecret)
	clear(pskSecret)
	if !next.isConfirmed(a.auth.confirmationTag) {
		return nil, invalid(CheckConfirmationTag, "the members do not agree on the epoch")
	}
	next.setConfirmationTag(a.auth.confirmationTag)
	received.next = next
	return received, nil
}

// decryptPath gives the keys of a commit's path to next and returns the commit
// secret.
func (g *Group) decryptPath(path *updatePath, t *transition, next *Group) (commitSecret []byte, err error) {
	if path == nil {
		return make([]byte, g.suite.HashSize()), nil
	}
	// The provisional GroupContext still has the old confirmed transcript hash.
	var derived privateKeys
	wire.Lend(func(w *wire.Writer) {
		next.context.encode(w)
		derived, commitSecret, err = t.tree.decryptPath(g.suite, g.own, next.keys, path, t.pathSteps, t.addedLeaves(), w.Data())
	})
	if err != nil {
		return nil, err
	}
	for _, held := range derived {
		// The same key, once. It is never encrypted to: who holds it reads by another.
		parent := t.tree.nodes[held.node].parent
		parent.encryptionKey, parent.parsed = held.key.PublicKey(), nil
	}
	// What the path replaced is erased with the epochs that used it.
	next.keys.replace(derived)
	return commitSecret, nil
}

// isConfirmed reports whether whoever made tag has the epoch's secrets and
// transcript. RFC 9420, Section 6.1.
func (g *Group) isConfirmed(tag []byte) bool {
	want := keysched.ConfirmationTag(g.suite, g.epoch.ConfirmationKey, g.context.confirmedTranscriptHash)
	return subtle.ConstantTimeCompare(tag, want) == 1
}
