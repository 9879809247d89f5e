package channel

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls"
)

// The components of the Safe Application Interface that a session uses. Both
// numbers are of the private range until the profile has one of its own.
const (
	// componentTwoParty is two_party_profile: it marks leaves and groups as
	// made for the profile, and says in a message's SafeAAD what it was made for.
	componentTwoParty mls.ComponentID = 0xF020
	// componentParameters is Mendlink's own: the initiator's offer in its
	// leaf, the responder's choice in the GroupContext.
	componentParameters mls.ComponentID = 0xF021
)

// components are what the groups of sessions know of the components. The
// parameters are settled by the full handshake: leaves of sessions of one group do
// not support the proposals that could change them.
var components = []mls.Component{
	{ID: componentTwoParty, Name: "two_party_profile", SafeAAD: true},
	{ID: componentParameters, Name: "Mendlink parameters", Validate: validateParameters},
}

// validateParameters checks the entry of componentParameters: a leaf's is an
// offer, a GroupContext's a choice.
func validateParameters(place mls.ExtensionPlace, data []byte) (err error) {
	switch place {
	case mls.InLeafNode:
		_, err = parseOffer(data)
	case mls.InGroupContext:
		_, err = parseChoice(data)
	}
	if err != nil {
		return peerFault(AlertDecodeError, err)
	}
	return nil
}

// purpose says what an MLS message was made for. It never changes, whereas the
// type of the two-party message around it says how it is used: a commit that
// was made for an update is repeated as it is to resume.
// draft-kohbrok-mls-two-party-profile-01, TwoPartyMessageType.
type purpose uint8

const (
	purposeConnectionUpdate   purpose = 1
	purposeResumptionRequest  purpose = 2
	purposeResumptionResponse purpose = 3
	purposeEpochKeyUpdate     purpose = 4
)

// noPurpose is the authenticated_data of a message that the profile knows
// nothing of: an empty SafeAAD.
var noPurpose = []byte{0}

// authenticatedData returns the authenticated_data of a message made for p.
func (p purpose) authenticatedData() []byte {
	data, err := mls.SafeAAD{{ID: componentTwoParty, Data: []byte{byte(p)}}}.Marshal()
	if err != nil {
		panic(err) // one item is always in order
	}
	return data
}

// verifyPurpose checks that authenticated_data names one of the purposes and
// says nothing else.
func verifyPurpose(data []byte, allowed ...purpose) error {
	items, err := mls.ParseSafeAAD(data)
	if err != nil {
		return err
	}
	value, ok := items.Find(componentTwoParty)
	if !ok || len(items) != 1 || len(value) != 1 {
		return fmt.Errorf("%w: authenticated data %s is not one purpose", ErrProfile, brief(data))
	}
	for _, p := range allowed {
		if value[0] == byte(p) {
			return nil
		}
	}
	return fmt.Errorf("%w: message was made for purpose %d, want one of %d", ErrProfile, value[0], allowed)
}

// leafExtensions returns those of a leaf with an entry of componentParameters, nil
// for none. The rest of its dictionary comes from what the Config says of the components.
func leafExtensions(parameters []byte) mls.Extensions {
	if parameters == nil {
		return nil
	}
	return mls.Extensions{extension(mls.AppDataDictionary{{ID: componentParameters, Data: parameters}})}
}

// contextExtensions returns those of a GroupContext: it requires the components
// of both ends, and has the responder's choice, unless that is nil.
func contextExtensions(parameters []byte) mls.Extensions {
	d := mls.AppDataDictionary{
		{ID: mls.ComponentAppComponents, Data: mls.ComponentsList{componentTwoParty, componentParameters}.Marshal()},
		{ID: mls.ComponentSafeAAD, Data: mls.ComponentsList{componentTwoParty}.Marshal()},
	}
	if parameters != nil {
		d = append(d, mls.ComponentData{ID: componentParameters, Data: parameters})
	}
	return mls.Extensions{extension(d)}
}

func extension(d mls.AppDataDictionary) mls.Extension {
	x, err := d.Extension()
	if err != nil {
		panic(err) // the entries above are in order
	}
	return x
}

