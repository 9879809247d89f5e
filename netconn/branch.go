package netconn

import (
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// BranchKeyPackage makes a key package for a group that the peer founds with it by [Conn.Branch], and that this
// Conn enters by [Conn.JoinBranch]. It is the application that sends it to the peer, over this connection or otherwise.
// A connection that ends takes it along. What is kept while it waits, and errors: [channel.Session.BranchKeyPackage].
// It performs the handshake first if need be.
func (c *Conn) BranchKeyPackage(o channel.BranchOptions) (keyPackage []byte, err error) {
	err = c.look("branch", func(s *channel.Session) (err error) {
		keyPackage, err = s.BranchKeyPackage(o)
		return err
	})
	return keyPackage, err
}

// Branch founds a group of the two ends from the key package that the peer's BranchKeyPackage has made. It
// returns the Welcome, which the application sends to the peer. The group is the caller's, and any
// others can be added to it; the connection lives on, and neither needs the other. After an error it lives on as well:
// see [channel.Session.Branch]. It performs the handshake first if need be.
func (c *Conn) Branch(keyPackage []byte, o channel.BranchOptions) (group *mls.Group, welcome []byte, err error) {
	err = c.look("branch", func(s *channel.Session) (err error) {
		group, welcome, err = s.Branch(keyPackage, o)
		return err
	})
	return group, welcome, err
}

// JoinBranch enters the group that the peer has founded by [Conn.Branch], whatever updates there were since. Its members are
// this end and the peer, as they show themselves on the connection. After an error the connection lives on:
// see [channel.Session.JoinBranch].
func (c *Conn) JoinBranch(welcome []byte) (group *mls.Group, err error) {
	err = c.look("branch", func(s *channel.Session) (err error) {
		group, err = s.JoinBranch(welcome)
		return err
	})
	return group, err
}

// ForgetBranches erases the key packages that wait for a Welcome, and what is kept for them.
func (c *Conn) ForgetBranches() {
	c.driver.Look(func(s *channel.Session) {
		if s != nil {
			s.ForgetBranches()
		}
	})
}
