package channel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A session may have two groups of the same two members: a traditional one, which
// keys the records, and a post-quantum one, which gives the other its keys
// (draft-ietf-mls-combiner; [mls.APQGroup]). Partial updates are those of the
// traditional group alone. Full updates are pairs of commits, one to each: what
// comes after is secret from quantum computers, and healed from who has stolen
// keys and owns one.

// APQSuites are the cipher suites of a session's two groups.
type APQSuites struct {
	T  ciphersuite.ID // with a classical KEM; it protects the records
	PQ ciphersuite.ID // with a pure post-quantum KEM
}

// DefaultAPQSuites are the pairs that are acceptable where [APQ.Suites] is nil,
// the most preferred first. A signer's key fits only some of them.
func DefaultAPQSuites() []APQSuites {
	return []APQSuites{
		{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519},
		{ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519, ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519},
		{ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256, ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_P256},
		{ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384, ciphersuite.MLS_192_MLKEM1024_AES256GCM_SHA384_P384},
	}
}

// APQ says how this end takes part in sessions of two groups: with post-quantum
// secrecy, and signatures of one identity that are classical.
type APQ struct {
	// Suites are the acceptable pairs, in the initiator's order of preference.
	// Default: those of [DefaultAPQSuites] that the key of an identity fits.
	Suites []APQSuites
	// Required refuses a peer that makes no such sessions, and resumes no session of one
	// group. Default: it gets one of [Config.Suites].
	Required bool
}

// usablePairs returns a copy of c.APQ in which nothing is left open.
func (c *Config) usablePairs() (*APQ, error) {
	if c.APQ == nil {
		return nil, nil
	}
	a := &APQ{Suites: slices.Clone(c.APQ.Suites), Required: c.APQ.Required}
	if a.Suites == nil {
		a.Suites = slices.DeleteFunc(DefaultAPQSuites(), func(p APQSuites) bool { return c.fitsPair(p) != nil })
	}
	if len(a.Suites) == 0 || len(a.Suites) > maxNames {
		return nil, fmt.Errorf("%w: Config has %d usable pairs of suites, want 1 to %d", ErrNoCommonSuite, len(a.Suites), maxNames)
	}
	for _, p := range a.Suites {
		if err := c.fitsPair(p); err != nil {
			return nil, fmt.Errorf("channel: Config has the pair of suites %v and %v: %w", p.T, p.PQ, err)
		}
	}
	return a, nil
}

// fitsPair returns an error unless one identity fits both suites, and they go
// together.
func (c *Config) fitsPair(p APQSuites) error {
	t, err := c.Registry.Lookup(p.T)
	if err != nil {
		return err
	}
	pq, err := c.Registry.Lookup(p.PQ)
	if err != nil {
		return err
	}
	if t.KEMResistance() != ciphersuite.Traditional || pq.KEMResistance() != ciphersuite.PostQuantum {
		return fmt.Errorf("the KEMs are %v and %v", t.KEMResistance(), pq.KEMResistance())
	}
	id, err := c.identityFor(t)
	if err != nil {
		return err
	}
	_, err = pq.SignaturePublicKey(id.Signer.Public())
	return err
}

// acceptsPair reports whether this end makes sessions of these suites.
func (c *Config) acceptsPair(p APQSuites) bool {
	return c.APQ != nil && slices.Contains(c.APQ.Suites, p)
}

// acceptsSuite reports whether stored sessions of these suites are of use. pq is
// zero for sessions of one group.
func (c *Config) acceptsSuite(t, pq ciphersuite.ID) bool {
	if pq != 0 {
		return c.acceptsPair(APQSuites{t, pq})
	}
	return slices.Contains(c.Suites, t) && (c.APQ == nil || !c.APQ.Required)
}

// allSuites returns all suites of groups that this end takes part in.
func (c *Config) allSuites() []ciphersuite.ID {
	all := slices.Clone(c.Suites)
	if c.APQ != nil {
		for _, p := range c.APQ.Suites {
			for _, id := range []ciphersuite.ID{p.T, p.PQ} {
				if !slices.Contains(all, id) {
					all = append(all, id)
				}
			}
		}
	}
	return all
}

// groups are a session's MLS state in one epoch.
type groups struct {
	*mls.Group               // the one that keys the records
	pair       *mls.APQGroup // which that is the traditional one of; nil: there is no other
}

func (s *Session) groups() groups { return groups{s.group, s.pair} }

func (p *pendingUpdate) groups() groups { return groups{p.group, p.pair} }

// ofPair returns the groups of a pair.
func ofPair(g *mls.APQGroup) groups { return groups{g.T(), g} }

// erase erases the epoch, and a post-quantum group that no other epoch shares.
func (g groups) erase() {
	g.Group.Erase()
	if g.pair != nil {
		g.pair.Erase()
	}
}

// pqSuite returns the suite of the post-quantum group, zero if there is none.
func (g groups) pqSuite() ciphersuite.ID {
	if g.pair == nil {
		return 0
	}
	return g.pair.PQ().Suite().ID()
}

// isFull reports whether a full commit has led to the epoch.
func (g groups) isFull() bool { return g.pair != nil && g.pair.Info().TEpoch == g.Epoch() }

// name begins the content of the EpochKeyUpdate of the epoch: its number and, if
// a full commit has led to it, that of the post-quantum group.
func (g groups) name() []byte {
	if g.isFull() {
		return append(epochBody(g.Epoch()), epochBody(g.pair.PQ().Epoch())...)
	}
	return epochBody(g.Epoch())
}

