package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// The scripts do what those of the working group's configurations of the same
// names do.
var scripts = []struct {
	config string
	play   func(*stage)
}{
	{"welcome_join", playWelcomeJoin},
	{"application", playApplication},
	{"commit", playCommit},
	{"commit", playCommitOfEverything},
	{"external_join", playExternalJoin},
	{"external_proposals", playExternalProposals},
	{"reinit", playReInit},
	{"branch", playBranch},
	{"deep_random", playRandom},
}

// TestScripts plays all scripts in both framings in the suites that are cheap, and
// each in one framing in the others, half of them in the one, half in the other.
func TestScripts(t *testing.T) {
	s, conn := serve(t, options{padding: 32, grease: true})
	for i, suite := range s.suites.IDs() {
		for j, script := range scripts {
			for k, framing := range []string{"public", "private"} {
				if !cheap(suite) && (i+j+k)%2 == 0 {
					continue
				}
				t.Run(fmt.Sprintf("%v/%s/%s", suite, framing, script.config), func(t *testing.T) {
					script.play(newStage(t, conn, uint32(suite), framing == "private"))
				})
			}
		}
	}
}

func cheap(suite ciphersuite.ID) bool {
	return suite <= ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
}

func playWelcomeJoin(s *stage) {
	for _, c := range []commit{{}, {path: true}, {treeApart: true}, {path: true, treeApart: true}} {
		alice := s.create("alice")
		joiners, adds := s.invite("bob", "carol")
		psk := s.psk(append(joiners, alice)...)
		c.references = [][]byte{s.propose(alice, adds[0]), s.propose(alice, adds[1]), s.propose(alice, psk)}
		c.joiners = joiners
		s.commit(alice, c)
		s.talk()
		s.free(s.group...)
	}
}

func playApplication(s *stage) {
	members := s.createWith("alice", "bob")
	alice, bob := members[0], members[1]
	var said []spoken
	say := func() {
		for range 3 {
			said = append(said, s.say(alice, fmt.Sprintf("message %d", len(said))))
		}
	}
	say()
	for range pastEpochs {
		s.commit(alice, commit{})
		say()
	}
	slices.Reverse(said)
	for _, m := range said {
		s.hear(bob, m)
	}
	refused(s, codes.InvalidArgument, s.rpc.Unprotect, &pb.UnprotectRequest{StateId: bob.state, Ciphertext: said[0].ciphertext})

	late := s.say(alice, "too late")
	for range pastEpochs + 1 {
		s.commit(bob, commit{})
	}
	refused(s, codes.InvalidArgument, s.rpc.Unprotect, &pb.UnprotectRequest{StateId: bob.state, Ciphertext: late.ciphertext})
	s.talk()
}

// noCapabilities requires nothing, and noSenders admits nobody.
var (
	noCapabilities = &pb.Extension{ExtensionType: 3, ExtensionData: []byte{0, 0, 0}}
	noSenders      = &pb.Extension{ExtensionType: 5, ExtensionData: []byte{0}}
)

func contextExtensions(list ...*pb.Extension) *pb.ProposalDescription {
	return byValue("groupContextExtensions", &pb.ProposalDescription{Extensions: list})
}

func playCommit(s *stage) {
	members := s.createWith("alice", "bob")
	alice, bob := members[0], members[1]
	s.commit(bob, commit{})

	for _, path := range []bool{true, false} {
		joiners, adds := s.invite(fmt.Sprint("carol ", path), fmt.Sprint("dave ", path), fmt.Sprint("erin ", path))
		s.commit(alice, commit{
			references: [][]byte{s.propose(alice, adds[0]), s.propose(bob, adds[1])}, values: adds[2:], joiners: joiners, path: path,
		})
	}
	gone := slices.Clone(s.group[2:5])
	s.commit(bob, commit{
		references: [][]byte{s.propose(alice, removal(gone[0])), s.propose(bob, removal(gone[1]))},
		values:     []*pb.ProposalDescription{removal(gone[2])}, gone: gone,
	})

	s.commit(alice, commit{references: [][]byte{s.update(bob), s.update(s.group[2])}})

	s.commit(alice, commit{references: [][]byte{s.propose(bob, contextExtensions(noCapabilities, noSenders))}})
	s.commit(alice, commit{values: []*pb.ProposalDescription{contextExtensions()}})

	for _, path := range []bool{true, false} {
		s.commit(bob, commit{
			references: [][]byte{s.propose(alice, s.psk(s.group...)), s.propose(bob, s.psk(s.group...))},
			values:     []*pb.ProposalDescription{s.psk(s.group...)}, path: path,
		})
	}
	s.free(append(gone, s.group...)...)
}

