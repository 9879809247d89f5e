package conformance

import (
	"slices"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// wireFormats has a list of wire formats as an extension has it
// (draft-ietf-mls-extensions, Section 5). The format is our own.
type wireFormats struct {
	Formats []uint16 `json:"wire_formats"`
	Encoded hexBytes `json:"encoded"`
}

func (*wireFormats) suiteID() ciphersuite.ID { return 0 }

func (v *wireFormats) list() mls.WireFormats {
	list := make(mls.WireFormats, len(v.Formats))
	for i, f := range v.Formats {
		list[i] = mls.WireFormat(f)
	}
	return list
}

func (v *wireFormats) check(c *checker) {
	parsed, err := mls.ParseWireFormats(v.Encoded)
	if c.ok("encoded", err) {
		c.that(slices.Equal(parsed, v.list()), "encoded holds %v, want %v", parsed, v.list())
	}
	c.equal("encoding wire_formats", v.list().Marshal(), v.Encoded)
}

// generateWireFormats makes cases of 0, 1, 2... formats, the last of more than
// one octet of length can count.
func generateWireFormats(g *generator) (vector, error) {
	v := &wireFormats{Formats: []uint16{}}
	n := g.index
	if n > 3 {
		n *= 10
	}
	for range n {
		v.Formats = append(v.Formats, uint16(g.number(1<<16)))
	}
	v.Encoded = v.list().Marshal()
	return v, nil
}
