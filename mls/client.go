package mls

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultPastEpochs is the number of past epochs that a [Client] keeps where
// [ClientOptions.PastEpochs] is zero.
const DefaultPastEpochs = 2

// DefaultMaxPastEpochAge is how long past epochs are kept where
// [ClientOptions.MaxPastEpochAge] is zero.
const DefaultMaxPastEpochAge = time.Hour

// ClientOptions say how a [Client] works.
type ClientOptions struct {
	// Config says how the client takes part in groups. Required. What it refers to
	// is used from as many goroutines at once as the client is.
	Config *Config
	// Store keeps the client's groups and key packages. Required.
	Store Store
	// Signers finds the signature keys of groups and key packages that are read
	// from the store. Required; [OnlySigner] is one for a single key.
	Signers SignerLookup
	// Review, if set, may refuse a commit of another member that is valid: an
	// error leaves the group as it was. It must not use the membership.
	Review func(c *ReceivedCommit) error
	// PastEpochs is the number of past epochs in which application messages that
	// come late can still be read. It costs forward secrecy: whoever steals the
	// state can read messages of these epochs that did not arrive. Default:
	// [DefaultPastEpochs]. Negative: none.
	PastEpochs int
	// MaxPastEpochAge is how long after its end an epoch is kept. Default:
	// [DefaultMaxPastEpochAge]. Negative: no bound.
	MaxPastEpochAge time.Duration
}

// A Client takes part in groups and keeps all that it must not forget in a
// [Store]:
//
//	NewKeyPackage --> (published)             CreateGroup --> Membership
//	                                              |
//	Join          <------ Welcome ----------  Commit{Add}
//	   |                                          |
//	Membership    <------ messages -------->  Process, Protect, ...
//	   :                                          :
//	Open, after a restart                     Open, after a restart
//
// It does what an application that has a [Group] in its hands has to do itself:
// it saves before it speaks, uses a key package once, knows its own commits when
// they come back, keeps past epochs for a while, and erases what is over.
//
// Each operation saves what it changes in one step, and what is in memory moves
// only after the store said yes: on any error, memory and store are as they were.
// (If a store fails and has saved all the same, the next operation returns an
// error that matches [ErrConflict]; [Membership.Close] and [Client.Open] resolve
// that.)
//
// A Client and its Memberships may be used from several goroutines at once.
type Client struct {
	cfg        *Config
	store      Store
	signers    SignerLookup
	review     func(*ReceivedCommit) error
	pastEpochs int
	pastAge    time.Duration // negative: no bound

	mu      sync.Mutex             // where both are locked, after that of a Membership
	members map[string]*Membership // in use, by group ID
}

// NewClient returns a client with what o.Store holds.
func NewClient(o ClientOptions) (*Client, error) {
	cfg, err := o.Config.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Store == nil || o.Signers == nil {
		return nil, errors.New("mls: ClientOptions needs a Store and Signers")
	}
	c := &Client{
		cfg: cfg, store: o.Store, signers: o.Signers, review: o.Review, pastEpochs: o.PastEpochs, pastAge: o.MaxPastEpochAge,
		members: make(map[string]*Membership),
	}
	if c.pastEpochs == 0 {
		c.pastEpochs = DefaultPastEpochs
	}
	if c.pastAge == 0 {
		c.pastAge = DefaultMaxPastEpochAge
	}
	return c, nil
}

// The names of records.
const (
	keyPackageRecords = "keypackage/"
	groupRecords      = "group/"
)

// NewKeyPackage makes a key package, saves its private keys and returns it as an
// MLSMessage, to be published. [Client.Join] uses it up, unless it is one of last
// resort. RFC 9420, Section 10.
func (c *Client) NewKeyPackage(ctx context.Context, o KeyPackageOptions) (message []byte, err error) {
	b, err := NewKeyPackage(c.cfg, o)
	if err != nil {
		return nil, err
	}
	defer b.Erase()
	state, err := b.Marshal()
	if err != nil {
		return nil, err
	}
	defer clear(state)
	s, err := c.cfg.Suites.Lookup(o.Suite)
	if err != nil {
		return nil, err
	}
	change := Change{Name: keyPackageRecord(b.keyPackage.Ref(s)), Value: state, Next: 1}
	if err := c.store.Update(ctx, []Change{change}); err != nil {
		return nil, fmt.Errorf("mls: saving a key package: %w", err)
	}
	return b.Message(), nil
}

