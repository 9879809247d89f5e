package main

import (
	"crypto"
	"crypto/rand"
	"time"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// A party is one of the three.
type party struct {
	name     string
	identity mls.Identity
	config   *mls.Config // of the group
	group    *mls.Group  // nil before the party is in it
}

// newParties returns three that accept one another in a group. That says nothing about who
// may have a link with whom.
func newParties() (orders, ledger, auditor *party, err error) {
	parties := []*party{{name: "orders"}, {name: "ledger"}, {name: "auditor"}}
	var keys []crypto.PublicKey
	for _, p := range parties {
		if p.identity, err = identity.Generate(rand.Reader, p.name); err != nil {
			return nil, nil, nil, err
		}
		keys = append(keys, p.identity.Signer.Public())
	}
	known, err := identity.NewPinned(keys...)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, p := range parties {
		p.config = &mls.Config{AuthenticationService: known, Now: time.Now}
	}
	return parties[0], parties[1], parties[2], nil
}

// goOn takes the next epoch of the group in the place of the present one.
func (p *party) goOn(next *mls.Group) {
	p.group.Erase()
	p.group = next
}
