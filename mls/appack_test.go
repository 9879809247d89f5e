package mls

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
)

// ackCrowd is a group whose members acknowledge application messages.
func ackCrowd(t failer, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.Components = []Component{AppAcks()} }
	c.found(GroupOptions{})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

// say has a member send n application messages.
func (c *crowd) say(by, n int) (messages [][]byte) {
	c.t.Helper()
	for i := range n {
		message, err := c.members[by].g.Protect(fmt.Append(nil, i), nil)
		if err != nil {
			c.t.Fatal(err)
		}
		messages = append(messages, message)
	}
	return messages
}

// hear has a member receive messages.
func (c *crowd) hear(to int, messages ...[]byte) {
	c.t.Helper()
	for _, message := range messages {
		c.process(to, message)
	}
}

func (c *crowd) ack(of int) AppAck {
	c.t.Helper()
	a, err := c.members[of].g.AppAck()
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func wantRanges(t failer, what string, got AppAck, want ...MessageRange) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestAppAcksShowWhatWasSuppressed(t *testing.T) {
	c := ackCrowd(t, 3)
	from0, from2 := c.say(0, 6), c.say(2, 3)
	c.hear(1, from0[0], from0[3], from0[1]) // not 2, 4 and 5
	c.hear(1, from2...)
	c.hear(0, from2[0])
	c.hear(2, from0[4])
	c.restart()
	wantRanges(t, "AppAck of 1", c.ack(1), MessageRange{0, 0, 1}, MessageRange{0, 3, 3}, MessageRange{2, 0, 2})
	wantRanges(t, "AppAck of 0", c.ack(0), MessageRange{2, 0, 0})

	report, err := c.members[0].g.CompareAppAck(1, c.ack(1))
	if err != nil || report.Member != 1 {
		t.Fatal(report.Member, err)
	}
	wantRanges(t, "lost", report.Lost, MessageRange{0, 2, 2}, MessageRange{0, 4, 5})
	wantRanges(t, "missing", report.Missing, MessageRange{2, 1, 2})
	wantRanges(t, "invented", report.Invented)

	// The commit covers an AppAck by reference and one of the committer's.
	c.propose(1, c.ack(1).Proposal())
	c.restart()
	pending, err := c.members[0].g.Commit(CommitOptions{OmitPath: true, Proposals: []Proposal{c.ack(0).Proposal()}})
	if err != nil {
		t.Fatal(err)
	}
	received := c.members[2].clone(t)
	message, err := received.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	reports := message.(*ReceivedCommit).AppAcks
	if len(reports) != 2 || reports[0].Member != 1 || reports[1].Member != 0 {
		t.Fatalf("reports are %+v", reports)
	}
	wantRanges(t, "lost at 1", reports[0].Lost, MessageRange{0, 4, 4})
	wantRanges(t, "missing at 2", reports[0].Missing, MessageRange{0, 0, 1}, MessageRange{0, 3, 3})
	wantRanges(t, "lost at 0", reports[1].Lost, MessageRange{2, 1, 2})
	wantRanges(t, "missing from 0", reports[1].Missing)
	c.deliver(0, pending)
	for i := range c.members {
		wantRanges(t, "AppAck of a new epoch", c.ack(i))
	}
	c.checkMessages()
}

// All that a member acknowledges in a commit counts together.
func TestAppAcksOfOneMemberAddUp(t *testing.T) {
	c := ackCrowd(t, 2)
	messages := c.say(0, 3)
	c.hear(1, messages[0])
	first := c.ack(1)
	c.hear(1, messages[2])
	pending, err := c.members[1].g.Commit(CommitOptions{Proposals: []Proposal{first.Proposal(), AppAck{{0, 2, 2}}.Proposal()}})
	if err != nil {
		t.Fatal(err)
	}
	reports := c.process(0, pending.Message()).(*ReceivedCommit).AppAcks
	if len(reports) != 1 || reports[0].Member != 1 {
		t.Fatalf("reports are %+v", reports)
	}
	wantRanges(t, "lost", reports[0].Lost, MessageRange{0, 1, 1})
}

// Those who are not told of a member's own AppAck are that member.
func TestAppAcksOfOnesOwnAreNotCompared(t *testing.T) {
	c := ackCrowd(t, 2)
	c.hear(1, c.say(0, 1)...)
	c.propose(1, c.ack(1).Proposal())
	wantRanges(t, "AppAck of who received a proposal only", c.ack(0))
	pending, err := c.members[0].g.Commit(CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.process(1, pending.Message()).(*ReceivedCommit); r.AppAcks != nil || len(r.Proposals) != 1 {
		t.Errorf("reports are %+v on %d proposals", r.AppAcks, len(r.Proposals))
	}
}

func TestAppAcksCannotClaimWhatIsImpossible(t *testing.T) {
	c := ackCrowd(t, 3)
	c.hear(1, c.say(0, 2)...)
	ack := AppAck{{1, 7, 8}, {0, 1, 5}, {0, 0, 0}, {0, 1, 1}, {9, 0, math.MaxUint32}}
	report, err := c.members[0].g.CompareAppAck(1, ack)
	if err != nil {
		t.Fatal(err)
	}
	wantRanges(t, "lost", report.Lost)
	wantRanges(t, "invented", report.Invented, MessageRange{0, 2, 5}, MessageRange{1, 7, 8})
	wantRanges(t, "missing", report.Missing, MessageRange{9, 0, math.MaxUint32})
	if _, err := c.members[0].g.CompareAppAck(1, AppAck{{2, 1, 0}}); err == nil {
		t.Error("a range that ends before it begins is compared")
	}
}

// An external commit does not take an AppAck over.
func TestAppAcksBeginAnewInEachEpoch(t *testing.T) {
	c := ackCrowd(t, 2)
	c.hear(1, c.say(0, 2)...)
	c.propose(1, c.ack(1).Proposal())
	c.joinExternal(0, c.newClient(), ExternalJoinOptions{})
	for i, m := range c.members {
		wantRanges(t, m.name, c.ack(i))
		if n := len(m.g.PendingProposals()); n != 0 {
			t.Errorf("%s has %d proposals", m.name, n)
		}
	}
	c.hear(1, c.say(0, 1)...)
	wantRanges(t, "in the new epoch", c.ack(1), MessageRange{0, 0, 0})
}

func TestWithoutTheComponentNothingIsAcknowledged(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	c.hear(1, c.say(0, 2)...)
	g := c.members[1].g
	if _, err := g.AppAck(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("AppAck: %v", err)
	}
	if _, err := g.CompareAppAck(0, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("CompareAppAck: %v", err)
	}
	if g.received != nil {
		t.Errorf("the group remembers %v", g.received)
	}
	c = ackCrowd(t, 2)
	c.members[0].g.Erase()
	if _, err := c.members[0].g.AppAck(); !errors.Is(err, ErrErased) {
		t.Errorf("AppAck of an erased group: %v", err)
	}
}

// A message that is refused was not received.
func TestRefusedMessagesAreNotAcknowledged(t *testing.T) {
	c := ackCrowd(t, 2)
	g := c.members[0].g
	g.signer = c.members[1].g.signer
	if err := c.refused(c.say(0, 1)[0]); err == nil {
		t.Error("a forged message is accepted")
	}
	wantRanges(t, "AppAck", c.ack(1))
}

// Whoever leaves a gap before each message makes others remember a bounded part.
func TestAcknowledgedRangesAreBounded(t *testing.T) {
	c := ackCrowd(t, 3)
	c.hear(1, c.say(2, 1)...)
	messages := c.say(0, 2*(maxAckedRanges+2))
	for i := 1; i < len(messages); i += 2 {
		c.process(1, messages[i])
	}
	ack := c.ack(1)
	if len(ack) != maxAckedRanges+1 || ack[0] != (MessageRange{0, 5, 5}) || ack[maxAckedRanges] != (MessageRange{2, 0, 0}) {
		t.Errorf("%d ranges, from %v to %v", len(ack), ack[0], ack[len(ack)-1])
	}
}

func TestClientsAcknowledgeAcrossRestarts(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1), restarting: true}
	f.configure = func(cfg *Config) { cfg.Components = []Component{AppAcks()} }
	f.found(2)
	first, second := f.devices[0], f.devices[1]
	first.protect("suppressed")
	second.reads(first.protect("one"), "one")
	second.reads(first.protect("two"), "two")
	ack, err := second.m.AppAck()
	if err != nil {
		t.Fatal(err)
	}
	wantRanges(t, "AppAck", ack, MessageRange{0, 1, 2})
	report, err := first.m.CompareAppAck(1, ack)
	if err != nil {
		t.Fatal(err)
	}
	wantRanges(t, "lost", report.Lost, MessageRange{0, 0, 0})

	out := second.commit(CommitOptions{Proposals: []Proposal{ack.Proposal()}})
	received := first.process(out.Commit).(*ReceivedCommit)
	if len(received.AppAcks) != 1 {
		t.Fatalf("reports are %+v", received.AppAcks)
	}
	wantRanges(t, "lost", received.AppAcks[0].Lost, MessageRange{0, 0, 0})
	second.accept()
	if ack, err := first.m.AppAck(); err != nil || len(ack) != 0 {
		t.Errorf("AppAck of the new epoch: %v, %v", ack, err)
	}

	// Whoever commits what another acknowledges learns the same of it.
	first.protect("suppressed")
	second.reads(first.protect("three"), "three")
	if ack, err = second.m.AppAck(); err != nil {
		t.Fatal(err)
	}
	first.process(must(second.m.Propose(background, ack.Proposal(), ProposeOptions{})))
	out = first.commit(CommitOptions{})
	received = first.process(out.Commit).(*ReceivedCommit)
	if len(received.AppAcks) != 1 {
		t.Fatalf("reports are %+v", received.AppAcks)
	}
	wantRanges(t, "lost", received.AppAcks[0].Lost, MessageRange{0, 0, 0})
	second.process(out.Commit)
	f.checkMessages()
	second.m.Close()
	if _, err := second.m.AppAck(); err == nil {
		t.Error("AppAck of a closed membership")
	}
	if _, err := second.m.CompareAppAck(0, nil); err == nil {
		t.Error("CompareAppAck of a closed membership")
	}
}

