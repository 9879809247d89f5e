package mls

import (
	"fmt"
	"slices"
)

// What the draft leaves open: that a GroupContext names components which its
// members have to support, and nothing says who checks that. Here it is checked
// wherever the extension required_capabilities is; and so are the media types
// that a GroupContext requires. draft-ietf-mls-extensions, Sections 5 and 6.2.3,
// and its issue 102.

// requiredComponents is what a GroupContext asks of all leaves beyond their
// capabilities, each thing once: it is compared with each leaf.
type requiredComponents struct {
	components ComponentsList
	safeAAD    ComponentsList
	mediaTypes MediaTypeList
}

// componentsRequired returns what a GroupContext's extensions ask for.
func componentsRequired(context Extensions) (required requiredComponents, err error) {
	d, err := dictionaryIn(context)
	if err != nil {
		return required, err
	}
	if required.components, err = d.list(ComponentAppComponents); err != nil {
		return required, err
	}
	if required.safeAAD, err = d.list(ComponentSafeAAD); err != nil {
		return required, err
	}
	required.components, required.safeAAD = distinct(required.components), distinct(required.safeAAD)
	if required.mediaTypes, err = d.mediaTypes(); err != nil || required.mediaTypes == nil {
		return required, err
	}
	seen := make(map[string]bool)
	required.mediaTypes = slices.DeleteFunc(required.mediaTypes, func(t MediaType) bool {
		key := t.key()
		known := seen[key]
		seen[key] = true
		return known
	})
	return required, nil
}

func distinct(l ComponentsList) ComponentsList {
	slices.Sort(l)
	return slices.Compact(l)
}

// dictionaryIn is [Extensions.AppDataDictionary] for extensions that stay as
// they are while the result is in use.
func dictionaryIn(e Extensions) (AppDataDictionary, error) {
	data, ok := e.Find(ExtensionAppDataDictionary)
	if !ok {
		return nil, nil
	}
	return parseDictionaryAliased(data)
}

// list returns the list of a component, nil if it has no entry.
func (d AppDataDictionary) list(id ComponentID) (ComponentsList, error) {
	data, ok := d.Find(id)
	if !ok {
		return nil, nil
	}
	return ParseComponentsList(data)
}

func (r *requiredComponents) none() bool {
	return len(r.components) == 0 && len(r.safeAAD) == 0 && len(r.mediaTypes) == 0
}

// verifySupport checks that a leaf has what its group asks for.
func (r *requiredComponents) verifySupport(leaf *LeafNode) error {
	if r.none() {
		return nil
	}
	d, err := dictionaryIn(leaf.Extensions)
	if err != nil {
		return err
	}
	supported, err := d.list(ComponentAppComponents)
	if err == nil {
		err = r.components.coveredBy(supported)
	}
	if err != nil {
		return invalid(CheckComponentsSupport, "%w", err)
	}
	if supported, err = d.list(ComponentSafeAAD); err == nil {
		err = r.safeAAD.coveredBy(supported)
	}
	if err != nil {
		return invalid(CheckSafeAADSupport, "%w", err)
	}
	if len(r.mediaTypes) == 0 {
		return nil
	}
	receivable, err := d.mediaTypes()
	if err == nil {
		err = r.mediaTypes.coveredBy(receivable)
	}
	if err != nil {
		return invalid(CheckMediaTypesSupport, "%w", err)
	}
	return nil
}

// coveredBy returns an error that names the first type of l which is not in
// receivable. Both lists are as long as others like.
func (l MediaTypeList) coveredBy(receivable MediaTypeList) error {
	has := make(map[string]bool)
	for i := range receivable {
		has[receivable[i].key()] = true
	}
	for i := range l {
		if !has[l[i].key()] {
			return fmt.Errorf("media type %v is required", l[i])
		}
	}
	return nil
}

// coveredBy returns an error that names the first component of l which is not in
// supported. Those that come with the dictionary are not in need of being listed.
// Both lists are as long as others like.
func (l ComponentsList) coveredBy(supported ComponentsList) error {
	has := make(map[ComponentID]bool)
	for _, id := range supported {
		has[id] = true
	}
	for _, id := range l {
		if builtinComponents[id] == nil && !has[id] {
			return fmt.Errorf("component %#04x is required", uint16(id))
		}
	}
	return nil
}
