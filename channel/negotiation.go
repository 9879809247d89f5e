package channel

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Features are options that both ends have to want. Bits 0 to 15 are defined
// here; bits 16 to 31 are the application's own.
type Features uint32

// The features.
const (
	// FeatureTieBreakByKey: where two resumptions cross, the end prevails whose
	// signature key in the full handshake is the greater one, octet by octet.
	// Without it, the initiator of the full handshake prevails.
	FeatureTieBreakByKey Features = 1 << 0
)

// definedFeatures are the bits that mean something to this package, or are the
// application's.
const definedFeatures = FeatureTieBreakByKey | 0xFFFF0000

// Sizes of the content of records, in octets.
const (
	// MaxRecordSize is the most that a record can hold, and the default of
	// [Config.MaxRecordSize].
	MaxRecordSize = 1 << 14
	// MinRecordSize is the least that an end may ask for. RFC 8449, Section 4.
	MinRecordSize = 63
)

// Negotiated is what the ends agreed on in the full handshake. It holds for the
// life of the session, through all resumptions.
type Negotiated struct {
	// Protocol is the application protocol, one of [Config.Protocols] of both
	// ends. Empty if one of them has none.
	Protocol string
	// ServerName is the name by which the initiator called the responder.
	ServerName string
	// Features are those that both ends want.
	Features Features
	// PQSuite is the cipher suite of the post-quantum group. Zero if the session has
	// one group.
	PQSuite ciphersuite.ID
	// PSKs names the pre-shared keys that went into the first epoch.
	PSKs [][]byte
	// SendRecordSize is how many octets of content the peer accepts in a
	// protected record, ReceiveRecordSize how many this end does.
	SendRecordSize, ReceiveRecordSize int
	// SendEarlyData is how many octets of early data the peer accepts with a
	// resumption, ReceiveEarlyData how many this end does.
	SendEarlyData, ReceiveEarlyData int
}

// A ClientHello is what an initiator says of itself, for [Config.Select]. Nobody
// has been authenticated yet.
type ClientHello struct {
	ServerName string
	Protocols  []string
	// Suites are those that the initiator accepts, its favourite first.
	Suites []ciphersuite.ID
	// Credential is the one that the initiator shows.
	Credential mls.Credential
}

// ownOffer returns what this end offers as an initiator. retry is the hash of
// the first exchange where this is the second ClientHello.
func (c *Config) ownOffer(retry []byte) offer {
	p := parameters{
		protocols:        c.Protocols,
		serverName:       c.ServerName,
		recordSizeLimit:  c.recordSizeLimit(),
		features:         c.Features,
		transportBinding: c.bindingHash(),
		retry:            retry,
		psks:             c.PSKIdentities,
		maxEarlyData:     uint32(c.MaxEarlyData),
	}
	if c.APQ != nil {
		p.pairs = c.APQ.Suites
	}
	for _, t := range []struct {
		kind    uint16
		present bool
	}{
		{parameterALPN, len(p.protocols) > 0},
		{parameterServerName, p.serverName != ""},
		{parameterRecordSizeLimit, true},
		{parameterFeatures, true},
		{parameterTransportBinding, p.transportBinding != nil},
		{parameterRetry, p.retry != nil},
		{parameterPSKs, len(p.psks) > 0},
		{parameterMaxEarlyData, true},
		{parameterAPQ, len(p.pairs) > 0},
	} {
		if t.present {
			p.types = append(p.types, t.kind)
		}
	}
	return offer{versions: []uint16{ProfileVersion}, parameters: p}
}

// chooseFor answers an initiator's offer. Its leaf is validated when it enters the group, and here already if it offers
// pre-shared keys: who is not accepted must not learn which of them this end knows, nor have it look them up.
func (s *Session) chooseFor(leaf *mls.LeafNode, o offer) (choice, error) {
	if s.psk != nil && len(o.parameters.psks) > 0 {
		if err := s.mls.AuthenticationService.ValidateLeaf(leaf, nil); err != nil {
			return choice{}, peerFault(AlertBadCertificate, err)
		}
	}
	return s.cfg.choose(o)
}