// Sets of ranges do what sets of single messages do.
func TestMessageSets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	// Generations next to both ends of the range of uint32.
	generations := []uint32{0, 1, 2, 3, 4, 5, 6, math.MaxUint32 - 3, math.MaxUint32 - 2, math.MaxUint32 - 1, math.MaxUint32}
	type message struct {
		sender     LeafIndex
		generation uint32
	}
	members := func(s messageSet) map[message]bool {
		all := make(map[message]bool)
		for i, m := range s {
			if i > 0 && s[i-1].Sender == m.Sender && uint64(s[i-1].Last)+1 >= uint64(m.First) || i > 0 && s[i-1].Sender > m.Sender || m.Last < m.First {
				t.Fatalf("%v is not in order", s)
			}
			for _, g := range generations {
				if m.First <= g && g <= m.Last {
					all[message{m.Sender, g}] = true
				}
			}
		}
		return all
	}
	for range 3000 {
		var sets [2]messageSet
		var ranges [2][]MessageRange
		var models [2]map[message]bool
		for i := range sets {
			models[i] = make(map[message]bool)
			for range random.IntN(12) {
				m := message{LeafIndex(random.IntN(2)), generations[random.IntN(len(generations))]}
				models[i][m] = true
				sets[i] = sets[i].with(m.sender, m.generation)
				ranges[i] = append(ranges[i], MessageRange{m.sender, m.generation, m.generation})
			}
			if got := members(sets[i]); !reflect.DeepEqual(got, models[i]) {
				t.Fatalf("%v with each added is %v", models[i], sets[i])
			}
			if made := newMessageSet(ranges[i]); !slices.Equal(made, sets[i]) {
				t.Fatalf("%v is %v made at once, and %v one by one", ranges[i], made, sets[i])
			}
		}
		rest := members(sets[0].without(sets[1]))
		for m := range models[0] {
			if rest[m] == models[1][m] {
				t.Fatalf("%v without %v is %v", sets[0], sets[1], rest)
			}
		}
		for m := range rest {
			if !models[0][m] {
				t.Fatalf("%v without %v is %v", sets[0], sets[1], rest)
			}
		}
	}
	whole := messageSet{{3, 0, math.MaxUint32}}
	wantRanges(t, "a part of all", AppAck(whole.without(messageSet{{3, 5, 6}, {3, math.MaxUint32, math.MaxUint32}})), MessageRange{3, 0, 4}, MessageRange{3, 7, math.MaxUint32 - 1})
	wantRanges(t, "all of all", AppAck(whole.without(whole)))
	if s := newMessageSet([]MessageRange{{1, 0, 0}, {1, 2, 2}, {1, 4, 4}, {2, 0, 0}}).keepNewest(1, 2); !slices.Equal(s, messageSet{{1, 2, 2}, {1, 4, 4}, {2, 0, 0}}) {
		t.Errorf("the newest are %v", s)
	}
}

