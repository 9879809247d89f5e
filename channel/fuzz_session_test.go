package channel

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// fuzzed is where FuzzSession begins, and fuzzedPair where FuzzSessionOfTwoGroups does.
var (
	fuzzed     = sync.OnceValues(func() (*joint, []Message) { return lived(twoLinks().withFullHandshakes()) })
	fuzzedPair = sync.OnceValues(func() (*joint, []Message) { return lived(twoLinks().ofTwoGroups().withFullHandshakes()) })
)

// lived returns two machines that have been through updates from each end, a step of
// the keys, a resumption with early data and one after a lost acknowledgement, and all
// messages of that and of a full handshake, with a retry, between two others.
func lived(s *setting) (*joint, []Message) {
	withEarlyData := *s
	j := newJoint(withEarlyData.withEarlyData(true), budget{unlimited, unlimited, 0, unlimited, unlimited})
	var sent []wireRecord
	j.tap = &sent
	for _, actions := range [][]action{
		{{kind: update, end: 0, arg: int(ReasonRequested)}},
		{{kind: update, end: 1, arg: int(s.reasons[len(s.reasons)-1])}},
		{{kind: step, end: 0, arg: 1}},
		{{kind: cutBoth}},
		{{kind: dial}},
		{{kind: update, end: 0, arg: int(ReasonRequested)}, {kind: deliver, end: 1}, {kind: cutBoth}},
		{{kind: dial}},
	} {
		for _, a := range actions {
			j.apply(a)
		}
		j.settle()
	}
	j.mustAgree("the last connection")
	if j.violated != nil {
		panic(j.violated)
	}
	j.tap, j.setting = nil, s
	corpus := []Message{{Type: MessageResumptionRefused, Body: []byte{byte(RefusedUnknown)}}}
	for _, r := range sent {
		corpus = append(corpus, r.message)
	}
	carol, dave := newHost(panics{}, "carol"), newHost(panics{}, "dave")
	carol.cfg.Suites = []ciphersuite.ID{chaCha, suite}
	if s.paired {
		all := DefaultAPQSuites()
		carol.cfg.APQ, dave.cfg.APQ = &APQ{Suites: []APQSuites{all[1], all[0]}}, &APQ{Suites: all[:1]}
	}
	a, b := initiate(panics{}, carol, dave)
	a.start(panics{})
	for _, p := range []*peer{b, a, b, a, b} {
		corpus = append(corpus, p.in[0].Message)
		p.deliver(panics{})
	}
	return j, corpus
}

// The fuzz targets have a message of each type to begin with.
func TestFuzzingBeginsWithEveryMessage(t *testing.T) {
	for _, start := range []func() (*joint, []Message){fuzzed, fuzzedPair} {
		_, corpus := start()
		for m, name := range messageNames {
			if !slices.ContainsFunc(corpus, func(c Message) bool { return c.Type == m }) {
				t.Errorf("there is no %s", name)
			}
		}
	}
}

// A program is a sequence of things to do to two machines, in octets.
type program []byte

func (p *program) next() int {
	if len(*p) == 0 {
		return 0
	}
	n := (*p)[0]
	*p = (*p)[1:]
	return int(n)
}

// message returns a message of the corpus, perhaps under another type, with an octet
// changed, cut short, or with a body of the program's own.
func (p *program) message(corpus []Message) Message {
	m := corpus[p.next()%len(corpus)]
	m.Body = bytes.Clone(m.Body)
	change := p.next()
	if change&1 != 0 {
		m.Type = MessageClientHello + MessageType(p.next()%16) // all that there are, and two that there are not
	}
	if at := p.next()<<8 | p.next(); change&2 != 0 && len(m.Body) > 0 {
		m.Body[at%len(m.Body)] ^= byte(1 << (at % 8))
	} else if change&4 != 0 {
		m.Body = m.Body[:at%(len(m.Body)+1)]
	} else if change&8 != 0 {
		n := min(at, len(*p))
		m.Body, *p = bytes.Clone((*p)[:n]), (*p)[n:]
	}
	return m
}

// run does what the program says. It reports whether a machine was sent something
// through a protected connection that its peer has not sent, which may cost it the
// session.
func (p program) run(j *joint, corpus []Message) (authenticated bool) {
	for steps := 0; len(p) > 0 && steps < 64 && j.violated == nil; steps++ {
		switch op := p.next(); op % 4 {
		case 0, 1: // what can happen to honest ends, attackers on their way included
			if all := j.actions(); len(all) > 0 {
				j.apply(all[p.next()%len(all)])
			}
		case 2: // something on a new connection
			l := &link{forged: true}
			i := op / 4 % 2
			l.ports[i] = &port{session: must(NewResponder(&j.machines[i].cfg))}
			m := p.message(corpus)
			m.Protected = op/8%2 == 1
			j.refused = j.refused || m.Type == MessageResumptionRefused
			j.call(l, i, func(s *Session) ([]Event, error) { return s.Receive(ctx, m) })
		case 3: // something on a connection that there is
			if len(j.links) == 0 {
				continue
			}
			l := j.links[op/4%len(j.links)]
			i := op / 16 % 2
			if l.ports[i] == nil {
				continue
			}
			m := p.message(corpus)
			m.Protected = l.ports[i].receive != nil
			authenticated = authenticated || m.Protected
			j.refused = j.refused || authenticated || m.Type == MessageResumptionRefused
			l.forged = true
			j.call(l, i, func(s *Session) ([]Event, error) { return s.Receive(ctx, m) })
			j.receiveData()
		}
	}
	return authenticated
}

// Whatever two machines are sent, in whatever order and from whomever, their
// sessions do not panic, and end with an error that says which alert to send.
// As long as it came in the clear, the stored session can be resumed afterwards.
func FuzzSession(f *testing.F) {
	start, corpus := fuzzed()
	fuzzSession(f, start, corpus)
}

// The same for sessions of two groups, whose hellos and full updates are pairs of
// messages.
func FuzzSessionOfTwoGroups(f *testing.F) {
	start, corpus := fuzzedPair()
	fuzzSession(f, start, corpus)
}

func fuzzSession(f *testing.F, start *joint, corpus []Message) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := range corpus {
		f.Add([]byte{2, byte(n), 0, 0, 0, 6, byte(n), 2, 0, 90, 3, byte(n), 4, 0, 40, 0, 0, 0, 0})
	}
	for range 32 {
		p := make([]byte, 16+random.IntN(64))
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		j := start.fork(0, 1)
		authenticated := program(p).run(j, corpus)
		if j.violated != nil {
			t.Fatal(j.violated)
		}
		if authenticated {
			return
		}
		if v := j.settlesAndHeals(); v != nil {
			t.Fatal(v)
		}
		if !j.refused && !slices.Contains(j.common(), j.original) {
			t.Fatal("the stored session is lost")
		}
	})
}