// verifyComponents checks that the extensions of a leaf or a GroupContext
// advertise the components, and returns the dictionary.
func verifyComponents(x mls.Extensions) (mls.AppDataDictionary, error) {
	d, err := x.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	for _, want := range []struct{ list, component mls.ComponentID }{
		{mls.ComponentAppComponents, componentTwoParty},
		{mls.ComponentAppComponents, componentParameters},
		{mls.ComponentSafeAAD, componentTwoParty},
	} {
		data, ok := d.Find(want.list)
		if !ok {
			return nil, fmt.Errorf("%w: no entry %#04x in the app_data_dictionary", ErrProfile, uint16(want.list))
		}
		list, err := mls.ParseComponentsList(data)
		if err != nil {
			return nil, err
		}
		if !list.Contains(want.component) {
			return nil, fmt.Errorf("%w: component %#04x is not in list %#04x", ErrProfile, uint16(want.component), uint16(want.list))
		}
	}
	return d, nil
}

// verifyContext checks the GroupContext of a group that the peer has made: it
// must hold what the profile wants and nothing that this end does not know. It
// returns the responder's choice.
func verifyContext(x mls.Extensions) (choice []byte, err error) {
	d, err := verifyComponents(x)
	if err != nil {
		return nil, err
	}
	if err := verifyOnly(x, d, 1, 3); err != nil {
		return nil, err
	}
	choice, ok := d.Find(componentParameters)
	if !ok {
		return nil, fmt.Errorf("%w: GroupContext has no choice of parameters", ErrProfile)
	}
	return choice, nil
}

// verifyOnly checks that a GroupContext has no more than so many extensions and
// components, and requires none that this end does not know.
func verifyOnly(x mls.Extensions, d mls.AppDataDictionary, extensions, components int, more ...mls.ComponentID) error {
	if len(x) != extensions || len(d) != components {
		return fmt.Errorf("%w: GroupContext has %d extensions and %d components, want %d and %d", ErrProfile, len(x), len(d), extensions, components)
	}
	for _, id := range []mls.ComponentID{mls.ComponentAppComponents, mls.ComponentSafeAAD} {
		data, _ := d.Find(id)
		list, err := mls.ParseComponentsList(data)
		if err != nil {
			return err
		}
		for _, c := range list {
			if c != componentTwoParty && c != componentParameters && !slices.Contains(more, c) {
				return fmt.Errorf("%w: GroupContext requires the unknown component %#04x", ErrProfile, uint16(c))
			}
		}
	}
	return nil
}

// verifySameParameters checks that an end's new leaf says of the channel what the
// one before said: that is settled by the full handshake.
func verifySameParameters(before, after *mls.LeafNode) error {
	var entries [2][]byte
	for i, leaf := range []*mls.LeafNode{before, after} {
		d, err := leaf.Extensions.AppDataDictionary()
		if err != nil {
			return err
		}
		entries[i], _ = d.Find(componentParameters)
	}
	if !bytes.Equal(entries[0], entries[1]) {
		return fmt.Errorf("%w: parameters in the leaf change from %s to %s", ErrProfile, brief(entries[0]), brief(entries[1]))
	}
	return nil
}

// verifyPair checks that a group has two members, of which the peer advertises
// the components.
func verifyPair(g *mls.Group) error {
	if n := len(g.Members()); n != 2 {
		return fmt.Errorf("%w: group has %d members, want 2", ErrProfile, n)
	}
	leaf := peerLeaf(g)
	if leaf == nil || g.OwnLeaf() > 1 {
		return fmt.Errorf("%w: the members are not leaves 0 and 1", ErrProfile)
	}
	_, err := verifyComponents(leaf.Extensions)
	return err
}

// peerLeaf returns the leaf of the other member of a pair.
func peerLeaf(g *mls.Group) *mls.LeafNode { return g.Leaf(1 - g.OwnLeaf()) }

func ownLeaf(g *mls.Group) *mls.LeafNode { return g.Leaf(g.OwnLeaf()) }