// playCommitOfEverything has the committer propose it, then somebody else.
func playCommitOfEverything(s *stage) {
	members := s.createWith("alice", "bob", "carol", "dave")
	alice, bob := members[0], members[1]
	s.commit(bob, commit{})
	for i, proposer := range []*actor{alice, bob} {
		guests, adds := s.invite(fmt.Sprint("first guest ", i), fmt.Sprint("second guest ", i))
		gone := s.group[2:4:4]
		everybody := append(guests, s.group...)
		references := [][]byte{
			s.propose(proposer, adds[0]), s.propose(proposer, removal(gone[0])), s.propose(proposer, s.psk(everybody...)),
			s.propose(proposer, contextExtensions(noCapabilities)),
		}
		if proposer == bob {
			references = append(references, s.update(bob))
		}
		s.commit(alice, commit{
			references: references,
			values:     []*pb.ProposalDescription{adds[1], removal(gone[1]), s.psk(everybody...)},
			joiners:    guests, gone: slices.Clone(gone),
		})
		s.talk()
	}
	// Later members do not have the PSKs of earlier epochs.
	guests := slices.Clone(s.group[2:])
	s.commit(alice, commit{values: []*pb.ProposalDescription{removal(guests[0]), removal(guests[1])}, gone: guests})
	s.commit(alice, commit{
		references: [][]byte{s.propose(alice, resumption(1)), s.propose(bob, resumption(2))},
		values:     []*pb.ProposalDescription{resumption(5)}, path: true,
	})
	s.free(append(guests, s.group...)...)
}

func playExternalJoin(s *stage) {
	alice := s.create("alice")
	bob, carol := &actor{name: "bob"}, &actor{name: "carol"}
	s.externalJoin(bob, alice, false)
	s.externalJoin(carol, bob, true)
	s.externalJoin(bob, carol, false)
	s.externalJoin(alice, carol, true)
	psk := s.newPSK()
	for _, a := range s.group {
		call(s, s.rpc.StorePSK, &pb.StorePSKRequest{StateOrTransactionId: a.state, PskId: psk.PskId, PskSecret: psk.PskSecret})
	}
	s.externalJoin(&actor{name: "dave"}, alice, false, psk)
	s.commit(bob, commit{})
	s.talk()
	s.free(s.group...)
}

func playExternalProposals(s *stage) {
	alice := s.createWith("alice", "bob")[0]
	first, second := s.addSigner(alice, "first service"), s.addSigner(alice, "second service")

	carol := &actor{name: "carol"}
	entry := call(s, s.rpc.NewMemberAddProposal, &pb.NewMemberAddProposalRequest{
		GroupInfo: s.groupInfo(alice, false).GroupInfo, Identity: []byte(carol.name),
	})
	carol.transaction = entry.TransactionId
	s.commit(alice, commit{references: [][]byte{entry.Proposal}, joiners: []*actor{carol}})

	joiners, adds := s.invite("dave")
	s.commit(carol, commit{
		references: [][]byte{
			s.proposeFromOutside(first, 0, alice, adds[0]),
			s.proposeFromOutside(second, 1, alice, s.psk(append(joiners, s.group...)...)),
		},
		joiners: joiners,
	})
	s.commit(alice, commit{references: [][]byte{s.proposeFromOutside(first, 0, carol, removal(carol))}, gone: []*actor{carol}})
	s.commit(alice, commit{references: [][]byte{s.proposeFromOutside(second, 1, alice, resumption(6))}})
	s.talk()
	other := otherThan(s.suite)
	reinit := s.proposeFromOutside(first, 0, alice, byValue("reinit", &pb.ProposalDescription{
		GroupId: []byte("from outside"), CipherSuite: other, Extensions: []*pb.Extension{noCapabilities},
	}))
	s.reinitialize(reinit, alice, s.group[1], false, false)
	s.suite = other
	context := s.proposeFromOutsideOf(contextExtensions(noCapabilities))
	s.commit(s.group[1], commit{references: [][]byte{context}})
	s.talk()
	s.free(s.group...)
}

