package mls

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// AppDataUpdate changes the entry of a component in the app_data_dictionary of
// the GroupContext, or removes it. It takes a client with that [Component]. It
// needs no path, may come from an external sender and may be in an external
// commit. draft-ietf-mls-extensions, Section 4.7.
type AppDataUpdate struct {
	Component ComponentID
	// Remove says that the entry is removed. There is no Update then.
	Remove bool
	// Update is what the component makes the new entry of.
	Update []byte
}

// The values of AppDataUpdateOperation.
const (
	appDataUpdate = 1
	appDataRemove = 2
)

// ProposalType implements [Proposal].
func (*AppDataUpdate) ProposalType() ProposalType { return ProposalAppDataUpdate }

func (p *AppDataUpdate) encode(w *wire.Writer) {
	w.Uint16(uint16(p.Component))
	if p.Remove {
		w.Uint8(appDataRemove)
		return
	}
	w.Uint8(appDataUpdate)
	w.Opaque(p.Update)
}

func (p *AppDataUpdate) decode(r *wire.Reader) {
	p.Component = ComponentID(r.Uint16())
	switch op := r.Uint8(); op {
	case appDataUpdate:
		p.Update = r.Opaque()
	case appDataRemove:
		p.Remove = true
	default:
		r.Fail(fmt.Errorf("mls: AppDataUpdateOperation %d is not defined", op))
	}
}

func verifyAppDataUpdate(s *publicState, _ Sender, p Proposal) error {
	u := p.(*AppDataUpdate)
	if s.cfg.component(u.Component) == nil {
		return invalid(CheckAppDataUpdateComponent, "component %#04x is not known", uint16(u.Component))
	}
	return nil
}

// applyAppDataUpdate collects an update for [updateDictionary].
func applyAppDataUpdate(_ *publicState, t *transition, p *coveredProposal) error {
	t.dataUpdates = append(t.dataUpdates, p)
	return nil
}

// updateDictionary applies all AppDataUpdates of a commit, one component after
// the other.
func updateDictionary(s *publicState, t *transition) error {
	dictionary, err := t.extensions.AppDataDictionary()
	if err != nil {
		return err
	}
	byComponent := make(map[ComponentID][]*coveredProposal)
	var order []ComponentID
	for _, p := range t.dataUpdates {
		id := p.Proposal.(*AppDataUpdate).Component
		if byComponent[id] == nil {
			order = append(order, id)
		}
		byComponent[id] = append(byComponent[id], p)
	}
	for _, id := range order {
		if dictionary, err = s.updateComponent(t, dictionary, id, byComponent[id]); err != nil {
			return err
		}
	}
	x, err := dictionary.Extension()
	if err != nil {
		return err
	}
	return s.setExtensions(t, t.extensions.with(x))
}

// updateComponent returns the dictionary after the AppDataUpdates of a commit
// for one component, which is known.
func (s *publicState) updateComponent(t *transition, d AppDataDictionary, id ComponentID, proposals []*coveredProposal) (AppDataDictionary, error) {
	c := s.cfg.component(id)
	old, present := d.Find(id)
	updates := make([]ComponentUpdate, 0, len(proposals))
	for _, p := range proposals {
		u := p.Proposal.(*AppDataUpdate)
		if u.Remove && len(proposals) > 1 {
			return nil, invalid(CheckAppDataUpdateList, "component %s is removed by one of %d proposals", c.Name, len(proposals))
		}
		updates = append(updates, ComponentUpdate{p.Sender, u.Update})
	}
	if p := proposals[0]; p.Proposal.(*AppDataUpdate).Remove {
		if !present {
			return nil, invalid(CheckAppDataUpdateRemove, "component %s has no entry", c.Name)
		}
		if c.Remove != nil {
			if err := c.Remove(old, ProposalContext{p.Sender, t.extensions}); err != nil {
				return nil, c.refuse(err)
			}
		}
		return d.without(id), nil
	}
	if present && old == nil {
		old = []byte{} // nil says that there is none
	}
	data, err := c.update(old, updates)
	if err != nil {
		return nil, c.refuse(err)
	}
	if err := c.validate(InGroupContext, data); err != nil {
		return nil, err
	}
	return d.with(ComponentData{ID: id, Data: data}), nil
}

// refuse says that a component does not accept what a commit does to its entry.
func (c *Component) refuse(err error) error {
	if broken := (*Error)(nil); errors.As(err, &broken) {
		return err // it names a rule of its own
	}
	return invalid(CheckAppDataUpdateData, "component %s: %w", c.Name, err)
}

func (c *Component) update(old []byte, updates []ComponentUpdate) ([]byte, error) {
	if c.Update == nil {
		return updates[len(updates)-1].Data, nil
	}
	return c.Update(old, updates)
}

// with returns d with an entry added, or put in the place of the component's.
func (d AppDataDictionary) with(c ComponentData) AppDataDictionary {
	at, present := d.search(c.ID)
	if present {
		d = slices.Clone(d)
		d[at] = c
		return d
	}
	return slices.Insert(slices.Clone(d), at, c)
}

// without returns d without a component's entry.
func (d AppDataDictionary) without(id ComponentID) AppDataDictionary {
	return slices.DeleteFunc(slices.Clone(d), func(c ComponentData) bool { return c.ID == id })
}

func (d AppDataDictionary) search(id ComponentID) (at int, ok bool) {
	return slices.BinarySearchFunc(d, id, func(c ComponentData, id ComponentID) int { return cmp.Compare(c.ID, id) })
}

// verifyDictionaryKept checks that a GroupContextExtensions proposal leaves the
// app_data_dictionary alone in a group that requires AppDataUpdate of its members.
func (s *publicState) verifyDictionaryKept(extensions Extensions) error {
	required, err := requiredCapabilities(s.context.extensions)
	if err != nil {
		return err
	}
	if !slices.Contains(required.Proposals, ProposalAppDataUpdate) {
		return nil
	}
	before, had := s.context.extensions.Find(ExtensionAppDataDictionary)
	after, has := extensions.Find(ExtensionAppDataDictionary)
	if had != has || !bytes.Equal(before, after) {
		return invalid(CheckContextDictionary, "a GroupContextExtensions proposal changes the app_data_dictionary")
	}
	return nil
}
