package live

import (
	"bytes"
	"math/rand/v2"

	"github.com/mendlink/mendlink/internal/wire"
)

// A scenario is played by actors of several implementations.
type scenario struct {
	name string
	// actors is the number of roles: all ways to give them to two
	// implementations are played.
	actors int
	play   func(*stage)
	// not are the roles that an implementation cannot play; peculiarities_test.go
	// shows why.
	not map[string][]int
}

var scenarios = []scenario{
	{name: "welcome", actors: 2, play: welcome},
	{name: "welcome with the tree apart", actors: 2, play: welcomeTreeApart},
	{name: "commits in turn", actors: 2, play: commitsInTurn},
	{name: "messages out of order", actors: 2, play: messagesOutOfOrder},
	{name: "external PSK", actors: 2, play: externalPSK},
	{name: "external PSK in a Welcome", actors: 2, play: externalPSKInWelcome},
	{name: "update by reference", actors: 2, play: updateByReference},
	{name: "third member", actors: 3, play: thirdMember},
	{name: "two members at once", actors: 3, play: twoMembersAtOnce},
	{name: "add by reference", actors: 3, play: addByReference},
	{name: "remove", actors: 3, play: remove},
	{name: "remove by reference", actors: 3, play: removeByReference},
	{name: "context extensions", actors: 2, play: contextExtensions, not: map[string][]int{"ts-mls": {0}}},
	{name: "external join", actors: 2, play: externalJoin},
	{name: "external join with the tree apart", actors: 3, play: externalJoinTreeApart},
	{name: "external join in place of an earlier self", actors: 2, play: externalJoinAgain},
	{name: "resumption PSK", actors: 2, play: resumptionPSK},
	{name: "resumption PSK by reference", actors: 2, play: resumptionPSKByReference, not: map[string][]int{"openmls": {0}}},
	{name: "branch", actors: 3, play: branch, not: map[string][]int{"openmls": {0, 1, 2}}},
	{name: "re-initialization", actors: 3, play: reinitialization, not: map[string][]int{"openmls": {0, 1, 2}}},
	{name: "proposal to be added", actors: 3, play: proposalToBeAdded},
	{name: "external sender", actors: 4, play: externalSender, not: map[string][]int{"ts-mls": {0, 1, 3}}},
	{name: "life", actors: 3, play: life, not: map[string][]int{"ts-mls": {0, 1, 2}}},
}

func welcome(s *stage) {
	alice := s.create()
	s.add(alice, 1)
	s.talk()
}

func welcomeTreeApart(s *stage) {
	alice := s.create()
	s.addWith(alice, 1, commit{WithoutTree: true})
	s.talk()
}

func commitsInTurn(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	for range 2 {
		s.commit(bob)
		s.talk()
		s.commit(alice)
		s.commit(alice)
		s.talk()
	}
}

func messagesOutOfOrder(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	for range 2 {
		for _, way := range [][2]*actor{{alice, bob}, {bob, alice}} {
			from, to := way[0], way[1]
			data := [][]byte{[]byte("first"), {}, bytes.Repeat([]byte("x"), 10000), []byte("fourth"), []byte("fifth")}
			var messages [][]byte
			for _, d := range data {
				messages = append(messages, s.protect(from, d))
			}
			for _, i := range []int{3, 0, 4, 2, 1} {
				s.hear(to, messages[i], data[i])
			}
			if _, err := to.Process(messages[3]); err == nil {
				s.Fatalf("%s accepts a message twice", to.name)
			}
		}
		s.commit(bob)
	}
}

var pskID, pskSecret = []byte("psk of the scenario"), []byte("0123456789abcdef0123456789abcdef")

func (s *stage) addPSK(actors ...*actor) {
	s.Helper()
	for _, a := range actors {
		s.must(a.AddPSK(pskID, pskSecret), "%s gets a PSK", a.name)
	}
}

func externalPSK(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.addPSK(alice, bob)
	s.commitWith(alice, commit{Proposals: []proposal{{PSK: pskID}}})
	s.agree()
	s.commitWith(bob, commit{Proposals: []proposal{{PSK: pskID}}})
	s.agree()
	s.propose(alice, proposal{PSK: pskID})
	s.commit(bob)
	s.propose(bob, proposal{PSK: pskID})
	s.commit(bob)
	s.talk()
}

