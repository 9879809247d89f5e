package mls

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

var (
	plainText = MediaType{Type: "text/plain", Parameters: []MediaTypeParameter{{"charset", "UTF-8"}}}
	png       = MediaType{Type: "image/png"}
	jsonType  = MediaType{Type: "application/json"}
)

// contentComponent is the component of a client that can receive the given types.
func contentComponent(t failer, types ...MediaType) Component {
	t.Helper()
	c, err := ContentMediaTypes(types...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mediaCrowd is a group whose members can receive three types, of which the
// GroupContext lists the first two.
func mediaCrowd(t failer, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.Components = []Component{contentComponent(t, plainText, png, jsonType)} }
	c.found(GroupOptions{Extensions: Extensions{mediaExtension(plainText, png)}})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

func mediaExtension(types ...MediaType) Extension {
	return mustExtension(AppDataDictionary{{ComponentContentMediaTypes, must(MediaTypeList(types).Marshal())}})
}

func TestMediaTypesOnTheWire(t *testing.T) {
	want := []byte("\x25\x0atext/plain\x0e\x07charset\x05UTF-8\x09image/png\x00")
	list := MediaTypeList{plainText, png}
	wantEqual(t, "list", must(list.Marshal()), want)
	parsed, err := ParseMediaTypeList(want)
	if err != nil || len(parsed) != 2 || !parsed[0].Equal(plainText) || !parsed[1].Equal(png) {
		t.Errorf("parsed %v, %v", parsed, err)
	}
	framed := &ApplicationFraming{MediaType: png, Content: []byte("...")}
	wantEqual(t, "framing", must(framed.Marshal()), []byte("\x09image/png\x00\x03..."))
	wantEqual(t, "framing without a type", must((&ApplicationFraming{Content: []byte("...")}).Marshal()), []byte("\x00\x00\x03..."))
	for n := range want {
		if _, err := ParseMediaTypeList(want[:n]); err == nil {
			t.Errorf("%d octets of %d are a list", n, len(want))
		}
	}
	if _, err := ParseMediaTypeList(append(want, 0)); !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("trailing octet: %v", err)
	}
}

// The draft's examples. Quotes and the backslashes before quoted characters are
// not part of a value.
func TestMediaTypesOfText(t *testing.T) {
	for text, want := range map[string]MediaType{
		"image/png":                             png,
		`text/plain ;charset="UTF-8"`:           plainText,
		"application/json":                      jsonType,
		"application/vnd.example.msgbus+cbor":   {Type: "application/vnd.example.msgbus+cbor"},
		`text/x; b="a \"quoted\" \\ word"; a=1`: {Type: "text/x", Parameters: []MediaTypeParameter{{"a", "1"}, {"b", `a "quoted" \ word`}}},
	} {
		got, err := ParseMediaType(text)
		if err != nil || !got.Equal(want) || len(got.Parameters) > 0 && got.Parameters[0] != want.Parameters[0] {
			t.Errorf("%s is %+v (%v), want %+v", text, got, err, want)
		}
		again, err := ParseMediaType(got.String())
		if err != nil || !again.Equal(want) {
			t.Errorf("%s is written as %s", text, got)
		}
	}
	for _, text := range []string{"", "text", "text/plain; charset", "/x"} {
		if got, err := ParseMediaType(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if got := (MediaType{Type: "not a type"}).String(); got != `"not a type"` {
		t.Errorf("written as %s", got)
	}
}

func TestMediaTypesAreEqualWhereTheyMeanTheSame(t *testing.T) {
	two := func(a, b MediaTypeParameter) MediaType {
		return MediaType{Type: "text/plain", Parameters: []MediaTypeParameter{a, b}}
	}
	x, y := MediaTypeParameter{"x", "1"}, MediaTypeParameter{"y", "2"}
	for _, test := range []struct {
		a, b MediaType
		want bool
	}{
		{two(x, y), two(y, x), true},
		{MediaType{Type: "Text/Plain", Parameters: []MediaTypeParameter{{"CHARSET", "UTF-8"}}}, plainText, true},
		{MediaType{Type: "text/plain", Parameters: []MediaTypeParameter{{"charset", "utf-8"}}}, plainText, false},
		{MediaType{Type: "text/plain"}, plainText, false},
		{two(x, x), two(x, y), false},
		{png, jsonType, false},
		{MediaType{Type: "text/\u017f"}, MediaType{Type: "text/s"}, false}, // but for Unicode, it is
	} {
		if test.a.Equal(test.b) != test.want || test.b.Equal(test.a) != test.want {
			t.Errorf("%v and %v: want equal: %v", test.a, test.b, test.want)
		}
	}
}

func TestApplicationDataIsFramedWhereTheGroupAsksForIt(t *testing.T) {
	c := mediaCrowd(t, 3)
	late := must(c.members[0].g.Protect(must((&ApplicationFraming{Content: []byte("late")}).Marshal()), nil))
	for _, test := range []struct{ sent, want MediaType }{{png, png}, {MediaType{}, plainText}, {jsonType, jsonType}} {
		data := must((&ApplicationFraming{MediaType: test.sent, Content: []byte("content")}).Marshal())
		got := c.process(1, must(c.members[0].g.Protect(data, nil))).(*ReceivedApplication)
		if got.Framing == nil || !got.Framing.MediaType.Equal(test.want) || string(got.Framing.Content) != "content" || !bytes.Equal(got.Data, data) {
			t.Errorf("sent %v, received %+v", test.sent, got.Framing)
		}
	}
	// A late message is read with the list of its own epoch.
	past := c.members[1].g.retire(testTime)
	c.commit(2, CommitOptions{Proposals: []Proposal{&AppDataUpdate{Component: ComponentContentMediaTypes, Update: must(MediaTypeList{jsonType}.Marshal())}}})
	received, err := past.process(late)
	if err != nil {
		t.Fatal(err)
	}
	if f := received.(*ReceivedApplication).Framing; f == nil || !f.MediaType.Equal(plainText) {
		t.Errorf("a late message holds %+v", f)
	}
	c.restart()
	message := must(c.members[1].g.Protect(must((&ApplicationFraming{}).Marshal()), nil))
	if f := c.process(0, message).(*ReceivedApplication).Framing; f == nil || !f.MediaType.Equal(jsonType) {
		t.Errorf("after the update, a message holds %+v", f)
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{&AppDataUpdate{Component: ComponentContentMediaTypes, Remove: true}}})
	c.checkMessages() // as they like
	if f := c.process(0, must(c.members[1].g.Protect([]byte("\x00\x00\x00"), nil))).(*ReceivedApplication).Framing; f != nil {
		t.Errorf("in a group without media types, a message holds %+v", f)
	}
}

func TestLeavesAdvertiseTheirMediaTypes(t *testing.T) {
	c := mediaCrowd(t, 2)
	for _, m := range c.members[0].g.Members() {
		types, err := m.Leaf.Extensions.MediaTypes()
		if err != nil || len(types) != 3 || !types.Contains(jsonType) {
			t.Errorf("leaf %d can receive %v, %v", m.Index, types, err)
		}
		list, _ := leafEntry(t, m.Leaf, ComponentAppComponents)
		if !bytes.Equal(list, []byte{2, 0, 3}) {
			t.Errorf("leaf %d has the components %x", m.Index, list)
		}
	}
	if types, err := (Extensions{}).MediaTypes(); types != nil || err != nil {
		t.Errorf("media types of no extensions: %v, %v", types, err)
	}
}

func mediaRefusals() []refusal {
	framing := func(name string, data []byte) refusal {
		return refusal{CheckApplicationFraming, name, func(t *testing.T) error {
			c := mediaCrowd(t, 3)
			before := mustMarshal(t, c.members[0].g)
			_, own := c.members[0].g.Protect(data, nil)
			wantEqual(t, "state", mustMarshal(t, c.members[0].g), before)
			err := c.refused(c.forge(0, ContentApplication, WireFormatPrivateMessage, func(a *authenticatedContent) { a.content.application = data }))
			c.sameRule(own, err)
			return err
		}}
	}
	lists := func(check Check, name string, types ...MediaType) refusal {
		return refusal{check, name, func(t *testing.T) error {
			if _, err := ContentMediaTypes(types...); err == nil {
				t.Error("a client can advertise it")
			}
			data := wire.Encode(func(w *wire.Writer) { writeVector(w, types) })
			return mediaCrowd(t, 2).refusedProposals(&AppDataUpdate{Component: ComponentContentMediaTypes, Update: data})
		}}
	}
	lacking := func(name string, receivable ...MediaType) refusal {
		return refusal{CheckMediaTypesSupport, name, func(t *testing.T) error {
			c := mediaCrowd(t, 2)
			c.configure = func(cfg *Config) {
				if receivable != nil {
					cfg.Components = []Component{contentComponent(t, receivable...)}
				}
			}
			leaf := LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionAppDataDictionary}}}
			return c.refusedProposals(c.spoiltAdd(leaf, func(*KeyPackage) {}))
		}}
	}
	return []refusal{
		framing("nothing", nil),
		framing("unframed", []byte("hello")),
		framing("cut short", []byte("\x09image/png\x00\x03..")),
		framing("trailing octet", []byte("\x09image/png\x00\x03....")),
		framing("parameters of no type", []byte("\x00\x04\x01a\x01b\x00")),
		framing("half a type", []byte("\x06image/\x00\x00")),
		lists(CheckMediaTypeList, "empty"),
		lists(CheckMediaType, "no type", MediaType{}),
		lists(CheckMediaType, "no subtype", png, MediaType{Type: "image"}),
		lists(CheckMediaType, "two slashes", MediaType{Type: "image/png/gif"}),
		lists(CheckMediaType, "parameter without a name", MediaType{Type: "image/png", Parameters: []MediaTypeParameter{{"", "x"}}}),
		lacking("one of two", png),
		lacking("none"),
		{CheckMediaTypesSupport, "raised", func(t *testing.T) error {
			data := must(MediaTypeList{plainText, {Type: "audio/ogg"}}.Marshal())
			return mediaCrowd(t, 2).refusedProposals(&AppDataUpdate{Component: ComponentContentMediaTypes, Update: data})
		}},
	}
}