// ParseAdd returns the proposal to add the client whose key package (an MLSMessage)
// this is. It checks all but what [UnverifiedKeyPackage.Verify] leaves open.
func (c *Client) ParseAdd(keyPackage []byte) (*Add, error) {
	unverified, err := ParseKeyPackage(keyPackage)
	if err != nil {
		return nil, err
	}
	k, err := unverified.Verify(c.cfg)
	if err != nil {
		return nil, err
	}
	return &Add{KeyPackage: k}, nil
}

func keyPackageRecord(ref []byte) string { return keyPackageRecords + hex.EncodeToString(ref) }

// EraseExpiredKeyPackages deletes the key packages whose lifetime is over, and
// returns how many these were. Nobody can use them any more.
func (c *Client) EraseExpiredKeyPackages(ctx context.Context) (erased int, err error) {
	names, err := c.store.Names(ctx, keyPackageRecords)
	if err != nil {
		return 0, fmt.Errorf("mls: looking for key packages: %w", err)
	}
	for _, name := range names {
		over, err := c.eraseKeyPackageIfOver(ctx, name)
		switch {
		case errors.Is(err, ErrNotStored), errors.Is(err, ErrConflict):
			// It was used up or erased meanwhile.
		case err != nil:
			return erased, fmt.Errorf("mls: erasing a key package: %w", err)
		case over:
			erased++
		}
	}
	return erased, nil
}

// eraseKeyPackageIfOver deletes a key package if its lifetime is over. The signer
// of one that was not used may be gone, and is not asked for.
func (c *Client) eraseKeyPackageIfOver(ctx context.Context, name string) (over bool, err error) {
	record, err := c.store.Get(ctx, name)
	if err != nil {
		return false, err
	}
	defer clear(record.Value)
	var stored storedKeyPackage
	if err := unmarshalAliased(record.Value, &stored); err != nil {
		return false, err
	}
	if uint64(max(0, c.cfg.Now().Unix())) <= stored.keyPackage.LeafNode.Lifetime.NotAfter {
		return false, nil
	}
	return true, c.store.Update(ctx, []Change{{Name: name, Version: record.Version}})
}

// keyPackage reads a stored key package.
func (c *Client) keyPackage(ctx context.Context, name string) (*KeyPackageBundle, uint64, error) {
	record, err := c.store.Get(ctx, name)
	if err != nil {
		return nil, 0, fmt.Errorf("mls: loading a key package: %w", err)
	}
	b, err := restoreKeyPackage(c.cfg, c.signers, record.Value)
	if err != nil {
		return nil, 0, fmt.Errorf("mls: restoring a key package: %w", err)
	}
	return b, record.Version, nil
}

// CreateGroup creates a group with one member. RFC 9420, Section 11.
func (c *Client) CreateGroup(ctx context.Context, o GroupOptions) (*Membership, error) {
	g, err := NewGroup(c.cfg, o)
	if err != nil {
		return nil, err
	}
	m := c.newMembership(g.context.groupID)
	if err := c.enter(ctx, nil, m, g); err != nil {
		return nil, err
	}
	return m, nil
}

// TakeOver makes a group that was made or joined without the client one of the
// client's, such as a branch of a two-party session. It goes on with the client's
// Config, and its signature key has to be one that ClientOptions.Signers finds. g is
// erased. After an error it is as it was: one that matches [ErrConflict] means that
// the client is in this group already.
func (c *Client) TakeOver(ctx context.Context, g *Group) (*Membership, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: taking a group over: %w", ErrErased)
	}
	if _, err := c.signers(g.suite, g.tree.leafNode(g.own).SignatureKey); err != nil {
		return nil, fmt.Errorf("mls: taking a group over: %w", err)
	}
	taken := g.fork()
	taken.cfg = c.cfg
	m := c.newMembership(taken.context.groupID)
	if err := c.enter(ctx, nil, m, taken); err != nil {
		return nil, err
	}
	g.Erase()
	return m, nil
}

