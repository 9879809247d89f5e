package quicmls

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A tap writes down what an end hands to QUIC. That is what somebody has who has recorded
// all packets and broken QUIC.
type tap struct {
	mu        sync.Mutex
	control   []byte
	streams   map[uint64][]byte
	datagrams [][]byte
}

// tapControl begins to write down the control stream.
func tapControl(c *Conn) *tap {
	t := &tap{streams: make(map[uint64][]byte)}
	c.control.writeMu.Lock()
	defer c.control.writeMu.Unlock()
	c.control.out = io.MultiWriter(c.control.out, controlTap{t})
	return t
}

type controlTap struct{ *tap }

func (t controlTap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.control = append(t.control, p...)
	return len(p), nil
}

// forgetControl forgets what it has of the control stream.
func (t *tap) forgetControl() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.control = nil
}

// stream begins to write down a stream on which nothing was sent yet.
func (t *tap) stream(s *SendStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quic = tappedSender{s.quic, t}
}

type tappedSender struct {
	quicSender
	tap *tap
}

func (s tappedSender) Write(p []byte) (int, error) {
	n, err := s.quicSender.Write(p)
	s.tap.note(uint64(s.StreamID()), p[:n])
	return n, err
}

func (s tappedSender) TryWriteAll(p []byte) error {
	err := s.quicSender.TryWriteAll(p)
	if err == nil {
		s.tap.note(uint64(s.StreamID()), p)
	}
	return err
}

func (t *tap) note(id uint64, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams[id] = append(t.streams[id], p...)
}

func (t *tap) datagram(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.datagrams = append(t.datagrams, bytes.Clone(p))
}

// A keyLog is what an end has of traffic secrets in memory, by direction and epoch.
type keyLog struct {
	mu      sync.Mutex
	secrets [2]map[uint64][]byte // of what the initiator sends, and of what the responder does
}

func (k *keyLog) Write(lines []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for line := range strings.Lines(string(lines)) {
		var label, session, secret string
		var epoch uint64
		if _, err := fmt.Sscan(line, &label, &session, &epoch, &secret); err != nil {
			return 0, err
		}
		b, err := hex.DecodeString(secret)
		if err != nil {
			return 0, err
		}
		d := 0
		if strings.HasPrefix(label, "SERVER") {
			d = 1
		}
		if k.secrets[d] == nil {
			k.secrets[d] = make(map[uint64][]byte)
		}
		k.secrets[d][epoch] = b
	}
	return len(lines), nil
}

// A thief has copied all secrets of one end at one moment: its signature key and
// private keys, the traffic secrets in memory, and what TLS exports. From then on it
// only listens to the taps.
type thief struct {
	t       testing.TB
	suite   *ciphersuite.Suite
	group   *mls.Group
	binding []byte // what goes into the exporter of the transport
	taps    [2]*tap
	ears    [2]ear
}

// An ear listens to one direction.
type ear struct {
	secrets  map[uint64]*record.EpochSecret
	at       int                // octets of the control stream that were looked at
	control  *record.Protection // of the control stream's next record
	next     *record.Protection // nil: cannot be derived
	atSwitch bool
}

// steal makes the copy. The control stream must be where the epoch begins.
func steal(t testing.TB, victim *Conn, config *Config, log *keyLog, taps [2]*tap) *thief {
	t.Helper()
	config, err := config.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config
	exporter := victim.quic.ConnectionState().TLS
	if cfg.TransportBinding, err = exporter.ExportKeyingMaterial(exporterLabel, nil, exporterSize); err != nil {
		t.Fatal(err)
	}
	stored, err := cfg.Store.Load(t.Context(), victim.ConnectionState().SessionID)
	if err != nil {
		t.Fatal(err)
	}
	group, err := stored.Group(cfg)
	if err != nil {
		t.Fatal(err)
	}
	binding := sha256.Sum256(append([]byte("Mendlink transport binding"), cfg.TransportBinding...))
	th := &thief{t: t, suite: group.Suite(), group: group, binding: binding[:], taps: taps}
	log.mu.Lock()
	defer log.mu.Unlock()
	for d := range th.ears {
		th.ears[d].secrets = make(map[uint64]*record.EpochSecret)
		th.learn(d, group.Epoch(), log.secrets[d][group.Epoch()])
		th.ears[d].control, th.ears[d].next = th.ears[d].next, nil
	}
	return th
}

