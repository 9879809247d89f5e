package live

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// ts-mls encodes the signature keys of NIST curves as compressed points. That is
// not what RFC 9420, Section 5.1.1, calls for, and such a key package is refused
// for that reason. In all other tests the peer's driver encodes them as it should
// be.
func TestTSMLSCompressedSignatureKeysAreRefused(t *testing.T) {
	process := tsMLS.start(t)
	for _, suite := range []ciphersuite.ID{
		ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
		ciphersuite.MLS_256_DHKEMP521_AES256GCM_SHA512_P521,
		ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384,
	} {
		bob, err := process.newMember(map[string]any{"suite": suite, "identity": []byte("bob"), "as_written": true})
		if err != nil {
			t.Fatal(err)
		}
		keyPackage, err := bob.KeyPackage()
		if err != nil {
			t.Fatal(err)
		}
		alice, err := mendlink{suites: ciphersuite.Default()}.NewMember(suite, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Create([]byte("group")); err != nil {
			t.Fatal(err)
		}
		_, err = alice.Commit(commit{Proposals: []proposal{{Add: keyPackage}}})
		var broken *mls.Error
		if !errors.As(err, &broken) || broken.Check != mls.CheckLeafSignatureKey {
			t.Errorf("%v: adding ts-mls: %v, want the rule %s broken", suite, err, mls.CheckLeafSignatureKey)
		}
	}
}

// ts-mls refuses to join a tree in which the non-blank parents above an unmerged
// leaf do not all have the same unmerged leaves. RFC 9420, Section 12.4.3.1, only
// wants those below a parent that lists a leaf to list it as well. Such a tree
// comes about where members are added to two halves of a group.
func TestTSMLSRefusesGoodTrees(t *testing.T) {
	process, ours := tsMLS.start(t), mendlink{suites: ciphersuite.Default()}
	s := &stage{T: t, suite: 1, roles: []implementation{process, ours, ours, ours, ours, ours, ours, ours}}
	alice := s.create() // adds without a path, as ts-mls does
	s.add(alice, 7)
	fifth := s.group[4]
	for _, a := range s.group {
		s.commit(a)
	}
	s.remove(alice, s.group[1], s.group[5])
	s.commit(fifth)
	s.commit(alice)
	s.roles = []implementation{ours}
	s.add(alice, 2)
	for _, joins := range []implementation{ours, process} {
		s.roles = []implementation{joins}
		joiner := s.actor()
		made := s.commitWith(alice, commit{Proposals: []proposal{{Add: s.keyPackage(joiner)}}})
		if err := joiner.Join(made.Welcome, nil); (err == nil) != (joins.Name() == ours.Name()) {
			t.Errorf("%s joins: %v", joiner.name, err)
		} else if err == nil {
			s.group = append(s.group, joiner)
		}
	}
}

// ts-mls makes a commit that changes extensions without a path, against RFC 9420,
// Section 12.4. If there is a path for another reason, it is encrypted in a
// context with the old extensions, against Section 12.4.1.
func TestTSMLSCommitsToExtensionsAreRefused(t *testing.T) {
	process, ours := tsMLS.start(t), mendlink{suites: ciphersuite.Default()}
	s := &stage{T: t, suite: 1, roles: []implementation{process, ours}}
	alice := s.create()
	bob := s.add(alice, 1)[0]
	change := commit{Proposals: []proposal{{ContextExtensions: []extension{nothingRequired}}}}
	made, err := alice.Commit(change)
	s.must(err, "%s commits", alice.name)
	_, err = bob.Process(made.Message)
	var broken *mls.Error
	if !errors.As(err, &broken) || broken.Check != mls.CheckPathRequired {
		t.Errorf("extensions alone: %v, want the rule %s broken", err, mls.CheckPathRequired)
	}
	s.propose(bob, proposal{Update: true})
	made, err = alice.Commit(change)
	s.must(err, "%s commits", alice.name)
	if _, err = bob.Process(made.Message); !errors.Is(err, mls.ErrDecrypt) {
		t.Errorf("extensions and a path: %v, want ErrDecrypt", err)
	}
}

// ts-mls takes the extension external_senders for one ExternalSender, where RFC
// 9420, Section 12.1.8.1, has a vector of them: it refuses a commit that sets it.
func TestTSMLSRefusesExternalSenders(t *testing.T) {
	process, ours := tsMLS.start(t), mendlink{suites: ciphersuite.Default()}
	s := &stage{T: t, suite: 1, roles: []implementation{ours, ours, process}}
	alice := s.create()
	joined := s.add(alice, 2)
	made, err := alice.Commit(commit{Proposals: []proposal{{ContextExtensions: []extension{externalSenders(s, alice)}}}})
	s.must(err, "%s commits", alice.name)
	for _, a := range joined {
		_, err := a.Process(made.Message)
		checkOnlyTheyRefuse(t, a, err)
	}
}

// OpenMLS does not recognize the GREASE extension of a leaf in the capabilities
// of that leaf, which list it, and refuses the leaf: clients have to ignore what
// they do not know (RFC 9420, Section 13.5).
func TestOpenMLSRefusesGREASE(t *testing.T) {
	process, ours := openMLS.start(t), mendlink{suites: ciphersuite.Default()}
	s := &stage{T: t, suite: 1, roles: []implementation{mendlink{suites: ours.suites, grease: true}, ours, process}}
	alice, bob, carol := s.create(), s.actor(), s.actor()
	made := s.commitWith(alice, commit{Proposals: []proposal{{Add: s.keyPackage(bob)}, {Add: s.keyPackage(carol)}}})
	for _, a := range []*actor{bob, carol} {
		checkOnlyTheyRefuse(t, a, a.Join(made.Welcome, nil))
	}
}

// OpenMLS can take part neither in a branch (RFC 9420, Section 11.3) nor in a
// re-initialization (Section 11.2): it has no way to find the PSK of the group
// that went before.
func TestOpenMLSJoinsNoSuccessor(t *testing.T) {
	process, ours := openMLS.start(t), mendlink{suites: ciphersuite.Default()}
	for _, way := range []string{"branch", "re-initialization"} {
		t.Run(way, func(t *testing.T) {
			s := &stage{T: t, suite: 1, roles: []implementation{ours, ours, process}}
			alice := s.create()
			joined := s.add(alice, 2)
			if way == "re-initialization" {
				s.commitWith(alice, commit{Proposals: []proposal{{ReInit: &reInit{GroupID: []byte("second group"), Suite: s.suite}}}})
			}
			var keyPackages [][]byte
			for _, a := range joined {
				keyPackages = append(keyPackages, s.keyPackage(a))
			}
			var welcome []byte
			var err error
			if way == "branch" {
				welcome, err = alice.Branch([]byte("branch"), keyPackages)
			} else {
				welcome, err = alice.Reinitialize(keyPackages)
			}
			s.must(err, "%s makes the group that succeeds", alice.name)
			for _, a := range joined {
				checkOnlyTheyRefuse(t, a, a.JoinSuccessor(welcome))
			}
		})
	}
}

// OpenMLS proposes no resumption PSK but by value, in a commit.
func TestOpenMLSProposesNoResumptionPSK(t *testing.T) {
	process, ours := openMLS.start(t), mendlink{suites: ciphersuite.Default()}
	s := &stage{T: t, suite: 1, roles: []implementation{ours, process}}
	alice := s.create()
	bob := s.add(alice, 1)[0]
	for _, a := range []*actor{alice, bob} {
		_, err := a.Propose(proposal{Resumption: new(s.agree().Epoch)}, false)
		checkOnlyTheyRefuse(t, a, err)
	}
}

// mls-rs re-initializes a group by a PSK whose nonce has the length of the old
// suite's hash. RFC 9420, Section 8.4, wants that of the suite of the group into
// which the PSK is injected.
func TestMLSRSReInitializesWithANonceOfTheOldSuite(t *testing.T) {
	process, ours := mlsRS.start(t), mendlink{suites: ciphersuite.Default()}
	for _, next := range []ciphersuite.ID{
		ciphersuite.MLS_256_DHKEMP521_AES256GCM_SHA512_P521,
		ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384,
	} {
		s := &stage{T: t, suite: ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, roles: []implementation{ours, process}}
		alice := s.create()
		bob := s.add(alice, 1)[0]
		s.commitWith(alice, commit{Proposals: []proposal{{ReInit: &reInit{GroupID: []byte("second group"), Suite: next}}}})
		welcome, err := bob.Reinitialize([][]byte{s.keyPackage(alice)})
		s.must(err, "%s makes the group that succeeds", bob.name)
		err = alice.JoinSuccessor(welcome)
		var broken *mls.Error
		if !errors.As(err, &broken) || broken.Check != mls.CheckWelcomePSKNonce {
			t.Errorf("%v: joining a group of mls-rs: %v, want the rule %s broken", next, err, mls.CheckWelcomePSKNonce)
		}
	}
}

// checkOnlyTheyRefuse checks that what an actor tried failed if it is another
// implementation, because that one refuses it, and succeeded if it is Mendlink.
func checkOnlyTheyRefuse(t *testing.T, a *actor, err error) {
	t.Helper()
	_, theirs := a.member.(*peerMember)
	if refused := errors.As(err, new(*peerError)); refused != theirs || err != nil && !refused {
		t.Errorf("%s: %v", a.name, err)
	}
}
