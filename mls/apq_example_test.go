package mls_test

import (
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Two clients update their keys cheaply and often, and now and then in such a way
// that quantum computers are locked out, too.
func ExampleAPQGroup() {
	const pure = ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519
	book := addressBook{}
	alice, bob := newIdentity(book, "alice"), newIdentity(book, "bob")
	cfg := &mls.Config{
		AuthenticationService: book, Now: time.Now,
		Components: []mls.Component{mls.APQComponent()}, WireFormats: mls.WireFormats{mls.WireFormatAPQMessagePair},
	}

	bundle, err := mls.NewAPQKeyPackage(cfg, mls.APQKeyPackageOptions{
		T:  mls.KeyPackageOptions{Suite: suite, Identity: bob},
		PQ: mls.KeyPackageOptions{Suite: pure, Identity: bob},
	})
	if err != nil {
		log.Fatal(err)
	}
	unverified, err := mls.ParseAPQKeyPackage(bundle.Message())
	if err != nil {
		log.Fatal(err)
	}
	bobs, err := unverified.Verify(cfg, mls.APQConfidentiality)
	if err != nil {
		log.Fatal(err)
	}
	ofAlice, err := mls.NewAPQGroup(cfg, mls.APQGroupOptions{
		T:  mls.GroupOptions{Suite: suite, Identity: alice},
		PQ: mls.GroupOptions{Suite: pure, Identity: alice},
	})
	if err != nil {
		log.Fatal(err)
	}
	added, err := ofAlice.Commit(mls.APQCommitOptions{Add: []*mls.APQKeyPackage{bobs}})
	if err != nil {
		log.Fatal(err)
	}
	ofBob, err := mls.JoinAPQ(cfg, added.Welcome(), bundle, mls.APQJoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	ofAlice = added.Group()

	for _, full := range []bool{false, false, true} {
		commit, err := ofAlice.Commit(mls.APQCommitOptions{Full: full})
		if err != nil {
			log.Fatal(err)
		}
		received, err := ofBob.Process(commit.Message())
		if err != nil {
			log.Fatal(err)
		}
		ofAlice.Erase()
		ofBob.Erase()
		ofAlice, ofBob = commit.Group(), received.Group()
		fmt.Println("epochs", ofBob.T().Epoch(), "and", ofBob.PQ().Epoch())
	}
	// Output:
	// epochs 2 and 1
	// epochs 3 and 1
	// epochs 4 and 2
}

// A client joins a pair of groups by itself.
func ExampleJoinAPQExternal() {
	const pure = ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519
	book := addressBook{}
	alice, bob := newIdentity(book, "alice"), newIdentity(book, "bob")
	cfg := &mls.Config{
		AuthenticationService: book, Now: time.Now,
		Components: []mls.Component{mls.APQComponent()}, WireFormats: mls.WireFormats{mls.WireFormatAPQMessagePair},
	}
	ofAlice, err := mls.NewAPQGroup(cfg, mls.APQGroupOptions{
		T:  mls.GroupOptions{Suite: suite, Identity: alice},
		PQ: mls.GroupOptions{Suite: pure, Identity: alice},
	})
	if err != nil {
		log.Fatal(err)
	}
	info, err := ofAlice.GroupInfo(mls.GroupInfoOptions{})
	if err != nil {
		log.Fatal(err)
	}
	joined, err := mls.JoinAPQExternal(cfg, info, mls.APQExternalJoinOptions{
		T: mls.ExternalJoinOptions{Identity: bob}, PQ: mls.ExternalJoinOptions{Identity: bob},
	})
	if err != nil {
		log.Fatal(err)
	}
	received, err := ofAlice.Process(joined.Message())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(received.Group().T().Members()), "and", len(received.Group().PQ().Members()), "members")
	// Output:
	// 2 and 2 members
}

// A delivery service follows a pair of groups, whose commits are public.
func ExampleAPQObserver() {
	const pure = ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519
	book := addressBook{}
	alice := newIdentity(book, "alice")
	cfg := &mls.Config{
		AuthenticationService: book, Now: time.Now,
		Components: []mls.Component{mls.APQComponent()}, WireFormats: mls.WireFormats{mls.WireFormatAPQMessagePair},
	}
	group, err := mls.NewAPQGroup(cfg, mls.APQGroupOptions{
		T:  mls.GroupOptions{Suite: suite, Identity: alice},
		PQ: mls.GroupOptions{Suite: pure, Identity: alice},
	})
	if err != nil {
		log.Fatal(err)
	}
	info, err := group.GroupInfo(mls.GroupInfoOptions{})
	if err != nil {
		log.Fatal(err)
	}
	observer, err := mls.NewAPQObserver(cfg, info)
	if err != nil {
		log.Fatal(err)
	}

	commit, err := group.Commit(mls.APQCommitOptions{Full: true, T: mls.CommitOptions{WireFormat: mls.WireFormatPublicMessage}})
	if err != nil {
		log.Fatal(err)
	}
	seen, err := observer.Process(commit.Message())
	if err != nil {
		log.Fatal(err)
	}
	observer = seen.Observer()
	fmt.Println("epochs", observer.T().Epoch(), "and", observer.PQ().Epoch(), "members:", len(observer.T().Members()))
	// Output: epochs 1 and 1 members: 1
}
