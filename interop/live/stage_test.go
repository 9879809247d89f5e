package live

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A stage is where a scenario is played: its actors, some of them in the group.
// Its methods do one step with everybody who takes part in it, check that the
// members agree afterwards, and end the test if anything fails.
type stage struct {
	*testing.T
	suite  ciphersuite.ID
	next   ciphersuite.ID   // what a group changes to
	public bool             // handshake messages are PublicMessages
	roles  []implementation // of the actors, in the order of their appearance
	actors []*actor
	group  []*actor
}

type actor struct {
	member
	name string
}

var actorNames = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj"}

// actor brings in the next actor. Roles repeat if there are more actors.
func (s *stage) actor() *actor {
	s.Helper()
	i := len(s.actors)
	role := s.roles[i%len(s.roles)]
	name := actorNames[i%len(actorNames)]
	m, err := role.NewMember(s.suite, fmt.Sprintf("%s-%d", name, i))
	a := &actor{m, fmt.Sprintf("%s (%s)", name, role.Name())}
	s.must(err, "making %s", a.name)
	s.Cleanup(func() { m.Close() })
	s.actors = append(s.actors, a)
	return a
}

func (s *stage) must(err error, format string, args ...any) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// create has the next actor create the group.
func (s *stage) create() *actor {
	s.Helper()
	a := s.actor()
	s.must(a.Create([]byte("group of "+a.name)), "%s creates the group", a.name)
	s.group = []*actor{a}
	return a
}

func (s *stage) keyPackage(a *actor) []byte {
	s.Helper()
	message, err := a.KeyPackage()
	s.must(err, "%s makes a key package", a.name)
	return message
}

// add has a member add the next n actors by one commit.
func (s *stage) add(by *actor, n int) []*actor {
	s.Helper()
	return s.addWith(by, n, commit{})
}

// addWith does so by a commit that has other contents besides.
func (s *stage) addWith(by *actor, n int, c commit) []*actor {
	s.Helper()
	var joiners []*actor
	for range n {
		joiner := s.actor()
		joiners = append(joiners, joiner)
		c.Proposals = append(c.Proposals, proposal{Add: s.keyPackage(joiner)})
	}
	s.join(joiners, s.commitWith(by, c), c.WithoutTree)
	return joiners
}

// join lets actors in by a Welcome.
func (s *stage) join(joiners []*actor, c *committed, treeApart bool) {
	s.Helper()
	var tree []byte
	if treeApart {
		tree = c.Tree
	}
	for _, joiner := range joiners {
		s.must(joiner.Join(c.Welcome, tree), "%s joins", joiner.name)
		s.group = append(s.group, joiner)
	}
	s.agree()
}

// commit has a member make a commit of what has been proposed, and all others
// process it.
func (s *stage) commit(by *actor) {
	s.Helper()
	s.commitWith(by, commit{})
	s.agree()
}

// commitWith does so with other contents besides. New members are not in yet.
func (s *stage) commitWith(by *actor, c commit) *committed {
	s.Helper()
	c.Public = s.public
	made, err := by.Commit(c)
	s.must(err, "%s commits", by.name)
	s.deliver(by, made.Message, "commit")
	s.must(by.Merge(), "%s merges its commit", by.name)
	return made
}

// deliver has all members but one process a message. Those whom it removes are
// not in the group any more.
func (s *stage) deliver(from *actor, message []byte, kind string) {
	s.Helper()
	var left []*actor
	for _, a := range s.group {
		if a != from {
			r, err := a.Process(message)
			s.must(err, "%s processes the %s of %s", a.name, kind, from.name)
			if r.Kind != kind {
				s.Fatalf("%s takes the %s of %s for a %s", a.name, kind, from.name, r.Kind)
			}
			if r.Removed {
				continue
			}
		}
		left = append(left, a)
	}
	s.group = left
}

// propose has a member send a proposal.
func (s *stage) propose(by *actor, p proposal) {
	s.Helper()
	message, err := by.Propose(p, s.public)
	s.must(err, "%s proposes", by.name)
	s.deliver(by, message, "proposal")
}

