package channel

import (
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// What the peer sends in the place of a key package or of a Welcome makes a branch of the two
// ends or none, and does nothing to the session.
func FuzzBranch(f *testing.F) {
	a, b := established(panics{})
	keyPackage := b.keyPackage(panics{})
	_, welcome := a.found(panics{}, keyPackage)
	_, stranger := guest(panics{}, suite)
	for _, seed := range [][]byte{keyPackage, welcome, stranger.Message(), nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if b.branches == nil || len(b.branches.waiting) == 0 {
			b.keyPackage(t)
		}
		founded, _, foundErr := a.Branch(message, a.branchOptions())
		joined, joinErr := b.JoinBranch(message)
		for _, g := range []*mls.Group{founded, joined} {
			if g != nil && len(g.Members()) != 2 {
				t.Errorf("a branch of %d members", len(g.Members()))
			}
		}
		if (founded == nil) != (foundErr != nil) || (joined == nil) != (joinErr != nil) {
			t.Errorf("%v and %v, %v and %v", founded, foundErr, joined, joinErr)
		}
		agree(t, a, b)
	})
}