func externalPSKInWelcome(s *stage) {
	alice := s.create()
	bob := s.actor()
	s.addPSK(alice, bob)
	c := s.commitWith(alice, commit{Proposals: []proposal{{Add: s.keyPackage(bob)}, {PSK: pskID}}})
	s.join([]*actor{bob}, c, false)
	s.talk()
}

func updateByReference(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.propose(bob, proposal{Update: true})
	s.commit(alice)
	s.talk()
	s.propose(alice, proposal{Update: true})
	s.commit(bob)
	s.commit(alice)
	s.talk()
}

func thirdMember(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commit(bob)
	carol := s.add(bob, 1)[0]
	s.talk()
	for _, a := range []*actor{carol, alice, bob} {
		s.commit(a)
		s.talk()
	}
}

func twoMembersAtOnce(s *stage) {
	alice := s.create()
	joined := s.add(alice, 2)
	s.commit(joined[1])
	s.commit(joined[0])
	s.commit(alice)
	s.talk()
}

func addByReference(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commit(alice)
	carol := s.actor()
	s.propose(bob, proposal{Add: s.keyPackage(carol)})
	s.join([]*actor{carol}, s.commitWith(alice, commit{}), false)
	s.commit(carol)
	s.talk()
}

func remove(s *stage) {
	alice := s.create()
	joined := s.add(alice, 2)
	bob, carol := joined[0], joined[1]
	s.commit(carol)
	s.remove(carol, bob)
	s.talk()
	s.commit(alice)
	s.add(carol, 1) // in the place of the removed one
	s.talk()
	s.remove(alice, carol)
	s.talk()
}

func removeByReference(s *stage) {
	alice := s.create()
	joined := s.add(alice, 2)
	bob, carol := joined[0], joined[1]
	s.propose(bob, proposal{Remove: new(s.indexOf(carol))})
	s.commit(alice)
	s.areGone(carol)
	s.talk()
	s.commit(bob)
}

// Extensions required_capabilities that ask for nothing, and for basic credentials.
var (
	nothingRequired = extension{Type: 3, Data: []byte{0, 0, 0}}
	basicRequired   = extension{Type: 3, Data: []byte{0, 0, 2, 0, 1}}
)

func contextExtensions(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commitWith(alice, commit{Proposals: []proposal{{ContextExtensions: []extension{nothingRequired}}}})
	s.agree()
	s.propose(bob, proposal{ContextExtensions: []extension{basicRequired}})
	s.commit(alice)
	s.talk()
	s.propose(bob, proposal{Update: true})
	s.propose(alice, proposal{ContextExtensions: []extension{nothingRequired}})
	s.commit(alice)
	s.add(bob, 1)
	s.talk()
}

func externalJoin(s *stage) {
	alice := s.create()
	bob := s.enterFrom(alice, s.actor(), false, false)
	s.talk()
	s.commit(alice)
	s.commit(bob)
	s.talk()
}

func externalJoinTreeApart(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commit(bob)
	carol := s.enterFrom(bob, s.actor(), true, false)
	s.talk()
	s.commit(carol)
	s.remove(carol, alice)
	s.talk()
}

func externalJoinAgain(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commit(bob)
	// Bob has lost its state.
	s.group = s.group[:1]
	s.enterFrom(alice, bob, false, true)
	s.talk()
	s.commit(bob)
	s.commit(alice)
	s.talk()
}

func resumptionPSK(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	for _, a := range []*actor{bob, alice, bob} {
		s.commit(a)
	}
	epoch := s.agree().Epoch
	s.commitWith(alice, commit{Proposals: []proposal{{Resumption: new(epoch)}}})
	s.agree()
	s.commitWith(bob, commit{Proposals: []proposal{{Resumption: new(epoch - 1)}}})
	s.agree()
	s.talk()
}

func resumptionPSKByReference(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commit(alice)
	epoch := s.agree().Epoch
	s.propose(alice, proposal{Resumption: new(epoch)})
	s.commit(bob)
	s.propose(alice, proposal{Resumption: new(epoch - 1)})
	s.commit(alice)
	s.talk()
}

