package main

import (
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// A board is where everybody can look at what the group's members write. It could be anything that
// carries octets: what is on it tells others nothing.
type board [][]byte

// write puts a message of one member on the board, and has all others, whom it names, read it. It
// returns where the message is.
func (b *board) write(from *party, text string, others ...*party) (at int, err error) {
	message, err := from.group.Protect([]byte(text), nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", from.name, err)
	}
	*b = append(*b, message)
	for _, p := range others {
		got, err := p.read(message)
		if err != nil {
			return 0, err
		}
		if got != text {
			return 0, fmt.Errorf("%s reads %q, want %q", p.name, got, text)
		}
	}
	return len(*b) - 1, nil
}

func (p *party) read(message []byte) (string, error) {
	received, err := p.group.Process(message)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.name, err)
	}
	data, ok := received.(*mls.ReceivedApplication)
	if !ok {
		return "", fmt.Errorf("%s: a %T on the board", p.name, received)
	}
	return string(data.Data), nil
}

// cannotRead checks that a message on the board says nothing to a party.
func cannotRead(p *party, message []byte) error {
	if text, err := p.read(message); err == nil {
		return fmt.Errorf("%s has read %q, which was not for it", p.name, text)
	}
	return nil
}

// takeIn adds a guest to the group: one member makes the commit, the other follows.
func takeIn(by, other, guest *party) error {
	bundle, err := mls.NewKeyPackage(guest.config, mls.KeyPackageOptions{Suite: by.group.Suite().ID(), Identity: guest.identity})
	if err != nil {
		return err
	}
	// The guest has handed over bundle.Message(), by whatever way. Who it is says its key.
	unverified, err := mls.ParseKeyPackage(bundle.Message())
	if err != nil {
		return err
	}
	keyPackage, err := unverified.Verify(by.config)
	if err != nil {
		return err
	}
	welcome, err := commit(by, other, &mls.Add{KeyPackage: keyPackage})
	if err != nil {
		return err
	}
	guest.group, err = mls.Join(guest.config, welcome, bundle, mls.JoinOptions{})
	return err
}

// letGo removes a member.
func letGo(by, other, guest *party) error {
	_, err := commit(by, other, &mls.Remove{Removed: guest.group.OwnLeaf()})
	return err
}

// commit has two members go on to an epoch in which a proposal is in force.
func commit(by, other *party, proposal mls.Proposal) (welcome []byte, err error) {
	pending, err := by.group.Commit(mls.CommitOptions{Proposals: []mls.Proposal{proposal}})
	if err != nil {
		return nil, err
	}
	received, err := other.group.Process(pending.Message())
	if err != nil {
		return nil, err
	}
	next, ok := received.(*mls.ReceivedCommit)
	if !ok {
		return nil, fmt.Errorf("a commit was taken for a %T", received)
	}
	by.goOn(pending.Group())
	other.goOn(next.Group())
	return pending.Welcome(), nil
}
