package mls_test

import (
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// An application brings a proposal and an extension of its own: the topic, which is
// in the GroupContext, so that all agree on it.
func ExampleCustomProposalType() {
	const topic mls.ExtensionType = 0xF100 // of the range for private use
	setTopic := mls.CustomProposalType{
		Type: 0xF101,
		Name: "topic",
		Validate: func(p *mls.CustomProposal, in mls.ProposalContext) error {
			if len(p.Data) > 40 {
				return errors.New("a topic has 40 octets at the most")
			}
			return nil
		},
		Apply: func(p *mls.CustomProposal, in mls.ProposalContext) (mls.Extensions, error) {
			others := slices.DeleteFunc(slices.Clone(in.Extensions), func(x mls.Extension) bool { return x.Type == topic })
			return append(others, mls.Extension{Type: topic, Data: p.Data}), nil
		},
	}
	book := addressBook{}
	cfg := &mls.Config{
		AuthenticationService: book,
		Now:                   time.Now,
		Proposals:             []mls.CustomProposalType{setTopic},
		Extensions:            []mls.CustomExtensionType{{Type: topic, Name: "topic"}},
	}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{
		&mls.Add{KeyPackage: bundle.KeyPackage()},
		setTopic.NewProposal([]byte("what to have for lunch")),
	}})
	if err != nil {
		log.Fatal(err)
	}
	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	data, _ := bob.Extensions().Find(topic)
	fmt.Printf("%s\n", data)
	// Output: what to have for lunch
}
