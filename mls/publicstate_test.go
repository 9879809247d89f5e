package mls

import "testing"

func TestLeafFindsTheMembersAndNobodyElse(t *testing.T) {
	g := newFleet(t, 3).devices[1].view()
	at := map[LeafIndex]*LeafNode{}
	for _, m := range g.Members() {
		at[m.Index] = m.Leaf
	}
	if len(at) < 2 {
		t.Fatalf("%d members", len(at))
	}
	for i := range LeafIndex(20) {
		if got := g.Leaf(i); got != at[i] {
			t.Errorf("leaf %d is %p, want %p", i, got, at[i])
		}
	}
}
