package conformance

import (
	"reflect"
	"slices"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// appContent has what components of draft-ietf-mls-extensions say: AppAck, the
// list of media types and the framing of application data. The format is our own.
type appContent struct {
	AppAck struct {
		Ranges  []messageRange `json:"received_ranges"`
		Encoded hexBytes       `json:"encoded"`
	} `json:"app_ack"`
	MediaTypes struct {
		Types   []mediaType `json:"media_types"`
		Encoded hexBytes    `json:"encoded"`
	} `json:"media_type_list"`
	Framing struct {
		MediaType mediaType `json:"media_type"`
		Content   hexBytes  `json:"content"`
		Encoded   hexBytes  `json:"encoded"`
	} `json:"application_framing"`
}

type messageRange struct {
	Sender uint32 `json:"sender"`
	First  uint32 `json:"first_generation"`
	Last   uint32 `json:"last_generation"`
}

type mediaType struct {
	Type       string               `json:"type"`
	Parameters []mediaTypeParameter `json:"parameters"`
}

type mediaTypeParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (*appContent) suiteID() ciphersuite.ID { return 0 }

func (v *appContent) check(c *checker) {
	c.equal("app_ack, encoded", v.appAck().Proposal().Data, v.AppAck.Encoded)
	if ack, err := mls.ParseAppAck(v.AppAck.Encoded); c.ok("app_ack", err) {
		c.that(slices.Equal(ack, v.appAck()), "app_ack is %v, want %v", ack, v.appAck())
	}
	encoded, err := v.mediaTypes().Marshal()
	c.ok("encoding media_type_list", err)
	c.equal("media_type_list, encoded", encoded, v.MediaTypes.Encoded)
	if list, err := mls.ParseMediaTypeList(v.MediaTypes.Encoded); c.ok("media_type_list", err) {
		c.that(reflect.DeepEqual(list, v.mediaTypes()), "media_type_list is %v, want %v", list, v.mediaTypes())
	}
	encoded, err = v.framing().Marshal()
	c.ok("encoding application_framing", err)
	c.equal("application_framing, encoded", encoded, v.Framing.Encoded)
	if framing, err := mls.ParseApplicationFraming(v.Framing.Encoded); c.ok("application_framing", err) {
		c.that(reflect.DeepEqual(framing.MediaType, v.framing().MediaType), "media_type is %v, want %v", framing.MediaType, v.framing().MediaType)
		c.equal("content", framing.Content, v.Framing.Content)
	}
}

func (v *appContent) appAck() mls.AppAck {
	var ack mls.AppAck
	for _, r := range v.AppAck.Ranges {
		ack = append(ack, mls.MessageRange{Sender: mls.LeafIndex(r.Sender), First: r.First, Last: r.Last})
	}
	return ack
}

func (t *mediaType) decoded() mls.MediaType {
	decoded := mls.MediaType{Type: t.Type}
	for _, p := range t.Parameters {
		decoded.Parameters = append(decoded.Parameters, mls.MediaTypeParameter{Name: p.Name, Value: p.Value})
	}
	return decoded
}

func (v *appContent) mediaTypes() mls.MediaTypeList {
	var list mls.MediaTypeList
	for i := range v.MediaTypes.Types {
		list = append(list, v.MediaTypes.Types[i].decoded())
	}
	return list
}

func (v *appContent) framing() *mls.ApplicationFraming {
	return &mls.ApplicationFraming{MediaType: v.Framing.MediaType.decoded(), Content: v.Framing.Content}
}

// generateAppContent makes cases of 0, 1, 2... ranges and of one media type more.
func generateAppContent(g *generator) (vector, error) {
	types := []mediaType{
		{"text/plain", []mediaTypeParameter{{"charset", "UTF-8"}}},
		{"image/png", []mediaTypeParameter{}},
		{"application/json", []mediaTypeParameter{}},
		{"application/vnd.example.msgbus+cbor", []mediaTypeParameter{}},
		{"multipart/alternative", []mediaTypeParameter{{"boundary", `a "quoted" \ word`}, {"x", ""}}},
		{"text/markdown", []mediaTypeParameter{{"charset", "UTF-8"}, {"variant", "CommonMark"}}},
	}
	v := new(appContent)
	v.AppAck.Ranges = []messageRange{}
	for i := range g.index {
		first := uint32(g.number(1 << 16))
		v.AppAck.Ranges = append(v.AppAck.Ranges, messageRange{uint32(g.number(1 << 10)), first, first + uint32(g.number(1+i))})
	}
	v.AppAck.Encoded = v.appAck().Proposal().Data
	v.MediaTypes.Types = types[:1+g.index%len(types)]
	v.Framing.MediaType = mediaType{Parameters: []mediaTypeParameter{}} // the first of the group's
	if g.index > 0 {
		v.Framing.MediaType = types[g.index%len(types)]
	}
	v.Framing.Content = g.octets([]int{0, 1, 63, 64, 20}[g.index%5])
	var err error
	if v.MediaTypes.Encoded, err = v.mediaTypes().Marshal(); err != nil {
		return nil, err
	}
	v.Framing.Encoded, err = v.framing().Marshal()
	return v, err
}
