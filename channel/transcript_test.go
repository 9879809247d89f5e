package channel

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

var updateTranscript = flag.Bool("update", false, "write the transcript into docs/protocol.md")

const protocolPage = "../docs/protocol.md"

// transcripts stand in the page between two lines each.
var transcripts = []struct {
	begin, end string
	write      func(*testing.T) string
}{
	{
		"<!-- The transcript: written by go test ./channel -run TestTranscript -update -->\n",
		"<!-- End of the transcript -->\n", writeTranscript,
	},
	{
		"<!-- The transcript of two groups: written by go test ./channel -run TestTranscript -update -->\n",
		"<!-- End of the transcript of two groups -->\n", writePairTranscript,
	},
}

// A transcript writes down what two ends say, made from fixed randomness.
type transcript struct {
	text bytes.Buffer
	t    *testing.T
	// plain: only what is in records is written, once there are keys for them.
	plain bool
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

// A drawn source of randomness writes down what is drawn.
type drawn struct {
	*transcript
	name   string
	random io.Reader
}

func (d *drawn) Read(p []byte) (int, error) {
	n, err := d.random.Read(p)
	d.dump(d.name+" draws", p[:n])
	return n, err
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
	if !s.plain {
		s.dump("in the record", sealed)
	}
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

// hosts returns two ends made from fixed randomness, and writes down their keys.
func (w *transcript) hosts(edit func(*Config)) (hosts [2]*host) {
	s := must(ciphersuite.Default().Lookup(suite))
	for i, name := range []string{"alice", "bob"} {
		h := newHost(w.t, name)
		random := rand.NewChaCha8([32]byte{byte(i + 1)})
		seed := bytes.Repeat([]byte{byte(0xA1 + i)}, 32)
		h.cfg.Rand = &drawn{w, name, random}
		h.cfg.Identity = mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: must(s.ParseSigner(seed))}
		edit(&h.cfg)
		hosts[i] = h
		w.dump(name+"'s Ed25519 seed", seed)
	}
	return hosts
}

// open returns the two ends of a connection.
func (w *transcript) open(first, second *Session) (a, b *scribe) {
	a = &scribe{transcript: w, name: "alice", session: first}
	b = &scribe{transcript: w, name: "bob", session: second}
	a.other, b.other = b, a
	return a, b
}

// end writes what both ends can derive in the last epoch.
func (w *transcript) end(a, b *scribe, epoch uint64) {
	w.t.Helper()
	if a.session.State() != StateSynced || b.session.State() != StateSynced || a.session.Epoch() != epoch || b.session.Epoch() != epoch {
		w.t.Fatalf("states are %v and %v, epochs %d and %d, want %d", a.session.State(), b.session.State(), a.session.Epoch(), b.session.Epoch(), epoch)
	}
	w.dump(fmt.Sprintf("epoch_authenticator of epoch %d", epoch), a.session.EpochAuthenticator())
	w.dump(fmt.Sprintf(`ExportKeyingMaterial("label", "context", 32) of epoch %d`, epoch), must(a.session.ExportKeyingMaterial("label", []byte("context"), 32)))
	fmt.Fprintf(&w.text, "    ShortFingerprint of epoch %d: %s\n\n", epoch, a.session.ShortFingerprint())
}

// writeTranscript returns a handshake, an update and a resumption, to the octet.
func writeTranscript(t *testing.T) string {
	w := &transcript{t: t}
	hosts := w.hosts(func(c *Config) { c.APQ, c.Protocols, c.MaxEarlyData = nil, []string{"echo"}, 64 })
	hosts[0].cfg.ServerName = "bob.example"

	w.heading("The full handshake")
	a, b := w.open(must(NewInitiator(&hosts[0].cfg)), must(NewResponder(&hosts[1].cfg)))
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
	a, b = w.open(must(Resume(ctx, &hosts[0].cfg, id)), must(NewResponder(&hosts[1].cfg)))
	a.carryOut(a.session.StartWithEarlyData(ctx, []byte("early")))
	hear(a, b)
	w.end(a, b, 4)
	return w.text.String()
}

// writePairTranscript returns the same of a session of two groups: a handshake, a full
// update, a partial one and a resumption.
func writePairTranscript(t *testing.T) string {
	w := &transcript{t: t, plain: true}
	hosts := w.hosts(func(c *Config) { c.APQ = &APQ{} })

	w.heading("The full handshake of two groups")
	a, b := w.open(must(NewInitiator(&hosts[0].cfg)), must(NewResponder(&hosts[1].cfg)))
	a.carryOut(a.session.Start(ctx))
	hear(a, b)
	w.epochs(a, b, 1, 1)

	w.heading("The first update of the initiator, which is full")
	a.carryOut(a.session.Update(ctx, ReasonAge))
	hear(a, b)
	w.epochs(a, b, 2, 2)

	w.heading("A partial update of the responder")
	b.carryOut(b.session.Update(ctx, ReasonAge))
	hear(a, b)
	w.epochs(a, b, 3, 2)

	w.heading("A resumption by the responder")
	id := a.session.ID()
	a.session.Close()
	b.session.Close()
	a, b = w.open(must(NewResponder(&hosts[0].cfg)), must(Resume(ctx, &hosts[1].cfg, id)))
	b.carryOut(b.session.Start(ctx))
	hear(a, b)
	w.epochs(a, b, 5, 2)
	w.end(a, b, 5)
	return w.text.String()
}

// epochs checks and writes which epochs of the two groups both ends are in.
func (w *transcript) epochs(a, b *scribe, t, pq uint64) {
	w.t.Helper()
	for _, s := range []*scribe{a, b} {
		if s.session.Epoch() != t || s.session.pair.PQ().Epoch() != pq {
			w.t.Fatalf("%s is in epochs %d and %d, want %d and %d", s.name, s.session.Epoch(), s.session.pair.PQ().Epoch(), t, pq)
		}
	}
	fmt.Fprintf(&w.text, "    Both ends are in epoch %d of T and epoch %d of PQ.\n\n", t, pq)
}

// The page that a second implementation is written from shows what this one says.
func TestTranscriptInTheProtocolPageIsWhatIsSaid(t *testing.T) {
	page := string(must(os.ReadFile(protocolPage)))
	for _, shown := range transcripts {
		got := shown.write(t)
		if again := shown.write(t); again != got {
			t.Fatal("the same randomness leads to two transcripts")
		}
		before, rest, ok := strings.Cut(page, shown.begin)
		want, after, ok2 := strings.Cut(rest, shown.end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for %q", protocolPage, shown.begin)
		}
		if *updateTranscript {
			page = before + shown.begin + "\n" + got + shown.end + after
		} else if want != "\n"+got {
			t.Errorf("the transcript in %s is another one; if the wire was to change: go test ./channel -run TestTranscript -update", protocolPage)
		}
	}
	if *updateTranscript {
		if err := os.WriteFile(protocolPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
