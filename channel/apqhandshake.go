package channel

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A hello that asks for two groups holds a pair of key packages. The leaf of the
// first has the hash of the second in its offer, so that nobody can exchange it;
// that both are of one identity is checked besides. A responder that does not make
// such sessions, or not with these suites, answers with a HelloRetry as for any
// suite, with the pairs that it accepts, if any, behind its suites:
//
//	struct { CipherSuite suites<V>; APQSuites pairs<V>; } HelloRetry;
//
// The initiator goes on with another pair or, unless it insists on two groups,
// with one. Nobody can lead it there behind the responder's back: the second hello has
// the hash of the exchange before, and each hello the pairs that the
// initiator would have liked better.

// ownOffer returns what this end offers in its hello.
func (s *Session) ownOffer() offer {
	o := s.cfg.ownOffer(s.retry)
	if s.pairs != nil {
		o.bind(s.pairs.PQ.Message())
	}
	return o
}

// bind names the second key package of a hello.
func (o *offer) bind(pq []byte) {
	o.parameters.types = append(o.parameters.types, parameterPQKeyPackage)
	o.parameters.pqKeyPackage = pqKeyPackageHash(pq)
}

// pqKeyPackageHash names the second key package of a hello: the SHA-256 of its
// MLSMessage.
func pqKeyPackageHash(message []byte) []byte {
	sum := sha256.Sum256(message)
	return sum[:]
}

// pairedLeaf returns how this end appears in a leaf of one of two groups.
func (s *Session) pairedLeaf(p APQSuites, parameters []byte) mls.LeafOptions {
	suites := slices.Clone(s.cfg.Suites)
	for _, id := range []ciphersuite.ID{p.T, p.PQ} {
		if !slices.Contains(suites, id) {
			suites = append(suites, id)
		}
	}
	return s.leafOptionsFor(suites, parameters)
}

// sendPairedHello asks for two groups.
func (s *Session) sendPairedHello(p APQSuites) ([]Event, error) {
	if err := s.appearFor(p.T); err != nil {
		return nil, err
	}
	pairs, err := mls.NewAPQKeyPackage(s.mls, mls.APQKeyPackageOptions{
		T:  mls.KeyPackageOptions{Suite: p.T, Identity: *s.identity},
		PQ: mls.KeyPackageOptions{Suite: p.PQ, Identity: *s.identity, Leaf: s.pairedLeaf(p, nil)},
		Bind: func(pq []byte, t *mls.LeafOptions) {
			o := s.cfg.ownOffer(s.retry)
			o.bind(pq)
			*t = s.pairedLeaf(p, o.marshal())
		},
	})
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	s.pairs = pairs
	s.enter(StateAwaitingServerHello)
	return []Event{send(MessageClientHello, s.pairs.Message())}, nil
}

// receivePairedHello answers a hello that asks for two groups.
func (s *Session) receivePairedHello(body []byte) ([]Event, error) {
	unverified, err := mls.ParseAPQKeyPackage(body)
	if err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	p := APQSuites{unverified.T.CipherSuite(), unverified.PQ.CipherSuite()}
	if !s.cfg.acceptsPair(p) {
		return s.pairedRetry(p, body)
	}
	keyPackages, err := unverified.Verify(s.mls, mls.APQConfidentiality)
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	offered, err := offerOf(&keyPackages.T.LeafNode)
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	if _, err := verifyComponents(keyPackages.PQ.LeafNode.Extensions); err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	if want := pqKeyPackageHash(unverified.PQ.Message()); !bytes.Equal(offered.parameters.pqKeyPackage, want) {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: the leaf names the post-quantum key package %x, which is %x", ErrProfile, offered.parameters.pqKeyPackage, want))
	}
	if err := verifyOneIdentity(&keyPackages.T.LeafNode, &keyPackages.PQ.LeafNode); err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	if err := s.verifyExchange(offered); err != nil {
		return nil, err
	}
	if err := s.verifyPairs(p, offered); err != nil {
		return nil, err
	}
	if err := s.selectConfig(&keyPackages.T.LeafNode, offered); err != nil {
		return nil, err
	}
	if !s.cfg.acceptsPair(p) { // those of the chosen one may be others
		return nil, because(AlertHandshakeFailure, fmt.Errorf("%w: %v and %v", ErrNoCommonSuite, p.T, p.PQ))
	}
	chosen, err := s.chooseFor(&keyPackages.T.LeafNode, offered)
	if err != nil {
		return nil, err
	}
	chosen.parameters.types = append(chosen.parameters.types, parameterAPQ)
	chosen.parameters.pairs = []APQSuites{p}
	return s.makePair(p, keyPackages, offered, chosen)
}

// makePair makes the two groups, with the two ends as their members.
func (s *Session) makePair(p APQSuites, peer *mls.APQKeyPackage, offered offer, chosen choice) ([]Event, error) {
	if err := s.appearFor(p.T); err != nil {
		return nil, err
	}
	var ids [2][len(SessionID{})]byte
	for i := range ids {
		if _, err := io.ReadFull(s.mls.Rand, ids[i][:]); err != nil {
			return nil, because(AlertInternalError, fmt.Errorf("channel: drawing a session ID: %w", err))
		}
	}
	leaf := s.pairedLeaf(p, nil)
	alone, err := mls.NewAPQGroup(s.mls, mls.APQGroupOptions{
		T:  mls.GroupOptions{Suite: p.T, Identity: *s.identity, GroupID: ids[0][:], Extensions: contextExtensions(chosen.marshal()), Leaf: leaf},
		PQ: mls.GroupOptions{Suite: p.PQ, Identity: *s.identity, GroupID: ids[1][:], Extensions: contextExtensions(nil), Leaf: leaf},
	})
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	defer alone.Erase()
	proposals, err := s.pskProposals(alone.T(), chosen.parameters.psks)
	if err != nil {
		return nil, err
	}
	options := mls.CommitOptions{OmitPath: true, WelcomeOnly: true, AuthenticatedData: noPurpose}
	o := mls.APQCommitOptions{Add: []*mls.APQKeyPackage{peer}, T: options, PQ: options}
	o.T.Proposals = proposals
	made, err := alone.Commit(o)
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	return s.welcome(ofPair(made.Group()), s.agreed(offered, chosen), made.Welcome())
}

