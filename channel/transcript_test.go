package channel

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

var updateTranscript = flag.Bool("update", false, "write the transcript into docs/protocol.md")

const (
	protocolPage    = "../docs/protocol.md"
	transcriptBegin = "<!-- The transcript: written by go test ./channel -run TestTranscript -update -->\n"
	transcriptEnd   = "<!-- End of the transcript -->\n"
)

// A transcript writes down what two ends say, made from fixed randomness.
type transcript struct {
	text bytes.Buffer
	t    *testing.T
}

// A scribe is one end of a transcript's connection: it turns events into records.
type scribe struct {
	*transcript
	name          string
	session       *Session
	send, receive *record.Protection
	inbox         []Message
	other         *scribe
}

func (w *transcript) heading(format string, args ...any) {
	fmt.Fprintf(&w.text, "### "+format+"\n\n", args...)
}

// dump writes octets in lines of 32, behind a name.
func (w *transcript) dump(name string, data []byte) {
	fmt.Fprintf(&w.text, "    %s (%d):\n", name, len(data))
	for len(data) > 0 {
		n := min(32, len(data))
		fmt.Fprintf(&w.text, "      %x\n", data[:n])
		data = data[n:]
	}
	w.text.WriteString("\n")
}

// carryOut writes the records that events lead to and has the other end open them.
func (s *scribe) carryOut(events []Event, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	for _, e := range events {
		switch e := e.(type) {
		case Send:
			s.say(record.ContentHandshake, e.Message.Type.String(), e.Message.AppendTo(nil))
			s.other.inbox = append(s.other.inbox, e.Message)
		case SwitchSend:
			s.dump(fmt.Sprintf("%s sends under the traffic secret of epoch %d", s.name, e.Epoch), e.Secret)
			s.send = must(record.NewProtection(e.Suite, e.Secret))
		case SwitchReceive:
			s.receive = must(record.NewProtection(e.Suite, e.Secret))
		}
	}
}

// say writes one record, and its content if that is encrypted.
func (s *scribe) say(t record.ContentType, what string, content []byte) {
	s.t.Helper()
	if s.send == nil {
		s.dump(s.name+": "+what+", record", must(record.AppendPlaintext(nil, t, content)))
		return
	}
	sealed := must(s.send.Seal(nil, t, content))
	s.dump(s.name+": "+what, content)
	s.dump("in the record", sealed)
	kind, opened, err := s.other.receive.Open(nil, sealed)
	if err != nil || kind != t || !bytes.Equal(opened, content) {
		s.t.Fatalf("%s: %s cannot be opened: %v", s.name, what, err)
	}
}

// hear hands over the messages that wait, of both ends, until there are none.
func hear(a, b *scribe) {
	for len(a.inbox)+len(b.inbox) > 0 {
		for _, s := range []*scribe{a, b} {
			for len(s.inbox) > 0 {
				m := s.inbox[0]
				s.inbox = s.inbox[1:]
				m.Protected = s.receive != nil
				s.carryOut(s.session.Receive(ctx, m))
			}
		}
	}
}

// writeTranscript returns a handshake, an update and a resumption, to the octet.
func writeTranscript(t *testing.T) string {
	w := &transcript{t: t}
	s := must(ciphersuite.Default().Lookup(suite))
	var hosts [2]*host
	for i, name := range []string{"alice", "bob"} {
		h := newHost(t, name)
		random := rand.NewChaCha8([32]byte{byte(i + 1)})
		seed := bytes.Repeat([]byte{byte(0xA1 + i)}, 32)
		h.cfg.Rand = random
		h.cfg.Identity = mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: must(s.ParseSigner(seed))}
		h.cfg.Protocols, h.cfg.MaxEarlyData = []string{"echo"}, 64
		hosts[i] = h
		w.dump(name+"'s Ed25519 seed", seed)
	}
	hosts[0].cfg.ServerName = "bob.example"
	open := func(first, second *Session) (a, b *scribe) {
		a = &scribe{transcript: w, name: "alice", session: first}
		b = &scribe{transcript: w, name: "bob", session: second}
		a.other, b.other = b, a
		return a, b
	}

	w.heading("The full handshake")
	a, b := open(must(NewInitiator(&hosts[0].cfg)), must(NewResponder(&hosts[1].cfg)))
	a.carryOut(a.session.Start(ctx))
	hear(a, b)
	a.say(record.ContentApplicationData, "application data", []byte("hello"))

	w.heading("An update of the responder")
	b.carryOut(b.session.Update(ctx, ReasonAge))
	hear(a, b)
	b.say(record.ContentApplicationData, "application data", []byte("healed"))
	b.say(record.ContentAlert, "close_notify", []byte{1, byte(AlertCloseNotify)})

	w.heading("A resumption by the initiator, with early data")
	id := a.session.ID()
	a.session.Close()
	b.session.Close()
	a, b = open(must(Resume(ctx, &hosts[0].cfg, id)), must(NewResponder(&hosts[1].cfg)))
	a.carryOut(a.session.StartWithEarlyData(ctx, []byte("early")))
	hear(a, b)
	if a.session.State() != StateSynced || b.session.State() != StateSynced || a.session.Epoch() != 4 {
		t.Fatalf("states are %v and %v, epoch %d", a.session.State(), b.session.State(), a.session.Epoch())
	}
	w.dump("epoch_authenticator of epoch 4", a.session.EpochAuthenticator())
	w.dump(`ExportKeyingMaterial("label", "context", 32) of epoch 4`, must(a.session.ExportKeyingMaterial("label", []byte("context"), 32)))
	fmt.Fprintf(&w.text, "    ShortFingerprint of epoch 4: %s\n\n", a.session.ShortFingerprint())
	return w.text.String()
}

// The page that a second implementation is written from shows what this one says.
func TestTranscriptInTheProtocolPageIsWhatIsSaid(t *testing.T) {
	got := writeTranscript(t)
	if again := writeTranscript(t); again != got {
		t.Fatal("the same randomness leads to two transcripts")
	}
	page := string(must(os.ReadFile(protocolPage)))
	before, rest, ok := strings.Cut(page, transcriptBegin)
	want, after, ok2 := strings.Cut(rest, transcriptEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the transcript", protocolPage)
	}
	if *updateTranscript {
		page = before + transcriptBegin + "\n" + got + transcriptEnd + after
		if err := os.WriteFile(protocolPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != "\n"+got {
		t.Errorf("the transcript in %s is another one; if the wire was to change: go test ./channel -run TestTranscript -update", protocolPage)
	}
}