// commit makes a commit with a path. It is a full one if that is asked for or due,
// or if it shows another identity, which both groups have to know.
func (g groups) commit(o mls.CommitOptions, full bool) (message []byte, next groups, err error) {
	if g.pair == nil {
		c, err := g.Group.Commit(o)
		if err != nil {
			return nil, groups{}, err
		}
		return c.Message(), groups{Group: c.Group()}, nil
	}
	options := mls.APQCommitOptions{Full: full, T: o}
	options.PQ.AuthenticatedData = o.AuthenticatedData
	if o.Leaf.Identity != nil {
		options.PQ.Leaf.Identity = o.Leaf.Identity
	}
	c, err := g.pair.Commit(options)
	if err != nil {
		return nil, groups{}, err
	}
	return c.Message(), ofPair(c.Group()), nil
}

// A receivedCommit is the peer's commit, of which the parts are checked alike.
type receivedCommit struct {
	halves []*mls.ReceivedCommit // to the traditional group and, if it is a full one, to the other
	next   groups
}

// process processes a commit of the peer's.
func (g groups) process(body []byte) (receivedCommit, error) {
	if g.pair == nil {
		received, err := g.Group.Process(body)
		if err != nil {
			return receivedCommit{}, err
		}
		c := received.(*mls.ReceivedCommit)
		return receivedCommit{[]*mls.ReceivedCommit{c}, groups{Group: c.Group()}}, nil
	}
	received, err := g.pair.Process(body)
	if err != nil {
		return receivedCommit{}, err
	}
	c := receivedCommit{halves: []*mls.ReceivedCommit{received.T.(*mls.ReceivedCommit)}}
	if received.Full() {
		c.halves = append(c.halves, received.PQ.(*mls.ReceivedCommit))
	}
	if next := received.Group(); next != nil {
		c.next = ofPair(next)
	}
	return c, nil
}

func (c *receivedCommit) erase() {
	if c.next.Group != nil {
		c.next.erase()
	}
}

// verifyMembers checks that the groups have two members, of which the peer
// advertises the components and shows one identity.
func (g groups) verifyMembers() error {
	if err := verifyPair(g.Group); err != nil {
		return err
	}
	if g.pair == nil {
		return nil
	}
	if err := verifyPair(g.pair.PQ()); err != nil {
		return err
	}
	return verifyOneIdentity(peerLeaf(g.Group), peerLeaf(g.pair.PQ()))
}

// verifyOneIdentity checks that an end shows the same in both groups.
func verifyOneIdentity(t, pq *mls.LeafNode) error {
	if !bytes.Equal(t.SignatureKey, pq.SignatureKey) || !t.Credential.Equal(pq.Credential) {
		return fmt.Errorf("%w: the leaves of the two groups show different identities", ErrProfile)
	}
	return nil
}

// marshalGroups writes an epoch for the store. What is shared with the epoch
// before, if that is given, is left out.
func (g groups) marshal(before *mls.APQGroup) ([]byte, error) {
	switch {
	case g.pair == nil:
		return g.Group.Marshal()
	case before == nil:
		return g.pair.Marshal()
	}
	return g.pair.MarshalAfter(before)
}

// restoreGroups reads what marshal wrote. before is the epoch before, if there is
// one, of a session of two groups.
func (s *Session) restoreGroups(paired bool, before *mls.APQGroup, signatureKey, state []byte) (groups, error) {
	if !paired {
		g, err := s.restoreGroup(signatureKey, state)
		return groups{Group: g}, err
	}
	signer, err := s.signer(signatureKey)
	if err != nil {
		return groups{}, err
	}
	var g *mls.APQGroup
	if before == nil {
		g, err = mls.RestoreAPQGroup(s.mls, signer, signer, state)
	} else {
		g, err = before.RestoreAfter(signer, signer, state)
	}
	if err != nil {
		return groups{}, err
	}
	return ofPair(g), nil
}

// UpdateFull is [Session.Update] with a full update: private keys of both groups are
// replaced, which heals from who owns a quantum computer, too. In a session of one
// group it is Update.
func (s *Session) UpdateFull(ctx context.Context, reason UpdateReason) ([]Event, error) {
	return s.update(ctx, wish{reason: reason, full: true})
}

// FullSince returns when this end has last replaced its post-quantum keys, the zero
// time in a session of one group.
func (s *Session) FullSince() time.Time {
	if s.pair == nil {
		return time.Time{}
	}
	return time.Unix(s.fullAt, 0)
}

// errWithoutAPQ is the answer of an end that wants two groups to a peer that
// makes one.
func errWithoutAPQ() error {
	return because(AlertInsufficientSecurity, errors.Join(ErrNoAPQ, ErrNoCommonSuite))
}

// proposals returns those of a half of a commit, but for what makes it a full one,
// which the pair of groups has checked.
func (c *receivedCommit) proposals(half int) []mls.CommittedProposal {
	if len(c.halves) == 1 {
		return c.halves[0].Proposals
	}
	return slices.DeleteFunc(slices.Clone(c.halves[half].Proposals), func(p mls.CommittedProposal) bool {
		switch p := p.Proposal.(type) {
		case *mls.AppDataUpdate:
			return p.Component == mls.ComponentAPQInfo
		case *mls.PreSharedKey:
			return p.PSK.Type == mls.PSKApplication && p.PSK.Component == mls.ComponentAPQInfo
		}
		return false
	})
}
