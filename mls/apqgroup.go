package mls

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An APQGroup is one member's state of a pair of groups with the same members: a
// traditional one, in which all application data is sent, and a post-quantum
// one, which gives it keys. Cheap partial commits change the traditional group
// alone. Full commits change both: the post-quantum group first, and then
// the traditional one with a key of the post-quantum group's new epoch. So from
// the first full commit on messages are secret from quantum computers, and each
// full commit heals against those as well. draft-ietf-mls-combiner.
//
// Like a [Group], an APQGroup stays as it is: commits yield the next one as
// another value. After a partial commit both share the post-quantum group, which
// is erased with the last that has it.
//
// An APQGroup must not be used from several goroutines at once, nor two that a
// partial commit connects.
type APQGroup struct {
	t  *Group
	pq *sharedGroup
	// owes says that this member has joined and made no full commit since.
	owes   bool
	erased bool
}

// sharedGroup is a post-quantum group that the epochs of several partial commits
// have.
type sharedGroup struct {
	*Group
	holders atomic.Int32
}

func newSharedGroup(g *Group) *sharedGroup {
	s := &sharedGroup{Group: g}
	s.holders.Store(1)
	return s
}

// share returns s for one more holder.
func (s *sharedGroup) share() *sharedGroup {
	s.holders.Add(1)
	return s
}

// drop gives s up for one of its holders.
func (s *sharedGroup) drop() {
	if s.holders.Add(-1) == 0 {
		s.Erase()
	}
}

// APQGroupOptions are the properties of a new pair of groups.
type APQGroupOptions struct {
	// Mode is for life. Default: [APQConfidentiality].
	Mode APQMode
	// T and PQ are the properties of the two groups. What the pair needs is added
	// to their extensions and leaves.
	T, PQ GroupOptions
}

// NewAPQGroup creates a pair of groups with one member, in epoch 0. cfg needs
// [APQComponent] among its Components, and [WireFormatAPQMessagePair] among its WireFormats.
func NewAPQGroup(cfg *Config, o APQGroupOptions) (*APQGroup, error) {
	cfg, err := cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	info := APQInfo{Mode: o.Mode, TSuite: o.T.Suite, PQSuite: o.PQ.Suite}
	if o.T.GroupID, o.PQ.GroupID, err = cfg.apqGroupIDs(&o); err != nil {
		return nil, err
	}
	info.TGroupID, info.PQGroupID = o.T.GroupID, o.PQ.GroupID
	for _, g := range []*GroupOptions{&o.T, &o.PQ} {
		if g.Extensions, err = apqContext(g.Extensions, info); err != nil {
			return nil, err
		}
		g.Leaf = apqLeaf(g.Leaf)
	}
	t, err := NewGroup(cfg, o.T)
	if err != nil {
		return nil, err
	}
	pq, err := NewGroup(cfg, o.PQ)
	if err != nil {
		t.Erase()
		return nil, err
	}
	g := &APQGroup{t: t, pq: newSharedGroup(pq)}
	if _, err := verifyAPQ(&t.publicState, &pq.publicState); err != nil {
		g.Erase()
		return nil, err
	}
	return g, nil
}

// withAPQ returns c with its defaults, or an error if it takes no part in pairs.
func (c *Config) withAPQ() (*Config, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if c.component(ComponentAPQInfo) == nil || !slices.Contains(c.WireFormats, WireFormatAPQMessagePair) {
		return nil, fmt.Errorf("mls: Config.Components lacks the APQComponent, or Config.WireFormats WireFormatAPQMessagePair: %w", ErrUnsupported)
	}
	return c, nil
}

// apqGroupIDs returns the IDs of a new pair of groups. Those that are left open
// are drawn.
func (c *Config) apqGroupIDs(o *APQGroupOptions) (t, pq []byte, err error) {
	ids := [2][]byte{bytes.Clone(o.T.GroupID), bytes.Clone(o.PQ.GroupID)}
	for i := range ids {
		if ids[i] != nil {
			continue
		}
		ids[i] = make([]byte, 32)
		if _, err := io.ReadFull(c.Rand, ids[i]); err != nil {
			return nil, nil, fmt.Errorf("mls: drawing a group ID: %w", err)
		}
	}
	return ids[0], ids[1], nil
}

