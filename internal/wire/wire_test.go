package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/internal/wire"
	"pgregory.net/rapid"
)

func TestDeserializationVectors(t *testing.T) {
	var cases []struct {
		Header testvectors.Hex `json:"vlbytes_header"`
		Length int             `json:"length"`
	}
	testvectors.Load(t, "deserialization", &cases)
	checked := 0
	for _, c := range cases {
		r := wire.NewReader(c.Header)
		if got := r.Length(); got != c.Length || r.Finish() != nil {
			t.Errorf("header %x: got %d, %v, want %d", c.Header, got, r.Err(), c.Length)
		}
		w := wire.NewWriter(nil)
		w.Length(c.Length)
		if !bytes.Equal(w.Data(), c.Header) {
			t.Errorf("length %d: got header %x, want %x", c.Length, w.Data(), c.Header)
		}
		checked++
	}
	if checked != 14 {
		t.Errorf("checked %d cases, want 14", checked)
	}
}

// A value of every kind, to be written and read again.
type field struct {
	kind     string
	number   uint64
	octets   []byte
	elements [][]byte
	present  bool
}

func drawField(t *rapid.T) field {
	f := field{kind: rapid.SampledFrom([]string{
		"uint8", "uint16", "uint24", "uint32", "uint64", "length", "bytes", "opaque", "string", "vector", "optional",
	}).Draw(t, "kind")}
	switch f.kind {
	case "uint8":
		f.number = uint64(rapid.Uint8().Draw(t, "number"))
	case "uint16":
		f.number = uint64(rapid.Uint16().Draw(t, "number"))
	case "uint24":
		f.number = uint64(rapid.Uint32Max(1<<24-1).Draw(t, "number"))
	case "uint32":
		f.number = uint64(rapid.Uint32().Draw(t, "number"))
	case "uint64":
		f.number = rapid.Uint64().Draw(t, "number")
	case "length":
		f.number = uint64(rapid.IntRange(0, wire.MaxLength).Draw(t, "number"))
	case "bytes", "opaque", "string":
		f.octets = drawOctets(t)
	case "vector":
		for range rapid.IntRange(0, 5).Draw(t, "elements") {
			f.elements = append(f.elements, drawOctets(t))
		}
	case "optional":
		f.present = rapid.Bool().Draw(t, "present")
	}
	return f
}

// drawOctets prefers sizes at which the length header grows.
func drawOctets(t *rapid.T) []byte {
	n := rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(16380, 16390)).Draw(t, "size")
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "octet")}, n)
}

func (f field) write(w *wire.Writer) {
	switch f.kind {
	case "uint8":
		w.Uint8(uint8(f.number))
	case "uint16":
		w.Uint16(uint16(f.number))
	case "uint24":
		w.Uint24(uint32(f.number))
	case "uint32":
		w.Uint32(uint32(f.number))
	case "uint64":
		w.Uint64(f.number)
	case "length":
		w.Length(int(f.number))
	case "bytes":
		w.Bytes(f.octets)
	case "opaque":
		w.Opaque(f.octets)
	case "string":
		w.String(string(f.octets))
	case "vector":
		w.Vector(func() {
			for _, e := range f.elements {
				w.Opaque(e)
			}
		})
	case "optional":
		w.Optional(f.present)
	}
}

// read returns the field that r holds where f was written.
func (f field) read(r *wire.Reader) field {
	got := field{kind: f.kind}
	switch f.kind {
	case "uint8":
		got.number = uint64(r.Uint8())
	case "uint16":
		got.number = uint64(r.Uint16())
	case "uint24":
		got.number = uint64(r.Uint24())
	case "uint32":
		got.number = uint64(r.Uint32())
	case "uint64":
		got.number = r.Uint64()
	case "length":
		got.number = uint64(r.Length())
	case "bytes":
		got.octets = r.Bytes(len(f.octets))
	case "opaque", "string":
		got.octets = r.Opaque()
	case "vector":
		r.Vector(func(r *wire.Reader) { got.elements = append(got.elements, r.Opaque()) })
	case "optional":
		got.present = r.Optional()
	}
	return got
}