func TestAppAckOnTheWire(t *testing.T) {
	ack := AppAck{{1, 2, 3}, {0, 0, math.MaxUint32}}
	want := []byte{24, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF}
	p := ack.Proposal()
	wantEqual(t, "AppAck", p.Data, want)
	if got, err := ParseAppAck(want); err != nil || !slices.Equal(got, ack) || p.Component != 5 {
		t.Errorf("parsed %v, %v", got, err)
	}
	wantEqual(t, "no ranges", AppAck{}.Proposal().Data, []byte{0})
}

func appAckRefusals() []refusal {
	data := func(name string, data []byte) refusal {
		return refusal{CheckAppAck, name, func(t *testing.T) error {
			return ackCrowd(t, 2).refusedProposals(&AppEphemeral{Component: ComponentAppAck, Data: data})
		}}
	}
	return []refusal{
		data("cut short", []byte{12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}),
		data("nothing", nil),
		data("trailing octet", []byte{0, 0}),
		data("not a whole range", []byte{4, 0, 0, 0, 1}),
		data("ends before it begins", AppAck{{0, 0, 3}, {1, 2, 1}}.Proposal().Data),
		{CheckAppDataUpdateData, "AppAck in the dictionary", func(t *testing.T) error {
			return ackCrowd(t, 2).refusedProposals(&AppDataUpdate{Component: ComponentAppAck, Update: []byte{0}})
		}},
	}
}