// choose answers an offer.
func (c *Config) choose(o offer) (choice, error) {
	if !slices.Contains(o.versions, ProfileVersion) {
		return choice{}, because(AlertProtocolVersion, fmt.Errorf("%w: peer offers %s, want %d", ErrNoCommonVersion, few("%d", o.versions), ProfileVersion))
	}
	if err := c.verifyLimits(&o.parameters); err != nil {
		return choice{}, err
	}
	if err := c.verifyBinding(&o.parameters); err != nil {
		return choice{}, err
	}
	chosen := parameters{
		recordSizeLimit:  c.recordSizeLimit(),
		features:         o.parameters.features & c.Features,
		transportBinding: c.bindingHash(),
		maxEarlyData:     uint32(c.MaxEarlyData),
	}
	protocol, err := c.chooseProtocol(o.parameters.protocols)
	if err != nil {
		return choice{}, err
	}
	if protocol != "" {
		chosen.protocols = []string{protocol}
	}
	if chosen.psks, err = c.choosePSKs(o.parameters.psks); err != nil {
		return choice{}, err
	}
	for _, kind := range o.parameters.types {
		switch kind {
		case parameterServerName, parameterRecordSizeLimit, parameterFeatures, parameterTransportBinding, parameterMaxEarlyData:
		case parameterALPN:
			if protocol == "" {
				continue
			}
		case parameterPSKs:
			if len(chosen.psks) == 0 {
				continue
			}
		default:
			continue
		}
		chosen.types = append(chosen.types, kind)
	}
	return choice{version: ProfileVersion, parameters: chosen}, nil
}

// chooseProtocol picks the responder's favourite among the initiator's
// protocols. That nobody speaks of protocols is fine; that they have none in
// common is not. RFC 7301, Section 3.2.
func (c *Config) chooseProtocol(offered []string) (string, error) {
	if len(offered) == 0 || len(c.Protocols) == 0 {
		return "", nil
	}
	for _, p := range c.Protocols {
		if slices.Contains(offered, p) {
			return p, nil
		}
	}
	return "", because(AlertNoApplicationProtocol, fmt.Errorf("%w: peer offers %s, want one of %q", ErrNoCommonProtocol, few("%q", offered), c.Protocols))
}

// verifyChoice checks that a choice is an answer to this end's offer.
func (c *Config) verifyChoice(o offer, chosen choice) error {
	if !slices.Contains(o.versions, chosen.version) {
		return because(AlertIllegalParameter, fmt.Errorf("%w: peer chose %d, offered were %d", ErrNoCommonVersion, chosen.version, o.versions))
	}
	p := &chosen.parameters
	for _, kind := range p.types {
		if !o.parameters.has(kind) || kind == parameterRetry || kind == parameterPQKeyPackage {
			return fmt.Errorf("%w: peer chose parameter %#04x, which was not offered", ErrProfile, kind)
		}
	}
	if err := c.verifyLimits(p); err != nil {
		return err
	}
	if err := c.verifyBinding(p); err != nil {
		return err
	}
	if p.has(parameterALPN) && (len(p.protocols) != 1 || !slices.Contains(o.parameters.protocols, p.protocols[0])) {
		return fmt.Errorf("%w: peer chose the protocols %s, offered were %q", ErrProfile, few("%q", p.protocols), o.parameters.protocols)
	}
	for _, pair := range p.pairs {
		if len(p.pairs) != 1 || !slices.Contains(o.parameters.pairs, pair) {
			return fmt.Errorf("%w: peer chose the pairs of suites %s, offered were %v", ErrProfile, few("%v", p.pairs), o.parameters.pairs)
		}
	}
	if p.serverName != "" {
		return fmt.Errorf("%w: the choice holds a server name", ErrProfile)
	}
	if p.features&^o.parameters.features != 0 {
		return fmt.Errorf("%w: peer chose the features %#x, offered were %#x", ErrProfile, p.features, o.parameters.features)
	}
	for _, id := range p.psks {
		if !containsID(o.parameters.psks, id) {
			return fmt.Errorf("%w: peer chose the pre-shared key %q, which was not offered", ErrProfile, id)
		}
	}
	if c.RequirePSK && len(p.psks) == 0 {
		return errNoPSK
	}
	return nil
}

// verifyLimits checks the numbers that the peer announced.
func (c *Config) verifyLimits(p *parameters) error {
	if p.has(parameterRecordSizeLimit) && p.recordSizeLimit < MinRecordSize+1 {
		return because(AlertIllegalParameter, fmt.Errorf("%w: record size limit %d, want at least %d", ErrProfile, p.recordSizeLimit, MinRecordSize+1))
	}
	return nil
}

// verifyBinding checks that both ends sit on the same transport. An end that
// has a binding accepts no peer without.
func (c *Config) verifyBinding(p *parameters) error {
	if own := c.bindingHash(); subtle.ConstantTimeCompare(p.transportBinding, own) != 1 {
		return because(AlertHandshakeFailure, fmt.Errorf("%w: peer has %s, this end %s", ErrTransportBinding, bindingName(p.transportBinding), bindingName(own)))
	}
	return nil
}

// bindingName names a transport for an error.
func bindingName(hash []byte) string {
	if len(hash) == 0 {
		return "no TransportBinding"
	}
	return fmt.Sprintf("%x", hash)
}

