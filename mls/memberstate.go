package mls

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/mendlink/mendlink/internal/wire"
)

// A memberState is what a [Membership] consists of at one moment. It is not
// changed: an operation makes another one, in which what did not change is shared.
type memberState struct {
	group   *Group
	pending *PendingCommit // this member's own, nil if none waits
	past    []*pastEpoch   // oldest first
}

// groups returns the groups in s.
func (s *memberState) groups() []*Group {
	var groups []*Group
	if s.group != nil {
		groups = append(groups, s.group)
	}
	if s.pending != nil {
		groups = append(groups, s.pending.next)
	}
	return groups
}

// eraseAllBut erases what is in s and not in kept.
func (s *memberState) eraseAllBut(kept *memberState) {
	for _, g := range s.groups() {
		if !slices.Contains(kept.groups(), g) {
			g.Erase()
		}
	}
	for _, p := range s.past {
		if !slices.Contains(kept.past, p) {
			p.erase()
		}
	}
}

// A membership is stored in records. Their names are that of the group,
// "group/" and the group ID in hexadecimal, and below it:
//
//	group/ID          Head: what changes with each message, and what else there is
//	group/ID/epoch    the part of the group's state that an epoch leaves alone
//	group/ID/pending  PendingCommit, if one waits
//	group/ID/past/N   PastEpoch, for each that is kept
//
//	struct {
//	    uint16 version = 1;
//	    uint64 epoch;
//	    uint16 state_version;    /* of usage */
//	    opaque usage<V>;
//	    uint64 past_epochs<V>;   /* oldest first */
//	    uint8 has_pending;
//	} Head;
//
//	struct {
//	    uint16 state_version;
//	    opaque state[rest];
//	} EpochRecord;
const headVersion uint16 = 1

func headRecord(groupID []byte) string { return groupRecords + hex.EncodeToString(groupID) }

func (m *Membership) head() string          { return headRecord(m.groupID) }
func (m *Membership) epochRecord() string   { return m.head() + "/epoch" }
func (m *Membership) pendingRecord() string { return m.head() + "/pending" }
func (m *Membership) past(epoch uint64) string {
	return m.head() + "/past/" + strconv.FormatUint(epoch, 10)
}

// move saves next, together with other changes, and then puts it in the place of
// the present state. What is not needed any more is erased: the old state's
// parts, or, after an error, those of next.
func (m *Membership) move(ctx context.Context, next memberState, others ...Change) error {
	changes, err := m.changesTo(&next)
	if err == nil {
		err = m.client.store.Update(ctx, append(changes, others...))
	}
	for _, c := range changes {
		clear(c.Value)
	}
	if err != nil {
		next.eraseAllBut(&m.state)
		return fmt.Errorf("mls: saving group %x: %w", m.groupID, err)
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(m.versions, c.Name)
		} else {
			m.versions[c.Name] = c.Next
		}
	}
	m.state.eraseAllBut(&next)
	m.state = next
	return nil
}

// changesTo returns how the records change if next takes the place of the
// present state. Only what is new is written, and what next does not have is
// deleted.
func (m *Membership) changesTo(next *memberState) ([]Change, error) {
	kept := []string{m.head(), m.epochRecord()}
	head := m.write(m.head(), next.encodeHead)
	if head.Version == 0 {
		// All changes go with one of the head, so that its version stands for all.
		var err error
		if head.Next, err = m.client.firstVersion(); err != nil {
			return nil, err
		}
	}
	changes := []Change{head}
	if m.state.group == nil || !sameEpochRecord(m.state.group, next.group) {
		changes = append(changes, m.write(m.epochRecord(), next.group.encodeEpochRecord))
	}
	if p := next.pending; p != nil {
		kept = append(kept, m.pendingRecord())
		if p != m.state.pending {
			value, err := p.Marshal()
			if err != nil {
				return changes, err
			}
			changes = append(changes, m.change(m.pendingRecord(), value))
		}
	}
	for _, p := range next.past {
		kept = append(kept, m.past(p.context.epoch))
		if !slices.Contains(m.state.past, p) {
			changes = append(changes, m.write(m.past(p.context.epoch), p.encode))
		}
	}
	return append(changes, m.deletions(kept...)...), nil
}

// sameEpochRecord reports whether two states of a group differ in nothing but
// what is in the head.
func sameEpochRecord(a, b *Group) bool {
	return a.context.epoch == b.context.epoch && len(a.epoch.ExporterSecret) == len(b.epoch.ExporterSecret)
}

func (m *Membership) write(name string, encode func(*wire.Writer)) Change {
	return m.change(name, wire.Encode(encode))
}

// change returns the change that gives a record another value.
func (m *Membership) change(name string, value []byte) Change {
	version := m.versions[name]
	return Change{Name: name, Version: version, Value: value, Next: version + 1}
}

// firstVersion draws the version of a new membership. There is room for 2^63 changes.
func (c *Client) firstVersion() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(c.cfg.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("mls: drawing a version: %w", err)
	}
	return binary.BigEndian.Uint64(b[:])>>1 + 1, nil
}