// T returns the traditional group. Only what changes no epoch may be done with it
// directly: messages are protected and processed by the APQGroup.
func (g *APQGroup) T() *Group { return g.t }

// PQ returns the post-quantum group, for which the same holds.
func (g *APQGroup) PQ() *Group { return g.pq.Group }

// Info returns what ties the groups together.
func (g *APQGroup) Info() APQInfo {
	info, err := apqInfoOf(g.t.context.extensions)
	if err != nil {
		panic(err) // it was verified when the group came into being
	}
	return info
}

// OwesFull reports that this member has joined and has made no full commit
// since. Its next commit will be one. draft-ietf-mls-combiner, Section 3.2.
func (g *APQGroup) OwesFull() bool { return g.owes }

// Protect encrypts application data to the traditional group, as
// [Group.Protect] does.
func (g *APQGroup) Protect(data, authenticatedData []byte) ([]byte, error) {
	return g.t.Protect(data, authenticatedData)
}

// Erase erases the traditional group, and the post-quantum one unless an epoch
// before or after shares it.
func (g *APQGroup) Erase() {
	if g.erased {
		return
	}
	g.erased = true
	g.t.Erase()
	g.pq.drop()
}

// GroupInfo returns a pair of GroupInfos, by which others can join
// ([JoinAPQExternal]). See [Group.GroupInfo].
func (g *APQGroup) GroupInfo(o GroupInfoOptions) ([]byte, error) {
	t, err := g.t.GroupInfo(o)
	if err != nil {
		return nil, err
	}
	pq, err := g.pq.GroupInfo(o)
	if err != nil {
		return nil, err
	}
	return joinPair(t, pq), nil
}

// apqContext adds what a pair needs to the extensions of a GroupContext.
func apqContext(x Extensions, info APQInfo) (Extensions, error) {
	dictionary, err := withAPQList(x)
	if err != nil {
		return nil, err
	}
	entry, err := dictionary.with(ComponentData{ID: ComponentAPQInfo, Data: marshal(&info)}).Extension()
	if err != nil {
		return nil, err
	}
	required, err := requiredCapabilities(x)
	if err != nil {
		return nil, err
	}
	required.Proposals = including(required.Proposals, ProposalAppDataUpdate)
	formats, err := x.RequiredWireFormats()
	if err != nil {
		return nil, err
	}
	formats = including(formats, WireFormatAPQMessagePair)
	return x.with(entry).with(required.Extension()).with(formats.Required()), nil
}

// apqLeaf adds what a pair needs to what a leaf is made of. The components and wire
// formats come from the Config.
func apqLeaf(o LeafOptions) LeafOptions {
	if o.Capabilities.Proposals != nil {
		o.Capabilities.Proposals = including(o.Capabilities.Proposals, ProposalAppDataUpdate)
	}
	return o
}

// withAPQList returns the dictionary of extensions with the component in its
// list app_components.
func withAPQList(x Extensions) (AppDataDictionary, error) {
	dictionary, err := x.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	var list ComponentsList
	if data, ok := dictionary.Find(ComponentAppComponents); ok {
		if list, err = ParseComponentsList(data); err != nil {
			return nil, err
		}
	}
	list = including(list, ComponentAPQInfo)
	slices.Sort(list)
	return dictionary.with(ComponentData{ID: ComponentAppComponents, Data: list.Marshal()}), nil
}

// including returns a copy of a list with x in it.
func including[S ~[]T, T comparable](list S, x T) S {
	if slices.Contains(list, x) {
		return slices.Clone(list)
	}
	return append(slices.Clone(list), x)
}

// apqSuites returns the suites of a pair of key packages, which have to go together.
func (c *Config) apqSuites(t, pq ciphersuite.ID, mode APQMode) error {
	ts, err := c.Suites.Lookup(t)
	if err != nil {
		return err
	}
	pqs, err := c.Suites.Lookup(pq)
	if err != nil {
		return err
	}
	return verifyAPQSuites(ts, pqs, mode)
}