// agree checks that all members are in the same state, and have the same view of
// who is in the group.
func (s *stage) agree() *status {
	s.Helper()
	var first *status
	for _, a := range s.group {
		status, err := a.Status()
		s.must(err, "state of %s", a.name)
		if first == nil {
			first = status
		}
		if !reflect.DeepEqual(status, first) {
			s.Fatalf("%s is at\n%+v, and %s at\n%+v", s.group[0].name, first, a.name, status)
		}
	}
	if len(first.Members) != len(s.group) {
		s.Fatalf("the group has %d members, want %d", len(first.Members), len(s.group))
	}
	if len(first.Exported) != exportLength || len(first.Authenticator) == 0 {
		s.Fatalf("exported %d octets, want %d; the epoch authenticator has %d", len(first.Exported), exportLength, len(first.Authenticator))
	}
	return first
}

// talk has every member send a message to all others.
func (s *stage) talk() {
	s.Helper()
	for _, from := range s.group {
		s.say(from, fmt.Appendf(nil, "%s says hello", from.name))
	}
}

func (s *stage) say(from *actor, data []byte) {
	s.Helper()
	message := s.protect(from, data)
	for _, to := range s.group {
		if to != from {
			s.hear(to, message, data)
		}
	}
}

func (s *stage) protect(from *actor, data []byte) []byte {
	s.Helper()
	message, err := from.Protect(data, []byte("authenticated"))
	s.must(err, "%s sends a message", from.name)
	return message
}

func (s *stage) hear(to *actor, message, data []byte) {
	s.Helper()
	r, err := to.Process(message)
	s.must(err, "%s receives a message", to.name)
	if r.Kind != "application" || !bytes.Equal(r.Data, data) {
		s.Fatalf("%s received the %s %q, want %q", to.name, r.Kind, r.Data, data)
	}
}

// enterFrom has an actor join by a commit of its own, by the GroupInfo of a member.
func (s *stage) enterFrom(by, joiner *actor, treeApart, resync bool) *actor {
	s.Helper()
	info, err := by.GroupInfo(treeApart)
	s.must(err, "%s makes a GroupInfo", by.name)
	if !treeApart {
		info.Tree = nil
	}
	message, err := joiner.ExternalJoin(info, resync)
	s.must(err, "%s joins from outside", joiner.name)
	s.deliver(joiner, message, "commit")
	s.must(joiner.Merge(), "%s merges its commit", joiner.name)
	s.group = append(s.group, joiner)
	s.agree()
	return joiner
}

// succeed has a member and others leave the group for one that the member makes.
func (s *stage) succeed(by *actor, others []*actor, found func(keyPackages [][]byte) (welcome []byte, err error)) {
	s.Helper()
	var keyPackages [][]byte
	for _, a := range others {
		keyPackages = append(keyPackages, s.keyPackage(a))
	}
	welcome, err := found(keyPackages)
	s.must(err, "%s makes the group that succeeds", by.name)
	s.group = []*actor{by}
	for _, a := range others {
		s.must(a.JoinSuccessor(welcome), "%s joins the group that succeeds", a.name)
		s.group = append(s.group, a)
	}
	s.agree()
}

// proposeFromOutside has somebody make a proposal by the GroupInfo of a member.
func (s *stage) proposeFromOutside(by *actor, propose func(*groupInfo) ([]byte, error), informant *actor) {
	s.Helper()
	info, err := informant.GroupInfo(false)
	s.must(err, "%s makes a GroupInfo", informant.name)
	message, err := propose(info)
	s.must(err, "%s proposes from outside", by.name)
	s.deliver(by, message, "proposal")
}

// remove has a member remove others from the group.
func (s *stage) remove(by *actor, gone ...*actor) {
	s.Helper()
	var c commit
	for _, a := range gone {
		c.Proposals = append(c.Proposals, proposal{Remove: new(s.indexOf(a))})
	}
	s.commitWith(by, c)
	s.areGone(gone...)
	s.agree()
}

func (s *stage) areGone(gone ...*actor) {
	s.Helper()
	for _, a := range gone {
		if slices.Contains(s.group, a) {
			s.Fatalf("%s does not notice that it was removed", a.name)
		}
	}
}

// indexOf returns the leaf index of a member.
func (s *stage) indexOf(a *actor) uint32 {
	s.Helper()
	for i, other := range s.actors {
		if other != a {
			continue
		}
		identity := fmt.Sprintf("%s-%d", actorNames[i%len(actorNames)], i)
		for _, m := range s.agree().Members {
			if string(m.Identity) == identity {
				return m.Index
			}
		}
	}
	s.Fatalf("%s is not in the group", a.name)
	return 0
}
