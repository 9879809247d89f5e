package mls_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// newPairWith returns the groups of two members who have the given components, in
// epoch 1.
func newPairWith(context mls.Extensions, components ...mls.Component) (alice, bob *mls.Group) {
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now, Components: components}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice"), Extensions: context})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}}})
	if err != nil {
		log.Fatal(err)
	}
	bob, err = mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	alice.Erase()
	return pending.Group(), bob
}

// titleComponent is of the range for private use.
const titleComponent mls.ComponentID = 0x8001

// The group's title is in the GroupContext: all members agree on it, and new ones
// find it there.
func ExampleAppDataUpdate() {
	alice, bob := newPairWith(nil, mls.Component{
		ID: titleComponent, Name: "title",
		Validate: func(place mls.ExtensionPlace, data []byte) error {
			if place != mls.InGroupContext || len(data) == 0 || len(data) > 100 {
				return errors.New("a title has 1 to 100 octets")
			}
			return nil
		},
	})
	pending, err := alice.Commit(mls.CommitOptions{
		OmitPath:  true, // a title does not need one
		Proposals: []mls.Proposal{&mls.AppDataUpdate{Component: titleComponent, Update: []byte("Holidays")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	received, err := bob.Process(pending.Message())
	if err != nil {
		log.Fatal(err)
	}
	bob = received.(*mls.ReceivedCommit).Group()
	dictionary, err := bob.Extensions().AppDataDictionary()
	if err != nil {
		log.Fatal(err)
	}
	title, _ := dictionary.Find(titleComponent)
	fmt.Printf("%s\n", title)

	_, err = bob.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.AppDataUpdate{Component: titleComponent}}})
	broken := (*mls.Error)(nil)
	fmt.Println(errors.As(err, &broken), broken.Check)
	// Output:
	// Holidays
	// true component-data
}

// A component that counts: what is sent is what is to be added.
func ExampleComponent() {
	const counter mls.ComponentID = 0x8002
	alice, bob := newPairWith(nil, mls.Component{
		ID: counter, Name: "counter",
		Update: func(old []byte, updates []mls.ComponentUpdate) ([]byte, error) {
			if old == nil {
				old = []byte{0}
			}
			sum := int(old[0])
			for _, u := range updates {
				if len(u.Data) != 1 {
					return nil, fmt.Errorf("leaf %d adds %x, want one octet", u.Sender.Leaf, u.Data)
				}
				sum += int(u.Data[0])
			}
			if sum > 255 {
				return nil, errors.New("the counter is full")
			}
			return []byte{byte(sum)}, nil
		},
	})
	proposal, err := bob.Propose(&mls.AppDataUpdate{Component: counter, Update: []byte{3}}, mls.ProposeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := alice.Process(proposal); err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.AppDataUpdate{Component: counter, Update: []byte{4}}}})
	if err != nil {
		log.Fatal(err)
	}
	dictionary, err := pending.Group().Extensions().AppDataDictionary()
	if err != nil {
		log.Fatal(err)
	}
	sum, _ := dictionary.Find(counter)
	fmt.Println(sum)
	// Output: [7]
}

// An AppEphemeral reaches all who process the commit, and leaves nothing behind.
func ExampleAppEphemeral() {
	const poll mls.ComponentID = 0x8003
	alice, bob := newPairWith(nil, mls.Component{ID: poll, Name: "poll"})
	pending, err := alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.AppEphemeral{Component: poll, Data: []byte("yes")}}})
	if err != nil {
		log.Fatal(err)
	}
	received, err := bob.Process(pending.Message())
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range received.(*mls.ReceivedCommit).Proposals {
		if e, ok := p.Proposal.(*mls.AppEphemeral); ok && e.Component == poll {
			fmt.Printf("leaf %d says %s\n", p.Sender.Leaf, e.Data)
		}
	}
	// Output: leaf 0 says yes
}