// proposeFromOutsideOf has a new signer, whom the first member admits, make a
// proposal.
func (s *stage) proposeFromOutsideOf(d *pb.ProposalDescription) []byte {
	s.Helper()
	return s.proposeFromOutside(s.addSigner(s.group[0], "late service"), 0, s.group[0], d)
}

// otherThan returns a cipher suite other than the given one: the next in the list.
func otherThan(suite uint32) uint32 {
	ids := ciphersuite.Default().IDs()
	i := slices.Index(ids, ciphersuite.ID(suite))
	return uint32(ids[(i+1)%len(ids)])
}

func playReInit(s *stage) {
	members := s.createWith("alice", "bob", "carol", "dave")
	alice, bob, carol := members[0], members[1], members[2]
	propose := func(by *actor, groupID string, list ...*pb.Extension) []byte {
		return s.propose(by, byValue("reinit", &pb.ProposalDescription{GroupId: []byte(groupID), CipherSuite: s.suite, Extensions: list}))
	}
	s.reinitialize(propose(alice, "second"), bob, carol, false, false)
	s.reinitialize(propose(alice, "third", noCapabilities, noSenders), alice, alice, true, true)
	s.suite = otherThan(s.suite)
	s.reinitialize(propose(carol, "third"), bob, alice, true, false)
	s.talk()
	s.commit(bob, commit{references: [][]byte{s.update(alice)}})
	s.free(s.group...)
}

func playBranch(s *stage) {
	members := s.createWith("alice", "bob", "carol")
	psk := s.psk(members...)
	whole := s.branch(members, []*pb.Extension{noCapabilities, noSenders}, true)
	part := s.branch([]*actor{members[2], members[0]}, nil, false)
	for _, group := range []*stage{whole, s, part} {
		group.talk()
		group.commit(group.group[1], commit{values: []*pb.ProposalDescription{psk}})
		group.talk()
		group.free(group.group...)
	}
}

// playRandom lives the life of a group, the same each time.
func playRandom(s *stage) {
	const most = 10
	steps := 20
	if !cheap(ciphersuite.ID(s.suite)) {
		steps = 4
	}
	random := rand.New(rand.NewPCG(1, uint64(s.suite)))
	chosen := func(from []*actor, n int) []*actor {
		from = slices.Clone(from)
		random.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
		return from[:n]
	}
	born := 0
	newName := func() string {
		born++
		return fmt.Sprintf("actor %d", born)
	}
	s.createWith(newName(), newName(), newName(), newName())
	for range steps {
		if n := random.IntN(5); n < 2 {
			who := chosen(s.group, 2)
			if n == 0 && len(s.group) < most {
				who[1] = &actor{name: newName()}
			}
			s.externalJoin(who[1], who[0], random.IntN(2) == 0)
			continue
		}
		// Somebody commits, and some are removed; others update.
		who := chosen(s.group, len(s.group))
		committer, others := who[0], who[1:]
		gone := others[:random.IntN(len(others))/2]
		updating := others[len(gone):][:random.IntN(len(others)-len(gone)+1)]
		c := commit{gone: gone, path: random.IntN(2) == 0, treeApart: random.IntN(2) == 0}
		for _, a := range updating {
			c.references = append(c.references, s.update(a))
		}
		var names []string
		for range random.IntN(min(3, most-len(s.group)) + 1) {
			names = append(names, newName())
		}
		joiners, proposals := s.invite(names...)
		for _, a := range gone {
			proposals = append(proposals, removal(a))
		}
		for _, p := range proposals {
			if random.IntN(2) == 0 {
				c.values = append(c.values, p)
			} else {
				c.references = append(c.references, s.propose(who[len(gone)+random.IntN(len(who)-len(gone))], p))
			}
		}
		c.joiners = joiners
		s.commit(committer, c)
	}
	s.talk()
	s.free(s.group...)
}
