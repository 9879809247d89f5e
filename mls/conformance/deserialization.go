package conformance

import (
	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// deserialization has the header of a vector and the length that it stands for.
type deserialization struct {
	Header hexBytes `json:"vlbytes_header"`
	Length int64    `json:"length"`
}

func (*deserialization) suiteID() ciphersuite.ID { return 0 }

func (v *deserialization) check(c *checker) {
	r := wire.NewReader(v.Header)
	got := r.Length()
	if c.ok("vlbytes_header", r.Finish()) {
		c.that(int64(got) == v.Length, "length is %d, want %d", got, v.Length)
		var w wire.Writer
		w.Length(got)
		c.equal("header of that length", w.Data(), v.Header)
	}
}
