package mls

import (
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
)

// What decodes encodes to the same octets: there is one encoding of what
// components say.
func FuzzComponentEncodings(f *testing.F) {
	dictionary := mediaExtension(plainText, png).Data
	f.Add(dictionary)
	f.Add(mustExtension(AppDataDictionary{{1, []byte{2, 0x80, 1}}, {0x8001, nil}}).Data)
	f.Add(must(MediaTypeList{plainText, png}.Marshal()))
	f.Add(must((&ApplicationFraming{MediaType: png, Content: []byte("content")}).Marshal()))
	f.Add(must((&ApplicationFraming{}).Marshal()))
	f.Add(AppAck{{0, 1, 2}, {3, 4, 5}}.Proposal().Data)
	f.Add(must(SafeAAD{{0x8001, []byte("x")}}.Marshal()))
	f.Add(ComponentsList{1, 0x8001}.Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := ParseAppDataDictionary(data); err == nil {
			wantEqual(t, "dictionary", mustExtension(d).Data, data)
		}
		if a, err := ParseSafeAAD(data); err == nil {
			wantEqual(t, "SafeAAD", must(a.Marshal()), data)
		}
		if l, err := ParseComponentsList(data); err == nil {
			wantEqual(t, "components list", l.Marshal(), data)
		}
		if l, err := ParseMediaTypeList(data); err == nil {
			wantEqual(t, "media types", must(l.Marshal()), data)
			for _, m := range l {
				if !l.Contains(m) || m.String() == "" {
					t.Errorf("the list does not contain its own %v", m)
				}
			}
		}
		if p, err := ParseApplicationFraming(data); err == nil {
			wantEqual(t, "framing", must(p.Marshal()), data)
		}
		if a, err := ParseAppAck(data); err == nil {
			wantEqual(t, "AppAck", a.Proposal().Data, data)
			set := newMessageSet(a)
			if len(set) > len(a) || len(set.without(set)) != 0 {
				t.Errorf("the set of %v is %v", a, set)
			}
		}
	})
}

// A hostile member signs any proposal or commit, in a group with components.
func FuzzProcessComponents(f *testing.F) {
	c := emptyCrowd(f, suite1)
	c.configure = func(cfg *Config) {
		componentConfig(cfg)
		cfg.Components = append(cfg.Components, AppAcks(), contentComponent(f, png))
	}
	entry := mustExtension(AppDataDictionary{{notesComponent, []byte("entry")}})
	c.found(GroupOptions{Extensions: Extensions{entry}})
	c.add(0, 2)
	add := func(content framedContent) {
		var body wire.Writer
		content.encodeBody(&body)
		f.Add(uint8(content.contentType), body.Data())
	}
	proposals := []Proposal{
		update(notesComponent, "more"), update(plainComponent, "other"), &AppDataUpdate{Component: notesComponent, Remove: true},
		update(ComponentSafeAAD, "\x00"), update(ComponentAppComponents, "\x02\x80\x11"), update(ComponentContentMediaTypes, "\x0b\x09image/png\x00"),
		&AppEphemeral{Component: plainComponent, Data: []byte("once")}, AppAck{{1, 0, 2}}.Proposal(), &GroupContextExtensions{Extensions{entry}},
	}
	for i, p := range proposals {
		add(framedContent{contentType: ContentProposal, proposal: p})
		add(framedContent{contentType: ContentCommit, commit: &commit{proposals: byValue(proposals[:i+1]...)}})
	}
	before := mustMarshal(f, c.members[1].g)
	f.Fuzz(func(t *testing.T, contentType uint8, body []byte) {
		g, err := RestoreGroup(c.members[1].cfg, c.members[1].id.Signer, before)
		if err != nil {
			t.Fatal(err)
		}
		sender := c.members[0].g
		a := sender.newContent(ContentType(contentType), WireFormatPublicMessage, nil)
		r := wire.NewReaderWithContext(body, allProposals)
		a.content.decodeBody(r)
		if r.Finish() != nil || a.content.proposal == nil && a.content.commit == nil {
			return
		}
		a.auth.confirmationTag = make([]byte, c.suite.HashSize())
		message, err := sender.signAndProtect(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Process(message); err != nil {
			wantEqual(t, "state", mustMarshal(t, g), before)
			return
		}
		// What is accepted is kept across a restart.
		if _, err := RestoreGroup(c.members[1].cfg, c.members[1].id.Signer, mustMarshal(t, g)); err != nil {
			t.Errorf("the state does not come back: %v", err)
		}
	})
}