// Join enters the group that a Welcome (an MLSMessage) invites the client to, and
// deletes the key package that it was invited with, unless that is one of last
// resort. ratchetTree is the group's
// tree for a Welcome that does not hold it. For a group that succeeds another,
// see [Membership.JoinSuccessor].
//
// Errors: those of the function [Join]; one that matches [ErrNotStored] if no key
// package of the client fits; [ErrConflict] if another process uses the key package
// up, or the client is in a group of this ID already, which [CheckGroupIDUnique] says.
func (c *Client) Join(ctx context.Context, welcome, ratchetTree []byte) (*Membership, error) {
	return c.join(ctx, nil, welcome, JoinOptions{RatchetTree: ratchetTree})
}

// join does what Join does. from is as for enter.
func (c *Client) join(ctx context.Context, from *Membership, message []byte, o JoinOptions) (*Membership, error) {
	name, err := c.invited(ctx, message)
	if err != nil {
		return nil, err
	}
	b, version, err := c.keyPackage(ctx, name)
	if err != nil {
		return nil, err
	}
	defer b.Erase()
	g, err := Join(c.cfg, message, b, o)
	if err != nil {
		return nil, err
	}
	used, err := b.usesUp(name, version)
	if err != nil {
		return nil, err
	}
	m := c.newMembership(g.context.groupID)
	if err := c.enter(ctx, from, m, g, used...); err != nil {
		return nil, err
	}
	return m, nil
}