// branch has two of three members go on in a group of their own.
func branch(s *stage) {
	alice := s.create()
	joined := s.add(alice, 2)
	bob, carol := joined[0], joined[1]
	s.commit(carol)
	s.succeed(bob, []*actor{alice}, func(keyPackages [][]byte) ([]byte, error) {
		return bob.Branch([]byte("branch"), keyPackages)
	})
	s.commit(alice)
	s.add(bob, 1)
	s.talk()
}

// reinitialization closes a group for one with another suite, which is closed
// again, for one with the first suite.
func reinitialization(s *stage) {
	alice := s.create()
	joined := s.add(alice, 2)
	bob, carol := joined[0], joined[1]
	s.commit(carol)
	close := proposal{ReInit: &reInit{GroupID: []byte("second group"), Suite: s.next}}
	s.commitWith(alice, commit{Proposals: []proposal{close}})
	s.succeed(bob, []*actor{alice, carol}, bob.Reinitialize)
	s.commit(carol)
	s.talk()
	close = proposal{ReInit: &reInit{GroupID: []byte("third group"), Suite: s.suite}}
	s.propose(alice, close)
	s.commitWith(bob, commit{})
	s.succeed(alice, []*actor{carol, bob}, alice.Reinitialize)
	s.commit(bob)
	s.add(carol, 1)
	s.talk()
}

func proposalToBeAdded(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	s.commit(alice)
	carol := s.actor()
	s.proposeFromOutside(carol, carol.ProposeJoin, bob)
	s.join([]*actor{carol}, s.commitWith(alice, commit{}), false)
	s.commit(carol)
	s.talk()
}

// externalSender has one who is not in the group propose an Add and a Remove.
func externalSender(s *stage) {
	alice := s.create()
	bob := s.add(alice, 1)[0]
	outsider := s.actor()
	s.commitWith(bob, commit{Proposals: []proposal{{ContextExtensions: []extension{externalSenders(s, outsider)}}}})
	s.agree()
	carol := s.actor()
	add := proposal{Add: s.keyPackage(carol)}
	s.proposeFromOutside(outsider, func(info *groupInfo) ([]byte, error) { return outsider.ProposeFromOutside(info, add) }, alice)
	s.join([]*actor{carol}, s.commitWith(bob, commit{}), false)
	s.talk()
	remove := proposal{Remove: new(s.indexOf(bob))}
	s.proposeFromOutside(outsider, func(info *groupInfo) ([]byte, error) { return outsider.ProposeFromOutside(info, remove) }, carol)
	s.commit(alice)
	s.areGone(bob)
	s.talk()
}

// externalSenders returns the extension that lets an actor propose from outside.
func externalSenders(s *stage, a *actor) extension {
	s.Helper()
	sender, err := a.ExternalSender()
	s.must(err, "%s describes itself", a.name)
	var vector wire.Writer // of one
	vector.Opaque(sender)
	return extension{Type: 5, Data: vector.Data()}
}

// life is a long random course of events in a group of changing size. The suite
// decides which.
func life(s *stage) {
	r := rand.New(rand.NewPCG(uint64(s.suite), 0))
	s.create()
	for range 25 {
		n := len(s.group)
		by := s.group[r.IntN(n)]
		switch what := r.IntN(8); {
		case n < 3 || what < 2 && n < 9:
			s.addWith(by, 1+r.IntN(2), commit{WithoutTree: r.IntN(2) == 0})
		case what < 4 && n > 4:
			gone := s.group[r.IntN(n)]
			if gone != by {
				s.remove(by, gone)
			}
		case what < 6:
			for _, a := range s.group {
				if a != by && r.IntN(3) == 0 {
					s.propose(a, proposal{Update: true})
				}
			}
			s.commit(by)
		case what < 7 && n < 9:
			s.enterFrom(by, s.actor(), r.IntN(2) == 0, false)
		default:
			s.commit(by)
		}
		s.say(s.group[r.IntN(len(s.group))], []byte("still here"))
	}
	s.talk()
}