// learn takes in a traffic secret.
func (t *thief) learn(d int, epoch uint64, secret []byte) {
	t.t.Helper()
	s, err := record.NewEpochSecret(t.suite, epoch, secret, record.MaxPlaintext)
	if err == nil {
		t.ears[d].secrets[epoch] = s
		t.ears[d].next, err = record.NewProtection(t.suite, secret)
	}
	if err != nil {
		t.t.Fatal(err)
	}
}

// follow takes in what the control streams have, and derives the keys of later epochs where it can.
func (t *thief) follow() {
	t.t.Helper()
	for progress := true; progress; {
		progress = false
		for d := range t.ears {
			for t.controlRecord(d) {
				progress = true
			}
		}
	}
}

// controlRecord looks at one record. It reports whether there was one, and keys for it.
func (t *thief) controlRecord(d int) bool {
	t.t.Helper()
	e, tp := &t.ears[d], t.taps[d]
	tp.mu.Lock()
	rest := tp.control[e.at:]
	tp.mu.Unlock()
	if len(rest) < record.HeaderSize {
		return false
	}
	h, err := record.ParseHeader(rest)
	if err != nil {
		t.t.Fatal(err)
	}
	if e.atSwitch {
		if e.next == nil {
			return false // deaf
		}
		e.control, e.next, e.atSwitch = e.next, nil, false
	}
	size := record.HeaderSize + h.Length
	_, content, err := e.control.Open(nil, rest[:size])
	if err != nil {
		t.t.Fatalf("control stream: %v", err) // as long as there are keys they are the right ones
	}
	e.at += size
	a := channel.NewAssembler(0)
	a.Feed(content)
	for m, ok, err := a.Next(); ok && err == nil; m, ok, err = a.Next() {
		switch m.Type {
		case channel.MessageConnectionUpdate:
			t.apply(m.Body)
		case channel.MessageEpochKeyUpdate, channel.MessageKeySwitch:
			e.atSwitch = true
		}
	}
	return true
}

// apply goes on to the epoch of a commit as the owner of the state does, if it can.
func (t *thief) apply(commit []byte) {
	t.t.Helper()
	received, err := t.group.Process(commit)
	if err != nil {
		t.t.Logf("the thief cannot follow: %v", err)
		return
	}
	t.group = received.(*mls.ReceivedCommit).Group()
	for d, label := range []string{"MLS-TLS c ap traffic", "MLS-TLS s ap traffic"} {
		secret, err := t.group.Export(label, t.binding, t.suite.HashSize())
		if err != nil {
			t.t.Fatal(err)
		}
		t.learn(d, t.group.Epoch(), secret)
	}
}

// An overheard is what the thief makes of one stream, or of the datagrams, in one direction.
type overheard struct {
	text string
	lost int // records that hold data and that no key opens
}

// listen tries all that was recorded with all keys.
func (t *thief) listen(d int) (streams map[uint64]overheard, datagrams overheard) {
	t.t.Helper()
	tp := t.taps[d]
	tp.mu.Lock()
	defer tp.mu.Unlock()
	streams = make(map[uint64]overheard)
	for id, b := range tp.streams {
		streams[id] = t.stream(d, id, b)
	}
	keys := make(map[byte]*record.DatagramProtection)
	for epoch, secret := range t.ears[d].secrets {
		p, err := secret.Datagrams()
		if err != nil {
			t.t.Fatal(err)
		}
		keys[byte(epoch)] = p
	}
	for _, b := range tp.datagrams {
		p := keys[b[0]]
		if p == nil {
			datagrams.lost++
			continue
		}
		content, err := p.Open(bytes.Clone(b))
		if err != nil {
			t.t.Fatalf("datagram of epoch %d: %v", b[0], err)
		}
		datagrams.text += string(content)
	}
	return streams, datagrams
}