// ackedState is a stored state that remembers what was received.
type ackedState struct {
	Signer, State testvectors.Hex
	AppAck        AppAck
}

// What was received is in states of a version of their own: others stay readable
// by programs that know nothing of it.
func TestStatesRememberWhatWasReceived(t *testing.T) {
	file := filepath.Join("testdata", "state", "received.json")
	c := ackCrowd(t, 2)
	version := func() uint16 { return binary.BigEndian.Uint16(mustMarshal(t, c.members[1].g)) }
	if v := version(); v != stateVersion {
		t.Errorf("state version is %d before the first message, want %d", v, stateVersion)
	}
	messages := c.say(0, 4)
	c.hear(1, messages[0], messages[1], messages[3])
	if v := version(); v != stateWithReceived {
		t.Errorf("state version is %d, want %d", v, stateWithReceived)
	}
	if *writeState {
		s := ackedState{must(c.suite.MarshalSigner(c.members[1].id.Signer)), mustMarshal(t, c.members[1].g), c.ack(1)}
		encoded, err := json.MarshalIndent(s, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(encoded, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var s ackedState
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := c.suite.ParseSigner(s.Signer)
	if err != nil {
		t.Fatal(err)
	}
	g, err := RestoreGroup(c.members[1].cfg, signer, s.State)
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.AppAck()
	if err != nil {
		t.Fatal(err)
	}
	wantRanges(t, "AppAck", got, s.AppAck...)
	wantRanges(t, "AppAck that was stored", s.AppAck, MessageRange{0, 0, 1}, MessageRange{0, 3, 3})
	broken := slices.Clone(s.State)
	broken[len(broken)-1] = 0 // the last range ends before it begins
	if _, err := RestoreGroup(c.members[1].cfg, signer, broken); err == nil {
		t.Error("a state with a broken range is restored")
	}
}