// deletions returns the changes that delete all records but those that are kept.
func (m *Membership) deletions(kept ...string) []Change {
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(m.versions)) {
		if !slices.Contains(kept, name) {
			changes = append(changes, Change{Name: name, Version: m.versions[name]})
		}
	}
	return changes
}

func (s *memberState) encodeHead(w *wire.Writer) {
	w.Uint16(headVersion)
	w.Uint64(s.group.context.epoch)
	w.Uint16(s.group.version())
	w.Vector(func() { s.group.encodeUsage(w) })
	w.Vector(func() {
		for _, p := range s.past {
			w.Uint64(p.context.epoch)
		}
	})
	w.Optional(s.pending != nil)
}

func (g *Group) encodeEpochRecord(w *wire.Writer) {
	w.Uint16(stateVersion)
	g.encodeEpoch(w)
}

// storedHead is the Head of a stored membership.
type storedHead struct {
	epoch        uint64
	stateVersion uint16
	usage        []byte
	past         []uint64
	hasPending   bool
}

func (h *storedHead) decode(r *wire.Reader) {
	if v := r.Uint16(); r.Err() == nil && v != headVersion {
		r.Fail(fmt.Errorf("version %d, want %d: %w", v, headVersion, ErrUnsupported))
	}
	h.epoch = r.Uint64()
	var err error
	if h.stateVersion, err = readStateVersion(r); err != nil {
		r.Fail(err)
	}
	h.usage = r.Opaque()
	r.Vector(func(r *wire.Reader) {
		epoch := r.Uint64()
		if n := len(h.past); epoch >= h.epoch || n > 0 && epoch <= h.past[n-1] {
			r.Fail(fmt.Errorf("past epoch %d of epoch %d is out of order", epoch, h.epoch))
		}
		h.past = append(h.past, epoch)
	})
	h.hasPending = r.Optional()
}

// load reads the membership's records.
func (m *Membership) load(ctx context.Context) (err error) {
	var head storedHead
	value, err := m.read(ctx, m.head())
	if err != nil {
		return err
	}
	if err := unmarshalAliased(value, &head); err != nil {
		return err
	}
	var s memberState
	defer func() {
		if err != nil {
			s.eraseAllBut(&memberState{})
		}
	}()
	if s.group, err = m.loadGroup(ctx, &head); err != nil {
		return err
	}
	if head.hasPending {
		if value, err = m.readPart(ctx, m.pendingRecord()); err != nil {
			return err
		}
		if s.pending, err = restorePendingCommit(m.client.cfg, m.client.signers, value); err != nil {
			return err
		}
		if !bytes.Equal(s.pending.base, s.group.interimTranscriptHash) {
			return fmt.Errorf("%w: the pending commit is of another epoch", ErrConflict)
		}
	}
	for _, epoch := range head.past {
		if value, err = m.readPart(ctx, m.past(epoch)); err != nil {
			return err
		}
		p, err := restorePastEpoch(m.client.cfg, value)
		if err != nil {
			return err
		}
		s.past = append(s.past, p)
		if err := m.verifyRecord(&p.context, epoch); err != nil {
			return err
		}
	}
	m.state = s
	return nil
}

// loadGroup reads the state of the present epoch.
func (m *Membership) loadGroup(ctx context.Context, head *storedHead) (*Group, error) {
	value, err := m.readPart(ctx, m.epochRecord())
	if err != nil {
		return nil, err
	}
	cfg := m.client.cfg
	r := wire.NewReaderWithContext(value, cfg.proposals)
	version, err := readStateVersion(r)
	if err != nil {
		return nil, err
	}
	g := newRestored(cfg)
	if err := g.decodeEpoch(r, version); err != nil {
		return nil, err
	}
	if err := r.Finish(); err != nil {
		return nil, err
	}
	if err := m.verifyRecord(&g.context, head.epoch); err != nil {
		return nil, err
	}
	usage := wire.NewReaderWithContext(head.usage, cfg.proposals)
	if err := g.decodeUsage(usage, head.stateVersion); err != nil {
		return nil, err
	}
	if err := usage.Finish(); err != nil {
		return nil, err
	}
	return g, g.takeSigners(m.client.signers)
}

// verifyRecord checks that a record is of an epoch of this group. They are read one
// after the other, while somebody else may write.
func (m *Membership) verifyRecord(c *groupContext, epoch uint64) error {
	if !bytes.Equal(c.groupID, m.groupID) || c.epoch != epoch {
		return fmt.Errorf("%w: the record is of epoch %d of group %x, want epoch %d", ErrConflict, c.epoch, c.groupID, epoch)
	}
	return nil
}

// read returns the value of a record and notes its version.
func (m *Membership) read(ctx context.Context, name string) ([]byte, error) {
	record, err := m.client.store.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	m.versions[name] = record.Version
	return record.Value, nil
}

// readPart is read for a record that the head says there is.
func (m *Membership) readPart(ctx context.Context, name string) ([]byte, error) {
	value, err := m.read(ctx, name)
	if errors.Is(err, ErrNotStored) { // not any more
		return nil, fmt.Errorf("%w: %s is gone", ErrConflict, name)
	}
	return value, err
}
