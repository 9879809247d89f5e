package secrettree

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

func TestComponentsHaveTheSecretsOfTheirLeavesOnce(t *testing.T) {
	s := testSuite(t)
	tree := NewExporterTree(s, testSecret)
	for _, component := range []uint16{0, 1, 5, 0x8000, 0xffff} {
		path := derive(s, 16, uint32(component), Application, 0).path
		got, err := tree.Export(component)
		if err != nil || !bytes.Equal(got, path[16]) {
			t.Errorf("component %d: %x, %v; want %x", component, got, err, path[16])
		}
		if _, err := tree.Export(component); !errors.Is(err, ErrConsumed) {
			t.Errorf("component %d for the second time: %v", component, err)
		}
		b := exporterState(tree)
		for depth, secret := range path {
			if bytes.Contains(b, secret) {
				t.Errorf("component %d: the ancestor at depth %d is still in the tree", component, depth)
			}
		}
	}
}

func TestExporterTreeErasesAncestors(t *testing.T) {
	s := testSuite(t)
	tree := NewExporterTree(s, testSecret)
	clone := tree.Clone()
	root, _ := tree.frontier.secrets.get(1<<16 - 1)
	if _, err := tree.Export(7); err != nil {
		t.Fatal(err)
	}
	if !isZero(root) {
		t.Error("the root is still in memory")
	}
	if n := len(tree.frontier.secrets); n != 16 {
		t.Errorf("%d nodes after an export, want 16", n)
	}
	sibling, _ := tree.frontier.secrets.get(12)
	tree.Erase()
	if len(sibling) == 0 || !isZero(sibling) {
		t.Error("a node is still in memory after erasure")
	}
	if _, err := tree.Export(8); !errors.Is(err, ErrConsumed) {
		t.Errorf("export after erasure: %v", err)
	}
	if _, err := clone.Export(7); err != nil {
		t.Errorf("export from a clone: %v", err)
	}
}

func exporterState(t *ExporterTree) []byte {
	var w wire.Writer
	t.MarshalTo(&w)
	return w.Data()
}

func TestExporterStateRoundTrips(t *testing.T) {
	s := testSuite(t)
	tree := NewExporterTree(s, testSecret)
	for component := range uint16(2) {
		b := exporterState(tree)
		restored, err := UnmarshalExporterTree(s, wire.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(exporterState(restored), b) {
			t.Error("the state changed")
		}
		for n := range b {
			if _, err := UnmarshalExporterTree(s, wire.NewReader(b[:n])); !errors.Is(err, wire.ErrTruncated) {
				t.Errorf("first %d octets: %v", n, err)
			}
		}
		if _, err := tree.Export(component); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMalformedExporterStatesAreRefused(t *testing.T) {
	s := testSuite(t)
	for name, c := range map[string]struct {
		version uint8
		nodes   []uint32
		want    error
	}{
		"root":                    {1, []uint32{1<<16 - 1}, nil},
		"all exported":            {1, nil, nil},
		"some exported":           {1, []uint32{0, 9}, nil},
		"other version":           {0, nil, ErrState},
		"descending":              {1, []uint32{9, 0}, ErrState},
		"overlapping":             {1, []uint32{0, 1}, ErrState},
		"outside the tree":        {1, []uint32{1<<17 - 1}, ErrState},
		"outside every tree":      {1, []uint32{1<<32 - 1}, ErrState},
		"overlapping at the edge": {1, []uint32{1<<16 - 1, 1<<17 - 2}, ErrState},
	} {
		var w wire.Writer
		w.Uint8(c.version)
		w.Uint32(uint32(len(c.nodes)))
		for _, n := range c.nodes {
			w.Uint32(n)
			w.Bytes(make([]byte, s.HashSize()))
		}
		if tree, err := UnmarshalExporterTree(s, wire.NewReader(w.Data())); !errors.Is(err, c.want) || (tree == nil) != (c.want != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzUnmarshalExporterTree(f *testing.F) {
	s := testSuite(f)
	tree := NewExporterTree(s, testSecret)
	f.Add(exporterState(tree), uint16(0))
	if _, err := tree.Export(3); err != nil {
		f.Fatal(err)
	}
	f.Add(exporterState(tree), uint16(3))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff}, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, component uint16) {
		r := wire.NewReader(b)
		tree, err := UnmarshalExporterTree(s, r)
		if err != nil {
			return
		}
		if read := b[:len(b)-len(r.Rest())]; !bytes.Equal(exporterState(tree), read) {
			t.Fatalf("%x is written back as %x", read, exporterState(tree))
		}
		_, _ = tree.Export(component)
		if _, err := tree.Export(component); !errors.Is(err, ErrConsumed) {
			t.Fatalf("exported twice: %v", err)
		}
	})
}
