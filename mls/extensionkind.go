package mls

import (
	"errors"
	"fmt"
)

// extensionKinds is the table of the extension types that a client understands,
// each with the check of its data in each place.
type extensionKinds map[ExtensionType]func(place ExtensionPlace, data []byte) error

// builtinExtensions are those of RFC 9420 and the Safe API.
var builtinExtensions = extensionKinds{
	ExtensionApplicationID:        anyData,
	ExtensionRatchetTree:          anyData, // parsed where it is used
	ExtensionExternalPub:          anyData,
	ExtensionRequiredCapabilities: inContext(func(data []byte) error { _, err := parseRequiredCapabilities(data); return err }),
	ExtensionExternalSenders:      inContext(func(data []byte) error { _, err := parseExternalSenders(data); return err }),
	ExtensionAppDataDictionary:    anyData, // see [Config.verifyExtensions]
}

func anyData(ExtensionPlace, []byte) error { return nil }

func inContext(check func([]byte) error) func(ExtensionPlace, []byte) error {
	return func(place ExtensionPlace, data []byte) error {
		if place != InGroupContext {
			return nil
		}
		return check(data)
	}
}

// with returns the table with the application's types added.
func (k extensionKinds) with(custom []CustomExtensionType) (extensionKinds, error) {
	if len(custom) == 0 {
		return k, nil
	}
	all := make(extensionKinds, len(k)+len(custom))
	for t, validate := range k {
		all[t] = validate
	}
	for _, c := range custom {
		if _, ok := all[c.Type]; ok {
			return nil, fmt.Errorf("mls: Config.Extensions: type %#04x is defined already", uint16(c.Type))
		}
		if c.Validate == nil {
			c.Validate = anyData
		}
		all[c.Type] = c.Validate
	}
	return all, nil
}

// verifyExtensions checks the extensions of an object, and what components have in it.
func (c *Config) verifyExtensions(place ExtensionPlace, extensions Extensions) error {
	if err := c.extensions.verify(place, extensions); err != nil {
		return err
	}
	if data, ok := extensions.Find(ExtensionAppDataDictionary); ok {
		return c.verifyDictionary(place, data)
	}
	return nil
}

// verify checks the data of those extensions that the client
// understands, and that each type occurs once. RFC 9420, Section 13.4.
func (k extensionKinds) verify(place ExtensionPlace, extensions Extensions) error {
	if err := extensions.verifyTypes(); err != nil {
		return err
	}
	for i := range extensions {
		x := &extensions[i]
		if validate, ok := k[x.Type]; ok {
			err := validate(place, x.Data)
			if broken := (*Error)(nil); errors.As(err, &broken) {
				return err // it names a rule of its own
			}
			if err != nil {
				return invalid(CheckExtensionData, "extension %#04x in a %v: %w", uint16(x.Type), place, err)
			}
		}
	}
	return nil
}
