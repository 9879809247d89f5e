package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// ComponentAPQInfo holds the [APQInfo] in the GroupContexts of a pair of groups.
// draft-ietf-mls-combiner, Section 5.1.
const ComponentAPQInfo ComponentID = 0x0006

// APQMode says what a pair of groups keeps from quantum computers.
type APQMode uint8

// The modes. draft-ietf-mls-combiner, Section 4.
const (
	// APQConfidentiality keeps messages secret. Signatures may be traditional ones.
	APQConfidentiality APQMode = 0
	// APQAuthenticity takes post-quantum signatures in the post-quantum group, too.
	APQAuthenticity APQMode = 1
)

// APQInfo ties two groups together. Both have the same one in their
// GroupContexts. All but the epochs stays the same for life.
// draft-ietf-mls-combiner, Section 5.1.
type APQInfo struct {
	TGroupID, PQGroupID []byte
	Mode                APQMode
	TSuite, PQSuite     ciphersuite.ID
	// TEpoch and PQEpoch are those that the last full commit has led to. The
	// post-quantum group is still in its one.
	TEpoch, PQEpoch uint64
}

func (i *APQInfo) encode(w *wire.Writer) {
	w.Opaque(i.TGroupID)
	w.Opaque(i.PQGroupID)
	w.Uint8(uint8(i.Mode))
	w.Uint16(uint16(i.TSuite))
	w.Uint16(uint16(i.PQSuite))
	w.Uint64(i.TEpoch)
	w.Uint64(i.PQEpoch)
}

func (i *APQInfo) decode(r *wire.Reader) {
	i.TGroupID, i.PQGroupID = r.Opaque(), r.Opaque()
	i.Mode = APQMode(r.Uint8())
	if r.Err() == nil && i.Mode > APQAuthenticity {
		r.Fail(fmt.Errorf("mls: APQInfo has mode %d, want 0 or 1", i.Mode))
	}
	i.TSuite, i.PQSuite = ciphersuite.ID(r.Uint16()), ciphersuite.ID(r.Uint16())
	i.TEpoch, i.PQEpoch = r.Uint64(), r.Uint64()
}

// ParseAPQInfo decodes the data of the component [ComponentAPQInfo].
func ParseAPQInfo(data []byte) (APQInfo, error) {
	var i APQInfo
	if err := unmarshal(data, &i); err != nil {
		return APQInfo{}, invalid(CheckAPQInfo, "%w", err)
	}
	return i, nil
}

// apqInfoOf returns the APQInfo of a group.
func apqInfoOf(context Extensions) (APQInfo, error) {
	var data []byte // of no entry: it does not decode
	if encoded, ok := context.Find(ExtensionAppDataDictionary); ok {
		dictionary, err := parseDictionaryAliased(encoded)
		if err != nil {
			return APQInfo{}, err
		}
		data, _ = dictionary.Find(ComponentAPQInfo)
	}
	return ParseAPQInfo(data)
}

// apqUpdateType is APQUpdateType.
type apqUpdateType uint8

const (
	apqFullUpdate apqUpdateType = 0
	apqNewTEpoch  apqUpdateType = 1
	apqNewPQEpoch apqUpdateType = 2
)

// apqInfoUpdate is APQInfoUpdate, the payload of an AppDataUpdate.
// draft-ietf-mls-combiner, Section 5.1.1.
type apqInfoUpdate struct {
	kind  apqUpdateType
	info  APQInfo // of apqFullUpdate
	epoch uint64  // of the others
}

func (u *apqInfoUpdate) encode(w *wire.Writer) {
	w.Uint8(uint8(u.kind))
	if u.kind == apqFullUpdate {
		u.info.encode(w)
	} else {
		w.Uint64(u.epoch)
	}
}

func (u *apqInfoUpdate) decode(r *wire.Reader) {
	switch u.kind = apqUpdateType(r.Uint8()); u.kind {
	case apqFullUpdate:
		u.info.decode(r)
	case apqNewTEpoch, apqNewPQEpoch:
		u.epoch = r.Uint64()
	default:
		r.Fail(fmt.Errorf("mls: APQUpdateType %d is not defined", u.kind))
	}
}

// apqUpdates returns the proposals that bring the epochs of a pair up to date. The
// first full commit repeats all of the APQInfo.
func apqUpdates(before, after APQInfo) []Proposal {
	updates := []apqInfoUpdate{{kind: apqNewTEpoch, epoch: after.TEpoch}, {kind: apqNewPQEpoch, epoch: after.PQEpoch}}
	if before.isFirst() {
		updates = []apqInfoUpdate{{kind: apqFullUpdate, info: after}}
	}
	var proposals []Proposal
	for i := range updates {
		proposals = append(proposals, &AppDataUpdate{Component: ComponentAPQInfo, Update: marshal(&updates[i])})
	}
	return proposals
}

// isFirst reports that there was no full commit yet: the groups are as their
// creator has made them.
func (i *APQInfo) isFirst() bool { return i.TEpoch == 0 && i.PQEpoch == 0 }

// APQComponent returns the component of pairs of groups. Whoever takes part in
// such pairs has it in [Config.Components].
func APQComponent() Component {
	return Component{
		ID:   ComponentAPQInfo,
		Name: "apq_mls_info",
		Validate: func(place ExtensionPlace, data []byte) error {
			if place != InGroupContext {
				return nil
			}
			_, err := ParseAPQInfo(data)
			return err
		},
		Update: updateAPQInfo,
		Remove: func([]byte, ProposalContext) error {
			return invalid(CheckAPQRemove, "the APQInfo is removed")
		},
	}
}

// updateAPQInfo returns the APQInfo after a commit.
func updateAPQInfo(old []byte, updates []ComponentUpdate) ([]byte, error) {
	parsed := make([]apqInfoUpdate, len(updates))
	for i, u := range updates {
		if err := unmarshal(u.Data, &parsed[i]); err != nil {
			return nil, invalid(CheckAPQUpdateFormat, "%w", err)
		}
	}
	full := len(parsed) == 1 && parsed[0].kind == apqFullUpdate
	both := len(parsed) == 2 && parsed[0].kind != apqFullUpdate && parsed[1].kind != apqFullUpdate && parsed[0].kind != parsed[1].kind
	if !full && !both {
		return nil, invalid(CheckAPQUpdateList, "%d updates, want a full one or one for each epoch", len(parsed))
	}
	var before APQInfo
	if old != nil {
		var err error
		if before, err = ParseAPQInfo(old); err != nil {
			return nil, err
		}
	}
	if !full && (old == nil || before.isFirst()) {
		return nil, invalid(CheckAPQFirstUpdate, "the first full commit updates the epochs alone")
	}
	after := before
	if full {
		after = parsed[0].info
	}
	for _, u := range parsed {
		switch u.kind {
		case apqNewTEpoch:
			after.TEpoch = u.epoch
		case apqNewPQEpoch:
			after.PQEpoch = u.epoch
		}
	}
	if old != nil && !after.continues(&before) {
		return nil, invalid(CheckAPQImmutable, "the APQInfo %+v becomes %+v", before, after)
	}
	return marshal(&after), nil
}

// continues reports whether i differs from before in nothing but the epochs.
func (i *APQInfo) continues(before *APQInfo) bool {
	c := *i
	c.TEpoch, c.PQEpoch = before.TEpoch, before.PQEpoch
	return bytes.Equal(marshal(&c), marshal(before))
}