func (t *thief) stream(d int, id uint64, b []byte) (o overheard) {
	t.t.Helper()
	keys := make(map[byte]*record.StreamProtection)
	for len(b) > 0 {
		h, err := record.ParseStreamHeader(b)
		if err != nil {
			t.t.Fatal(err)
		}
		size := record.StreamHeaderSize + h.Length
		rec := b[:size]
		b = b[size:]
		if keys[h.Epoch] == nil {
			keys[h.Epoch] = t.key(d, id, h.Epoch, rec)
		}
		if keys[h.Epoch] == nil {
			if h.Length > 1+record.TagSize {
				o.lost++
			}
			continue
		}
		kind, content, err := keys[h.Epoch].Open(nil, rec)
		if err != nil {
			t.t.Fatalf("stream %d, epoch %d: %v", id, h.Epoch, err)
		}
		if kind == record.ContentApplicationData {
			o.text += string(content)
		}
	}
	return o
}

// key returns the key of a stream's first record in an epoch: whichever of all that the thief has
// opens it.
func (t *thief) key(d int, id uint64, epoch byte, rec []byte) *record.StreamProtection {
	t.t.Helper()
	protection := func(secret *record.EpochSecret) *record.StreamProtection {
		p, err := secret.Stream(uint64(epoch), secret.StreamKey(id))
		if err != nil {
			t.t.Fatal(err)
		}
		return p
	}
	for _, secret := range t.ears[d].secrets {
		if _, _, err := protection(secret).Open(nil, rec); err == nil {
			return protection(secret) // at its beginning again
		}
	}
	return nil
}

// A speaking is a stream of which the victim's story is told: both ends, or one.
type speaking struct {
	name string
	from [2]*SendStream // of the initiator and of the responder; nil: says nothing
	to   [2]io.Reader   // who hears that
}

// say sends text in a direction, and waits until it is there.
func (s *speaking) say(t testing.TB, d int, text string) {
	t.Helper()
	if _, err := io.WriteString(s.from[d], text); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s.to[d], got); err != nil || string(got) != text {
		t.Fatalf("%s: %q arrived as %q, %v", s.name, text, got, err)
	}
}

// speak has everybody say text wherever they can.
func speak(t testing.TB, text string, on ...*speaking) {
	t.Helper()
	for _, s := range on {
		for d, from := range s.from {
			if from != nil {
				s.say(t, d, text)
			}
		}
	}
}

// openTapped opens a stream of which everything is written down.
func openTapped(t testing.TB, name string, ends [2]*Conn, taps [2]*tap, opener int) *speaking {
	t.Helper()
	a, err := ends[opener].OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	taps[opener].stream(&a.send)
	if err := a.Announce(); err != nil {
		t.Fatal(err)
	}
	b, err := ends[1-opener].AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	taps[1-opener].stream(&b.send)
	s := &speaking{name: name}
	s.from[opener], s.to[opener] = &a.send, b
	s.from[1-opener], s.to[1-opener] = &b.send, a
	return s
}

// openUniTapped is openTapped for a unidirectional stream, on which the opener speaks first.
func openUniTapped(t testing.TB, name string, ends [2]*Conn, taps [2]*tap, opener int) *speaking {
	t.Helper()
	a, err := ends[opener].OpenUniStream()
	if err != nil {
		t.Fatal(err)
	}
	taps[opener].stream(a)
	if err := a.Announce(); err != nil {
		t.Fatal(err)
	}
	b, err := ends[1-opener].AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &speaking{name: name}
	s.from[opener], s.to[opener] = a, b
	return s
}