// invited returns the name of the key package that a Welcome is for.
func (c *Client) invited(ctx context.Context, message []byte) (string, error) {
	var m mlsMessage
	if err := c.cfg.unmarshal(message, &m); err != nil {
		return "", fmt.Errorf("mls: parsing a Welcome: %w", err)
	}
	if m.welcome == nil {
		return "", fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatWelcome)
	}
	names, err := c.store.Names(ctx, keyPackageRecords)
	if err != nil {
		return "", fmt.Errorf("mls: looking for key packages: %w", err)
	}
	for _, s := range m.welcome.secrets {
		if name := keyPackageRecord(s.newMember); slices.Contains(names, name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("mls: joining: no key package that the Welcome is for: %w", ErrNotStored)
}

// JoinExternal enters a group by a commit from outside, given its GroupInfo: see
// the function [JoinExternal]. It returns the commit, which has to be sent to the
// group. Should the group accept another commit in its place, the client is not a
// member: [Membership.Forget] this membership and join anew.
//
// If the client is in the group already, as far as the store knows, o.Resync has
// to be set; the new membership takes the place of the old one, which need not be
// readable any more.
func (c *Client) JoinExternal(ctx context.Context, groupInfo []byte, o ExternalJoinOptions) (_ *Membership, commit []byte, err error) {
	pending, err := JoinExternal(c.cfg, groupInfo, o)
	if err != nil {
		return nil, nil, err
	}
	m := c.newMembership(pending.next.context.groupID)
	if o.Resync != nil {
		if m.versions, err = c.recordsOf(ctx, m.groupID); err != nil {
			pending.Erase()
			return nil, nil, err
		}
	}
	if err := c.enter(ctx, nil, m, pending.next); err != nil {
		return nil, nil, err
	}
	return m, pending.message, nil
}

// recordsOf returns the versions of the records of a membership, which another
// one is to take the place of. It does not read them: that they cannot be read may
// be the reason.
func (c *Client) recordsOf(ctx context.Context, groupID []byte) (map[string]uint64, error) {
	versions := make(map[string]uint64)
	// The head comes first. Whoever changes another record changes it as well, so
	// that it is not of this version any more when it is replaced.
	head := headRecord(groupID)
	record, err := c.store.Get(ctx, head)
	if errors.Is(err, ErrNotStored) {
		return versions, nil
	}
	if err != nil {
		return nil, fmt.Errorf("mls: loading group %x: %w", groupID, err)
	}
	clear(record.Value)
	versions[head] = record.Version
	names, err := c.store.Names(ctx, head+"/")
	if err != nil {
		return nil, fmt.Errorf("mls: loading group %x: %w", groupID, err)
	}
	for _, name := range names {
		record, err := c.store.Get(ctx, name)
		if errors.Is(err, ErrNotStored) {
			continue // another conflict that the head's version shows
		}
		if err != nil {
			return nil, fmt.Errorf("mls: loading group %x: %w", groupID, err)
		}
		clear(record.Value)
		versions[name] = record.Version
	}
	return versions, nil
}

// enter saves the first state of a membership, together with other changes. It
// takes g over. from is the membership that m continues, which the caller has locked;
// nil if there is none.
func (c *Client) enter(ctx context.Context, from, m *Membership, g *Group, changes ...Change) error {
	if from != nil && bytes.Equal(from.groupID, m.groupID) {
		// Even if somebody else has deleted the records of from, it is in use.
		g.Erase()
		return isMember(ErrConflict)
	}
	old, err := c.replace(ctx, m, g, changes)
	if errors.Is(err, ErrConflict) && m.versions[m.head()] == 0 {
		return c.describeConflict(ctx, m, err)
	}
	if err != nil || old == nil {
		return err
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	old.end(ErrErased)
	return nil
}

// describeConflict says what a first state is in conflict with: a membership in the
// same group, or something else that is saved with it, as a key package.
func (c *Client) describeConflict(ctx context.Context, m *Membership, conflict error) error {
	names, err := c.store.Names(ctx, m.head())
	if err != nil {
		return errors.Join(conflict, fmt.Errorf("mls: looking for group %x: %w", m.groupID, err))
	}
	if !slices.Contains(names, m.head()) {
		return conflict
	}
	return isMember(conflict)
}

// isMember returns the error for a group that the client is in already.
func isMember(conflict error) error {
	return invalid(CheckGroupIDUnique, "the client is in the group already: %w", conflict)
}

// replace does what enter does, but for the membership that was in use for the
// group so far, if there is one: it is returned.
func (c *Client) replace(ctx context.Context, m *Membership, g *Group, changes []Change) (old *Membership, err error) {
	c.mu.Lock() // so that nobody opens what was just saved
	defer c.mu.Unlock()
	if err := m.move(ctx, memberState{group: g}, changes...); err != nil {
		return nil, err
	}
	old = c.members[string(m.groupID)]
	c.members[string(m.groupID)] = m
	return old, nil
}

// Open returns the membership in a group that the store holds: the same one for
// as long as that is not closed. An error matches [ErrNotStored] if there is
// none, and [ErrConflict] if another process changes it at the moment.
func (c *Client) Open(ctx context.Context, groupID []byte) (*Membership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.members[string(groupID)]; m != nil {
		return m, nil
	}
	m := c.newMembership(groupID)
	if err := m.load(ctx); err != nil {
		return nil, fmt.Errorf("mls: opening group %x: %w", groupID, err)
	}
	c.members[string(groupID)] = m
	return m, nil
}

// Groups returns the IDs of the groups that the store holds.
func (c *Client) Groups(ctx context.Context) ([][]byte, error) {
	names, err := c.store.Names(ctx, groupRecords)
	if err != nil {
		return nil, fmt.Errorf("mls: looking for groups: %w", err)
	}
	var ids [][]byte
	for _, name := range names {
		encoded := strings.TrimPrefix(name, groupRecords)
		if strings.Contains(encoded, "/") {
			continue // a part of a group's state
		}
		id, err := hex.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("mls: record %q: %w", name, err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// release forgets that m is in use.
func (c *Client) release(m *Membership) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[string(m.groupID)] == m {
		delete(c.members, string(m.groupID))
	}
}