// hashSize is the size of SHA-256, which names things for this package.
const hashSize = sha256.Size

// bindingHash returns the hash that stands for the transport, nil for none.
func (c *Config) bindingHash() []byte {
	if len(c.TransportBinding) == 0 {
		return nil
	}
	sum := sha256.Sum256(append([]byte("Mendlink transport binding"), c.TransportBinding...))
	return sum[:]
}

// recordSizeLimit is that of RFC 8449: it counts the octet of the content type.
func (c *Config) recordSizeLimit() uint16 { return uint16(c.MaxRecordSize + 1) }

// negotiated reads what was agreed on from the offer in the initiator's leaf
// and the choice in the GroupContext, which stay as they are.
func (s *Session) negotiated(g *mls.Group) (Negotiated, error) {
	initiator := peerLeaf(g)
	if s.role == RoleInitiator {
		initiator = ownLeaf(g)
	}
	offered, err := offerOf(initiator)
	if err != nil {
		return Negotiated{}, err
	}
	data, err := s.groups().verifyContext()
	if err != nil {
		return Negotiated{}, err
	}
	chosen, err := parseChoice(data)
	if err != nil {
		return Negotiated{}, err
	}
	if err := s.groups().verifyChosenPair(&chosen.parameters); err != nil {
		return Negotiated{}, err
	}
	return s.agreed(offered, chosen), nil
}

// agreed returns what an offer and the choice that answers it come to.
func (s *Session) agreed(offered offer, chosen choice) Negotiated {
	n := Negotiated{Features: chosen.parameters.features, PSKs: chosen.parameters.psks}
	if len(chosen.parameters.pairs) == 1 {
		n.PQSuite = chosen.parameters.pairs[0].PQ
	}
	if len(chosen.parameters.protocols) == 1 {
		n.Protocol = chosen.parameters.protocols[0]
	}
	if chosen.parameters.has(parameterServerName) {
		n.ServerName = offered.parameters.serverName
	}
	own, peer := &chosen.parameters, &offered.parameters
	if s.role == RoleInitiator {
		own, peer = peer, own
	}
	n.SendRecordSize, n.ReceiveRecordSize = peer.recordSize(), own.recordSize()
	n.SendEarlyData, n.ReceiveEarlyData = peer.earlyDataSize(), own.earlyDataSize()
	return n
}

// recordSize returns how much content fits a record for an end that announced p.
func (p *parameters) recordSize() int {
	if !p.has(parameterRecordSizeLimit) {
		return MaxRecordSize
	}
	return min(int(p.recordSizeLimit)-1, MaxRecordSize)
}

func (p *parameters) earlyDataSize() int { return int(min(p.maxEarlyData, maxEarlyDataLimit)) }

// offerOf returns the offer in the initiator's leaf.
func offerOf(leaf *mls.LeafNode) (offer, error) {
	if leaf == nil {
		return offer{}, fmt.Errorf("%w: the initiator is not there", ErrProfile)
	}
	d, err := verifyComponents(leaf.Extensions)
	if err != nil {
		return offer{}, err
	}
	data, ok := d.Find(componentParameters)
	if !ok {
		return offer{}, fmt.Errorf("%w: leaf has no offer of parameters", ErrProfile)
	}
	offered, err := parseOffer(data)
	if err != nil {
		return offer{}, peerFault(AlertDecodeError, err)
	}
	return offered, nil
}

// selectConfig lets the application choose the configuration for an initiator.
func (s *Session) selectConfig(leaf *mls.LeafNode, o offer) error {
	if s.cfg.Select == nil {
		return nil
	}
	chosen, err := s.cfg.Select(ClientHello{
		ServerName: o.parameters.serverName,
		Protocols:  o.parameters.protocols,
		Suites:     slices.Clone(leaf.Capabilities.CipherSuites),
		Credential: leaf.Credential,
	})
	if err == nil && chosen != nil {
		if chosen, err = chosen.withDefaults(); err == nil {
			err = s.configure(chosen)
		}
		if err != nil {
			return because(AlertInternalError, err)
		}
	}
	if errors.Is(err, ErrUnknownName) {
		return because(AlertUnrecognizedName, fmt.Errorf("%w: %q", err, o.parameters.serverName))
	}
	if err != nil {
		return because(AlertAccessDenied, fmt.Errorf("%w: %w", ErrPeerRefused, err))
	}
	return nil
}

// Negotiated returns what the ends agreed on. It is zero before the handshake
// is complete, and stays the same from then on.
func (s *Session) Negotiated() Negotiated {
	if s.opening != nil {
		return Negotiated{}
	}
	return s.terms
}

func containsID(list [][]byte, id []byte) bool {
	return slices.ContainsFunc(list, func(x []byte) bool { return bytes.Equal(x, id) })
}