// throw sends a datagram each way, writes them down, and checks that the receiver opens them.
func throw(t testing.TB, text string, ends [2]*Conn, taps [2]*tap) {
	t.Helper()
	for d, from := range ends {
		if err := from.SendDatagram([]byte(text)); err != nil {
			t.Fatal(err)
		}
		b, err := ends[1-d].quic.ReceiveDatagram(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taps[d].datagram(b)
		if got, err := ends[1-d].openDatagram(t.Context(), b); err != nil || string(got) != text {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// settle waits until what an end has decided about its sending keys is done.
func settle(c *Conn) {
	c.control.writeMu.Lock()
	defer c.control.writeMu.Unlock()
}

// A copy of all secrets of one end reads all streams and datagrams of the epoch, and of the next
// ones while only the other end updates. After one update of the end that was robbed it
// reads nothing that is written from then on.
func TestOneUpdateOfTheRobbedEndHealsAllStreams(t *testing.T) {
	for victim, name := range []string{"initiator", "responder"} {
		t.Run(name, func(t *testing.T) { within(t, "healing", func() { heal(t, victim) }) })
	}
}

func heal(t *testing.T, victim int) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = channel.NewMemoryStore(0), channel.NewMemoryStore(0), "peer"
	log := new(keyLog)
	[]*Config{ic, rc}[victim].KeyLogWriter = log
	client, server := connect(t, ic, rc)
	ends := [2]*Conn{client, server}
	taps := [2]*tap{tapControl(client), tapControl(server)}

	// An epoch of which everything is written down, from its first record on.
	update(t, client)
	settle(server)
	for _, tp := range taps {
		tp.forgetControl()
	}
	busy := openTapped(t, "busy", ends, taps, 0)
	other := openTapped(t, "busy, opened by the responder", ends, taps, 1)
	idle := openTapped(t, "idle", ends, taps, 0)
	halfClosed := openTapped(t, "half-closed", ends, taps, victim)
	up, down := openUniTapped(t, "up", ends, taps, 0), openUniTapped(t, "down", ends, taps, 1)
	old := []*speaking{busy, other, idle, halfClosed, up, down}
	speak(t, "before the theft. ", old...)
	throw(t, "before the theft. ", ends, taps)
	if err := halfClosed.from[victim].Close(); err != nil {
		t.Fatal(err)
	}
	halfClosed.from[victim] = nil

	thief := steal(t, ends[victim], []*Config{ic, rc}[victim], log, taps)
	check := func(what, text string, heard bool, speaking ...*speaking) {
		t.Helper()
		for d := range ends {
			streams, datagrams := thief.listen(d)
			for _, s := range speaking {
				if s.from[d] == nil {
					continue
				}
				o := streams[s.from[d].id()]
				if strings.Contains(o.text, text) != heard || !heard && o.lost == 0 {
					t.Errorf("%s: %s, direction %d: the thief has %q, %d records lost", what, s.name, d, o.text, o.lost)
				}
			}
			if strings.Contains(datagrams.text, text) != heard || !heard && datagrams.lost == 0 {
				t.Errorf("%s: datagrams, direction %d: the thief has %q, %d lost", what, d, datagrams.text, datagrams.lost)
			}
		}
	}
	check("epoch of the theft", "before the theft. ", true, busy, other, idle, halfClosed, up, down)

	update(t, ends[1-victim])
	settle(ends[victim])
	spoken := []*speaking{busy, other, halfClosed, up, down}
	speak(t, "after an update of the other end. ", spoken...)
	throw(t, "after an update of the other end. ", ends, taps)
	thief.follow()
	check("after an update of the other end", "after an update of the other end. ", true, spoken...)

	// While the robbed end updates, data flows.
	stop := make(chan struct{})
	var flow sync.WaitGroup
	flow.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				speak(t, "meanwhile. ", busy, other)
			}
		}
	})
	update(t, ends[victim])
	settle(ends[1-victim])
	close(stop)
	flow.Wait()
	young := []*speaking{
		openTapped(t, "new", ends, taps, 0), openTapped(t, "new, of the responder", ends, taps, 1),
		openUniTapped(t, "new, up", ends, taps, 0), openUniTapped(t, "new, down", ends, taps, 1),
	}
	all := append(slices.Clone(old), young...)
	speak(t, "healed. ", all...)
	throw(t, "healed. ", ends, taps)
	thief.follow()
	check("after an update of the robbed end", "healed. ", false, all...)
	update(t, ends[1-victim])
	settle(ends[victim])
	speak(t, "healed for good. ", all...)
	throw(t, "healed for good. ", ends, taps)
	thief.follow()
	check("after another update of the other end", "healed for good. ", false, all...)

	// It was not the thief's ears: with the new secrets it hears all of it.
	for d := range ends {
		for epoch, secret := range log.secrets[d] {
			thief.learn(d, epoch, secret)
		}
	}
	check("with the new secrets", "healed. ", true, all...)
	check("with the new secrets", "healed for good. ", true, all...)
}