// join enters what the responder has made.
func (s *Session) join(welcome []byte) (groups, error) {
	if s.pairs == nil {
		g, err := mls.Join(s.mls, welcome, s.bundle, mls.JoinOptions{})
		return groups{Group: g}, err
	}
	g, err := mls.JoinAPQ(s.mls, welcome, s.pairs, mls.APQJoinOptions{})
	if err != nil {
		return groups{}, err
	}
	return ofPair(g), nil
}

// verifyContext checks the GroupContexts that the responder has made, and returns
// its choice.
func (g groups) verifyContext() (choice []byte, err error) {
	if g.pair == nil {
		return verifyContext(g.Extensions())
	}
	if mode := g.pair.Info().Mode; mode != mls.APQConfidentiality {
		return nil, fmt.Errorf("%w: the pair of groups has mode %d, want %d", ErrProfile, mode, mls.APQConfidentiality)
	}
	// Besides the dictionary there are required_capabilities and
	// required_wire_formats, and in that the APQInfo; the parameters are in one.
	for _, half := range []struct {
		context    mls.Extensions
		components int
	}{{g.Extensions(), 4}, {g.pair.PQ().Extensions(), 3}} {
		d, err := verifyComponents(half.context)
		if err != nil {
			return nil, err
		}
		if err := verifyOnly(half.context, d, 3, half.components, mls.ComponentAPQInfo); err != nil {
			return nil, err
		}
		if half.components == 4 {
			choice, _ = d.Find(componentParameters)
		}
	}
	return choice, nil
}

// verifyChosenPair checks that the groups are of the suites that were chosen.
func (g groups) verifyChosenPair(p *parameters) error {
	var want []APQSuites
	if g.pair != nil {
		want = []APQSuites{{g.Suite().ID(), g.pqSuite()}}
	}
	if !slices.Equal(p.pairs, want) {
		return fmt.Errorf("%w: the choice names the pairs of suites %s, the groups are of %v", ErrProfile, few("%v", p.pairs), want)
	}
	return nil
}

// verifyPairs checks that nobody made the initiator offer anything but the first
// pair of suites that both ends have. used is zero for a hello that asks for one group.
func (s *Session) verifyPairs(used APQSuites, o offer) error {
	for _, p := range o.parameters.pairs {
		if !s.cfg.acceptsPair(p) {
			continue
		}
		if p != used {
			return because(AlertInsufficientSecurity, fmt.Errorf("%w: peer offers %v but prefers %v, which both have", ErrDowngrade, used, p))
		}
		return nil
	}
	if used != (APQSuites{}) {
		return because(AlertIllegalParameter, fmt.Errorf("%w: the offer does not list %v, the suites of its key packages", ErrProfile, used))
	}
	return nil
}

// pairedRetry says which pairs of suites, or else which suites, this end has.
func (s *Session) pairedRetry(offered APQSuites, hello []byte) ([]Event, error) {
	if s.retry != nil {
		return nil, because(AlertHandshakeFailure, fmt.Errorf("%w: peer offers %v again", ErrNoCommonSuite, offered))
	}
	var w wire.Writer
	w.Vector(func() {
		if s.cfg.APQ != nil && s.cfg.APQ.Required {
			return
		}
		for _, id := range s.cfg.Suites {
			w.Uint16(uint16(id))
		}
	})
	w.Vector(func() {
		if s.cfg.APQ != nil {
			writePairs(&w, s.cfg.APQ.Suites)
		}
	})
	return s.sendHelloRetry(hello, w.Data()), nil
}

// receivePairedRetry begins again with the best that the responder has too.
func (s *Session) receivePairedRetry(body []byte) ([]Event, error) {
	r := wire.NewReader(body)
	var suites []ciphersuite.ID
	r.Vector(func(r *wire.Reader) { suites = append(suites, ciphersuite.ID(r.Uint16())) })
	var pairs []APQSuites
	r.Vector(func(r *wire.Reader) { pairs = append(pairs, readPair(r)) })
	if err := r.Finish(); err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	offered := s.cfg.APQ.Suites[0]
	if slices.Contains(pairs, offered) {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: HelloRetry names %v, which was offered", ErrProfile, offered))
	}
	s.retry = retryHash(s.pairs.Message(), body)
	s.dropBundles()
	if i := slices.IndexFunc(s.cfg.APQ.Suites, func(p APQSuites) bool { return slices.Contains(pairs, p) }); i >= 0 {
		return s.sendPairedHello(s.cfg.APQ.Suites[i])
	}
	if s.cfg.APQ.Required {
		return nil, errWithoutAPQ()
	}
	i := slices.IndexFunc(s.cfg.Suites, func(id ciphersuite.ID) bool { return slices.Contains(suites, id) })
	if i < 0 {
		return nil, because(AlertHandshakeFailure, fmt.Errorf("%w: peer has %s, want one of %v", ErrNoCommonSuite, few("%v", suites), s.cfg.Suites))
	}
	return s.sendClientHelloOf(s.cfg.Suites[i])
}
