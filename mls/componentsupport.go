package mls

import "fmt"

// What the draft leaves open: that a GroupContext names components which its
// members have to support, and nothing says who checks that. Here it is checked
// wherever the extension required_capabilities is; and so are the media types
// that a GroupContext requires. draft-ietf-mls-extensions, Sections 5 and 6.2.3,
// and its issue 102.

// requiredComponents is what a GroupContext asks of all leaves beyond their
// capabilities.
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
	required.mediaTypes, err = d.mediaTypes()
	return required, err
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
// receivable.
func (l MediaTypeList) coveredBy(receivable MediaTypeList) error {
	for _, t := range l {
		if !receivable.Contains(t) {
			return fmt.Errorf("media type %v is required", t)
		}
	}
	return nil
}

// coveredBy returns an error that names the first component of l which is not in
// supported. Those that come with the dictionary are not in need of being listed.
func (l ComponentsList) coveredBy(supported ComponentsList) error {
	for _, id := range l {
		if builtinComponents[id] == nil && !supported.Contains(id) {
			return fmt.Errorf("component %#04x is required", uint16(id))
		}
	}
	return nil
}
