package live

import (
	"bytes"
	"math/rand/v2"
)

// A scenario is played by actors of several implementations.
type scenario struct {
	name string
	// actors is the number of roles: all ways to give them to two
	// implementations are played.
	actors int
	play   func(*stage)
}

var scenarios = []scenario{
	{"welcome", 2, welcome},
	{"welcome with the tree apart", 2, welcomeTreeApart},
	{"commits in turn", 2, commitsInTurn},
	{"messages out of order", 2, messagesOutOfOrder},
	{"external PSK", 2, externalPSK},
	{"external PSK in a Welcome", 2, externalPSKInWelcome},
	{"update by reference", 2, updateByReference},
	{"third member", 3, thirdMember},
	{"two members at once", 3, twoMembersAtOnce},
	{"add by reference", 3, addByReference},
	{"remove", 3, remove},
	{"remove by reference", 3, removeByReference},
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

// life is a long random course of events in a group of changing size. The events
// depend on the seed alone.
func life(s *stage, seed uint64, steps int) {
	r := rand.New(rand.NewPCG(seed, 0))
	s.create()
	for range steps {
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
		default:
			s.commit(by)
		}
		s.say(s.group[r.IntN(len(s.group))], []byte("still here"))
	}
	s.talk()
}