func (f field) equal(g field) bool {
	if f.number != g.number || f.present != g.present || !bytes.Equal(f.octets, g.octets) || len(f.elements) != len(g.elements) {
		return false
	}
	for i := range f.elements {
		if !bytes.Equal(f.elements[i], g.elements[i]) {
			return false
		}
	}
	return true
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "prefix")
		fields := rapid.SliceOfN(rapid.Custom(drawField), 1, 8).Draw(t, "fields")
		w := wire.NewWriter(bytes.Clone(prefix))
		for _, f := range fields {
			f.write(w)
		}
		if w.Len() != len(w.Data()) {
			t.Fatalf("Len is %d of %d", w.Len(), len(w.Data()))
		}
		r := wire.NewReader(w.Data())
		if got := r.Bytes(len(prefix)); !bytes.Equal(got, prefix) {
			t.Fatalf("prefix: got %x, want %x", got, prefix)
		}
		for i, f := range fields {
			if got := f.read(r); !got.equal(f) {
				t.Fatalf("field %d: got %+v, want %+v", i, got, f)
			}
		}
		if err := r.Finish(); err != nil {
			t.Fatal(err)
		}

		// Every truncation is noticed, whichever field it falls in.
		if w.Len() == 0 {
			return
		}
		cut := rapid.IntRange(0, w.Len()-1).Draw(t, "cut")
		r = wire.NewReader(w.Data()[:cut])
		r.Bytes(min(len(prefix), cut+1))
		for _, f := range fields {
			f.read(r)
		}
		if err := r.Finish(); !errors.Is(err, wire.ErrTruncated) {
			t.Fatalf("cut at %d of %d: got %v, want ErrTruncated", cut, w.Len(), err)
		}
	})
}

func TestVectorsNest(t *testing.T) {
	for _, size := range []int{0, 1, 61, 62, 63, 64, 65, 16379, 16380, 16383, 16384} {
		inner := bytes.Repeat([]byte{7}, size)
		w := wire.NewWriter([]byte{0xaa})
		w.Vector(func() {
			w.Vector(func() { w.Opaque(inner) })
			w.Uint8(9)
		})
		want := wire.NewWriter(nil)
		want.Opaque(inner)
		middle := wire.NewWriter(nil)
		middle.Opaque(want.Data())
		middle.Uint8(9)
		outer := wire.NewWriter([]byte{0xaa})
		outer.Opaque(middle.Data())
		if !bytes.Equal(w.Data(), outer.Data()) {
			t.Errorf("content of %d octets: nested vectors differ from nested opaques", size)
		}
	}
}

func TestLengthsMustBeMinimal(t *testing.T) {
	for _, header := range []string{
		"\x40\x00", "\x40\x3f", // fit 6 bits
		"\x80\x00\x00\x00", "\x80\x00\x00\x3f", // fit 6 bits
		"\x80\x00\x00\x40", "\x80\x00\x3f\xff", // fit 14 bits
		"\xc0", "\xff", "\xc0\x00\x00\x00\x00\x00\x00\x00", "\xc0\x00\x00\x00\x40\x00\x00\x00", // reserved
	} {
		r := wire.NewReader([]byte(header))
		if n := r.Length(); n != 0 || !errors.Is(r.Err(), wire.ErrLength) {
			t.Errorf("header %x: got %d, %v, want ErrLength", header, n, r.Err())
		}
	}
	for _, header := range []string{"", "\x40", "\x80", "\x80\x00", "\x80\x01\x00"} {
		r := wire.NewReader([]byte(header))
		if n := r.Length(); n != 0 || !errors.Is(r.Err(), wire.ErrTruncated) {
			t.Errorf("header %x: got %d, %v, want ErrTruncated", header, n, r.Err())
		}
	}
}

func TestPresenceOctetsAreZeroOrOne(t *testing.T) {
	for b := range 256 {
		r := wire.NewReader([]byte{byte(b)})
		present := r.Optional()
		if b <= 1 && (present != (b == 1) || r.Finish() != nil) {
			t.Errorf("octet %d: got %v, %v", b, present, r.Err())
		}
		if b > 1 && (present || !errors.Is(r.Finish(), wire.ErrOptional)) {
			t.Errorf("octet %d: got %v, %v, want ErrOptional", b, present, r.Err())
		}
	}
}

func TestTheFirstErrorSticks(t *testing.T) {
	r := wire.NewReader([]byte{2, 1, 1})
	r.Optional()
	first := r.Err()
	r.Fail(errors.New("later"))
	if r.More() || r.Uint8() != 0 || r.Uint16() != 0 || r.Uint24() != 0 || r.Uint32() != 0 || r.Uint64() != 0 ||
		r.Length() != 0 || r.Opaque() != nil || r.Bytes(0) != nil || r.Optional() || len(r.Rest()) != 0 {
		t.Error("a failed Reader returned something")
	}
	r.Vector(func(*wire.Reader) { t.Error("a failed Reader read an element") })
	if !errors.Is(first, wire.ErrOptional) || r.Err() != first || r.Finish() != first {
		t.Errorf("got %v, want %v", r.Finish(), first)
	}
}

func TestTrailingOctetsAreAnError(t *testing.T) {
	r := wire.NewReader([]byte{1, 2})
	r.Uint8()
	if !r.More() || len(r.Rest()) != 1 {
		t.Error("an octet is left")
	}
	if err := r.Finish(); !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("got %v, want ErrTrailing", err)
	}
}

