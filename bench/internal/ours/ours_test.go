package ours

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func suite(t *testing.T) *ciphersuite.Suite {
	t.Helper()
	s, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustCommitSize(t *testing.T, g *mls.Group) int {
	t.Helper()
	pending, err := update(g)
	if err != nil {
		t.Fatal(err)
	}
	return len(pending.Message())
}

// How many ciphertexts a commit has shows in its size: those of a fresh group grow
// with it, those of a warm one by levels.
func TestGroupsAreFreshOrWarm(t *testing.T) {
	s := suite(t)
	const ciphertext = 1 + 32 + 1 + 48 // KEM output and path secret, with their lengths
	for _, n := range []int{2, 3, 4, 5, 8, 11, 16, 33} {
		fresh, err := NewGroup(s, Fresh, n)
		if err != nil {
			t.Fatal(err)
		}
		warm, err := NewGroup(s, Warm, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range []*Group{fresh, warm} {
			if got := len(g.atCreator.Members()); got != n {
				t.Errorf("%d members, want %d", got, n)
			}
			if got := len(g.before.Members()); got != n-1 {
				t.Errorf("%d members before, want %d", got, n-1)
			}
			if !bytes.Equal(g.atCreator.EpochAuthenticator(), g.atLast.EpochAuthenticator()) {
				t.Errorf("%d members: the first and the last are in different epochs", n)
			}
			if int(g.atLast.OwnLeaf()) != n-1 {
				t.Errorf("the last member is at leaf %d of %d", g.atLast.OwnLeaf(), n)
			}
		}
		levels := 0
		for 1<<levels < n {
			levels++
		}
		more := (n - 1 - levels) * ciphertext
		if got := mustCommitSize(t, fresh.atCreator) - mustCommitSize(t, warm.atCreator); got < more || got > more+16 {
			t.Errorf("%d members: a commit of the fresh group is %d octets longer, want %d to %d", n, got, more, more+16)
		}
	}
	if _, err := NewGroup(s, "other", 4); err == nil {
		t.Error("there is another tree")
	}
}

// All operations can be executed again and again, in both trees.
func TestOperations(t *testing.T) {
	s := suite(t)
	handshake, err := Handshake(s)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, "handshake", handshake)
	for _, tree := range []Tree{Fresh, Warm} {
		g, err := NewGroup(s, tree, 6)
		if err != nil {
			t.Fatal(err)
		}
		process, err := g.Process()
		if err != nil {
			t.Fatal(err)
		}
		add, err := g.Add()
		if err != nil {
			t.Fatal(err)
		}
		unprotect, err := g.Unprotect()
		if err != nil {
			t.Fatal(err)
		}
		restore, err := g.Restore()
		if err != nil {
			t.Fatal(err)
		}
		for name, op := range map[string]measure.Op{
			"create": g.Create(), "process": process, "add": add, "join": g.Join(), "protect": g.Protect(),
			"unprotect": unprotect, "marshal": g.Marshal(), "restore": restore, "create and process": g.CreateAndProcess(),
		} {
			execute(t, name, op)
		}
	}
}

func execute(t *testing.T, name string, op measure.Op) {
	t.Helper()
	for range 2 {
		run, err := op(2)
		if err == nil {
			err = run()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