// What is written after Update has returned is never under the keys of before, on any
// stream, whoever else writes and updates at the time.
func TestNothingIsWrittenUnderOldKeysOnceUpdateReturns(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	var mu sync.Mutex
	var own, floor uint64 // epochs: of the last update that is confirmed, and of the last that has returned
	ic.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.Updated); ok && e.Own {
			mu.Lock()
			defer mu.Unlock()
			own = e.Epoch
		}
	}}
	client, server := connect(t, ic, rc)
	updates, writers := 60, 6
	if underRace {
		updates = 20
	}
	stop := make(chan struct{})
	present := func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return floor
	}
	// The number in a header is of one octet.
	before := func(got byte, want uint64) bool { return int8(got-byte(want)) < 0 }
	var wg, begun sync.WaitGroup // begun: all of them write
	var records [2]int
	within(t, "the race", func() {
		begun.Add(writers + 1)
		for w := range writers {
			wg.Go(func() {
				writes := sync.OnceFunc(begun.Done)
				defer writes()
				s, err := client.OpenUniStream()
				if err != nil {
					t.Error(err)
					return
				}
				last := &lastWrite{quicSender: s.quic}
				s.quic = last
				if err := s.Announce(); err != nil {
					t.Error(err)
					return
				}
				r, err := server.AcceptUniStream(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				wg.Go(func() { io.Copy(io.Discard, r) })
				defer s.Close()
				for {
					select {
					case <-stop:
						return
					default:
					}
					epoch := present()
					last.take()
					if _, err := s.Write(make([]byte, 1+w*100)); err != nil {
						t.Error(err)
						return
					}
					for _, h := range last.take() {
						if h.Length > 1+record.TagSize && before(h.Epoch, epoch) {
							t.Errorf("a record of epoch ...%02x, though an update to epoch %d had returned", h.Epoch, epoch)
							return
						}
					}
					if w == 0 {
						records[0]++
					}
					writes()
				}
			})
		}
		wg.Go(func() {
			sends := sync.OnceFunc(begun.Done)
			defer sends()
			buf := make([]byte, 100)
			for {
				select {
				case <-stop:
					return
				default:
				}
				epoch := present()
				b, _, err := client.sending.sealDatagram(buf[:0], []byte("datagram"))
				if err != nil || before(b[0], epoch) {
					t.Errorf("a datagram of epoch ...%02x, though an update to epoch %d had returned; %v", b[0], epoch, err)
					return
				}
				records[1]++
				sends()
			}
		})
		begun.Wait() // or all updates are over before somebody has had a turn
		var updating sync.WaitGroup
		updating.Go(func() {
			for range updates {
				if err := client.Update(t.Context()); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				floor = own
				mu.Unlock()
			}
		})
		updating.Go(func() {
			for range updates / 2 {
				if err := server.Update(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		updating.Wait()
		close(stop)
		wg.Wait()
	})
	if present() < uint64(updates) || min(records[0], records[1]) == 0 {
		t.Errorf("epoch %d, records %v: too little", present(), records)
	}
	t.Logf("epoch %d; %v records and datagrams", present(), records)
}

// lastWrite keeps the headers of what was handed to QUIC last.
type lastWrite struct {
	quicSender
	mu   sync.Mutex
	kept []record.StreamHeader
}

func (l *lastWrite) note(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(p) > 0 {
		h, err := record.ParseStreamHeader(p)
		if err != nil {
			panic(err) // a write holds whole records
		}
		l.kept, p = append(l.kept, h), p[record.StreamHeaderSize+h.Length:]
	}
}

func (l *lastWrite) take() []record.StreamHeader {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.kept = nil }()
	return l.kept
}

func (l *lastWrite) Write(p []byte) (int, error) {
	l.note(p)
	return l.quicSender.Write(p)
}

func (l *lastWrite) TryWriteAll(p []byte) error {
	l.note(p)
	return l.quicSender.TryWriteAll(p)
}