// All members can receive text, and say which type a message has.
func ExampleContentMediaTypes() {
	text, err := mls.ParseMediaType("text/plain; charset=UTF-8")
	if err != nil {
		log.Fatal(err)
	}
	component, err := mls.ContentMediaTypes(text, mls.MediaType{Type: "image/png"})
	if err != nil {
		log.Fatal(err)
	}
	required, err := mls.MediaTypeList{text}.Marshal()
	if err != nil {
		log.Fatal(err)
	}
	context, err := mls.AppDataDictionary{{ID: mls.ComponentContentMediaTypes, Data: required}}.Extension()
	if err != nil {
		log.Fatal(err)
	}
	alice, bob := newPairWith(mls.Extensions{context}, component)

	framing := mls.ApplicationFraming{Content: []byte("Hello, Bob.")} // of the group's first type
	data, err := framing.Marshal()
	if err != nil {
		log.Fatal(err)
	}
	message, err := alice.Protect(data, nil)
	if err != nil {
		log.Fatal(err)
	}
	received, err := bob.Process(message)
	if err != nil {
		log.Fatal(err)
	}
	got := received.(*mls.ReceivedApplication).Framing
	fmt.Printf("%v: %s\n", got.MediaType, got.Content)
	// Output: text/plain; charset=UTF-8: Hello, Bob.
}

// Alice tells Bob something when she adds him, which the other members and the delivery
// service do not learn.
func ExampleGroup_GroupInfoExtensions() {
	const archive mls.ComponentID = 0x8004
	book := addressBook{}
	cfg := &mls.Config{AuthenticationService: book, Now: time.Now, Components: []mls.Component{{ID: archive, Name: "archive"}}}
	alice, err := mls.NewGroup(cfg, mls.GroupOptions{Suite: suite, Identity: newIdentity(book, "alice")})
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{Suite: suite, Identity: newIdentity(book, "bob")})
	if err != nil {
		log.Fatal(err)
	}

	told, err := mls.AppDataDictionary{{ID: archive, Data: []byte("where the archive is")}}.Extension()
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{
		Proposals:           []mls.Proposal{&mls.Add{KeyPackage: bundle.KeyPackage()}},
		GroupInfoExtensions: mls.Extensions{told},
	})
	if err != nil {
		log.Fatal(err)
	}

	bob, err := mls.Join(cfg, pending.Welcome(), bundle, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}
	dictionary, err := bob.GroupInfoExtensions().AppDataDictionary()
	if err != nil {
		log.Fatal(err)
	}
	data, _ := dictionary.Find(archive)
	fmt.Printf("%s\n", data)
	// Output: where the archive is
}

// Bob acknowledges what he has received, and Alice sees what did not reach him.
func ExampleAppAcks() {
	alice, bob := newPairWith(nil, mls.AppAcks())
	for i := range 4 {
		message, err := alice.Protect([]byte("a message"), nil)
		if err != nil {
			log.Fatal(err)
		}
		if i == 2 {
			continue // the delivery service drops it
		}
		if _, err := bob.Process(message); err != nil {
			log.Fatal(err)
		}
	}
	ack, err := bob.AppAck()
	if err != nil {
		log.Fatal(err)
	}
	pending, err := bob.Commit(mls.CommitOptions{OmitPath: true, Proposals: []mls.Proposal{ack.Proposal()}})
	if err != nil {
		log.Fatal(err)
	}
	received, err := alice.Process(pending.Message())
	if err != nil {
		log.Fatal(err)
	}
	for _, report := range received.(*mls.ReceivedCommit).AppAcks {
		fmt.Println("not received by leaf", report.Member)
		for _, lost := range report.Lost {
			fmt.Printf("generations %d to %d of leaf %d\n", lost.First, lost.Last, lost.Sender)
		}
	}
	// Output:
	// not received by leaf 1
	// generations 2 to 2 of leaf 0
}
