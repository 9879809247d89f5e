package mls

import (
	"bytes"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/internal/wire"
)

type hexBytes = testvectors.Hex

func wantEqual(t failer, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, want %x", what, got, want)
	}
}

func mustParseTree(t failer, data []byte) *ratchetTree {
	t.Helper()
	tree, err := parseTree(data)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func encodeTree(tree *ratchetTree) []byte {
	var w wire.Writer
	tree.encode(&w)
	return w.Data()
}

func mustUnmarshal(t failer, data []byte, v decoder) {
	t.Helper()
	if err := unmarshal(data, v); err != nil {
		t.Fatalf("decoding %T: %v", v, err)
	}
}

// acceptAll is an AuthenticationService that believes everybody.
type acceptAll struct{}

func (acceptAll) ValidateLeaf(leaf, previous *LeafNode) error { return nil }

func (acceptAll) ValidateExternalSender(*ExternalSender) error { return nil }
