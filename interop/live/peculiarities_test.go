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
		alice, err := mendlink{ciphersuite.Default()}.NewMember(suite, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Create([]byte("group")); err != nil {
			t.Fatal(err)
		}
		_, err = alice.Commit(commit{Proposals: []proposal{{Add: keyPackage}}})
		var broken *mls.Error
		if !errors.As(err, &broken) || broken.Check != mls.CheckLeafEncryptionKey {
			t.Errorf("%v: adding ts-mls: %v, want the rule %s broken", suite, err, mls.CheckLeafEncryptionKey)
		}
	}
}

// ts-mls refuses to join a tree in which the non-blank parents above an unmerged
// leaf do not all have the same unmerged leaves. RFC 9420, Section 12.4.3.1, only
// wants those below a parent that lists a leaf to list it as well. Such a tree
// comes about where members are added to two halves of a group.
func TestTSMLSRefusesGoodTrees(t *testing.T) {
	process, ours := tsMLS.start(t), mendlink{ciphersuite.Default()}
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
		if err := joiner.Join(made.Welcome, nil); (err == nil) != (joins == ours) {
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
	process, ours := tsMLS.start(t), mendlink{ciphersuite.Default()}
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
