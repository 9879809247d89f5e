package mls

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

// What others send cannot make us allocate more than some multiple of it.
func TestHostileSizesCostLittle(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	vector := func(content []byte) []byte {
		var w wire.Writer
		w.Opaque(content)
		return w.Data()
	}
	leaf := marshal(c.members[0].g.tree.leafNode(0))
	blanks := append(make([]byte, 1<<16), append([]byte{1, nodeTypeLeaf}, leaf...)...)
	header := []byte{0, 1, 0, byte(WireFormatPublicMessage)}
	proposals := bytes.Repeat([]byte{proposalByReference, 0}, 1<<15)
	for _, hostile := range []struct {
		name  string
		size  int
		parse func() error
	}{
		{"tree of blank nodes", len(blanks), func() error { _, err := parseTree(vector(blanks)); return err }},
		{"vector of 2^30 octets", 9, func() error {
			_, err := c.members[0].g.Process(append(header, 0xbf, 0xff, 0xff, 0xff))
			return err
		}},
		{"commit of empty references", len(proposals), func() error {
			return unmarshal(append(vector(proposals), 0), new(commit))
		}},
		{"code points", 1 << 16, func() error {
			r := wire.NewReader(vector(make([]byte, 1<<16)))
			readUint16s[ExtensionType](r)
			return r.Finish()
		}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = hostile.parse()
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(400*hostile.size+1<<15); got > limit {
			t.Errorf("%s: %d octets made us allocate %d, want %d at the most", hostile.name, hostile.size, got, limit)
		} else {
			t.Logf("%s: %d octets for %d", hostile.name, got, hostile.size)
		}
	}
}

// A group does not remember more proposals than it has to.
func TestPendingProposalsAreBounded(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	g := c.members[1].g
	g.proposals = make([]*cachedProposal, maxCachedProposals)
	for i := range g.proposals {
		g.proposals[i] = &cachedProposal{ref: []byte{byte(i), byte(i >> 8)}, proposal: &Remove{}}
	}
	message, err := c.members[0].g.Propose(&Remove{Removed: 1}, ProposeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.refused(message) == nil {
		t.Error("one proposal too many")
	}
}