func TestVectorsStopAtAFailingElement(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		input   []byte
		element func(*wire.Reader)
		calls   int
		want    error
	}{
		"refused value":   {[]byte{3, 1, 2, 3}, func(r *wire.Reader) { r.Uint8(); r.Fail(refused) }, 1, refused},
		"cut element":     {[]byte{3, 1, 2, 3}, func(r *wire.Reader) { r.Uint16() }, 2, wire.ErrTruncated},
		"reads nothing":   {[]byte{3, 1, 2, 3}, func(r *wire.Reader) {}, 1, wire.ErrLength},
		"cut vector":      {[]byte{4, 1, 2, 3}, func(r *wire.Reader) { r.Uint8() }, 0, wire.ErrTruncated},
		"malformed size":  {[]byte{0xff, 1, 2, 3}, func(r *wire.Reader) { r.Uint8() }, 0, wire.ErrLength},
		"no element":      {[]byte{0}, func(r *wire.Reader) { r.Uint8() }, 0, nil},
		"bounded element": {[]byte{1, 1, 2, 3}, func(r *wire.Reader) { r.Uint16() }, 1, wire.ErrTruncated},
	} {
		calls := 0
		r := wire.NewReader(c.input)
		r.Vector(func(r *wire.Reader) { calls++; c.element(r) })
		if !errors.Is(r.Err(), c.want) || calls != c.calls {
			t.Errorf("%s: got %v after %d calls, want %v after %d", name, r.Err(), calls, c.want, c.calls)
		}
	}
}

// What a Reader hands out must not let its user overwrite what follows.
func TestReadersHandOutBoundedSlices(t *testing.T) {
	input := []byte{1, 0xaa, 0xbb}
	b := wire.NewReader(input).Opaque()
	_ = append(b, 0xcc)
	if input[2] != 0xbb {
		t.Error("appending to a value changed the next one")
	}
}

func TestAClaimedLengthAllocatesNothing(t *testing.T) {
	input := []byte{0xbf, 0xff, 0xff, 0xff, 1} // claims MaxLength octets
	allocations := testing.AllocsPerRun(100, func() {
		r := wire.NewReader(input)
		if r.Opaque() != nil {
			t.Error("read what is not there")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want 0", allocations)
	}
}

func TestWritersRefuseTheirCallersMistakes(t *testing.T) {
	for name, write := range map[string]func(*wire.Writer){
		"uint24":          func(w *wire.Writer) { w.Uint24(1 << 24) },
		"length":          func(w *wire.Writer) { w.Length(wire.MaxLength + 1) },
		"negative length": func(w *wire.Writer) { w.Length(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			write(wire.NewWriter(nil))
		}()
	}
	r := wire.NewReader([]byte{1})
	if r.Bytes(-1) != nil || !errors.Is(r.Err(), wire.ErrTruncated) {
		t.Errorf("negative size: %v", r.Err())
	}
}

// FuzzReader drives a Reader by a program of operations over arbitrary input.
// Whatever is accepted must be what a Writer writes.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08"), []byte("\x01\x01\x02\x01\x02\x03"))
	f.Add([]byte{5, 6, 7}, []byte{0x40, 0x40, 1, 2, 3})
	f.Add([]byte{6, 6}, []byte{3, 2, 9, 9, 0, 0xbf, 0xff, 0xff, 0xff})
	f.Add([]byte{5}, append([]byte{0x40, 0x40}, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, program, input []byte) {
		r := wire.NewReader(input)
		w := wire.NewWriter(nil)
		for _, op := range program {
			switch op % 8 {
			case 0:
				w.Uint8(r.Uint8())
			case 1:
				w.Uint16(r.Uint16())
			case 2:
				w.Uint24(r.Uint24())
			case 3:
				w.Uint32(r.Uint32())
			case 4:
				w.Uint64(r.Uint64())
			case 5:
				w.Opaque(r.Opaque())
			case 6:
				w.Vector(func() { r.Vector(func(r *wire.Reader) { w.Opaque(r.Opaque()) }) })
			case 7:
				w.Optional(r.Optional())
			}
			if r.Err() != nil {
				if r.More() || len(r.Rest()) != 0 {
					t.Fatal("a failed Reader has input left")
				}
				return
			}
		}
		if read := input[:len(input)-len(r.Rest())]; !bytes.Equal(w.Data(), read) {
			t.Fatalf("accepted %x, which is written as %x", read, w.Data())
		}
	})
}

func ExampleReader() {
	w := wire.NewWriter(nil)
	w.Uint16(1)
	w.Opaque([]byte("group"))
	r := wire.NewReader(w.Data())
	version, group := r.Uint16(), r.Opaque()
	fmt.Println(version, string(group), r.Finish())
	// Output: 1 group <nil>
}
