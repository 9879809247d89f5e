package mls

import (
	"errors"
	"fmt"
)

// A Component defines a part of the application that keeps data of its own in
// the groups and leaves of a client. A client that has one in
// [Config.Components] takes part in the proposals [AppDataUpdate] and
// [AppEphemeral], and says so in its capabilities.
// draft-ietf-mls-extensions, Section 4.
//
// Its functions may be called several times for one message, also for one that
// is then refused, and by several groups at once: they judge and must not act.
// They have to give the same result at all members. What comes from others may
// be anything.
type Component struct {
	// ID is the code point. Those from 0x8000 on are for private use.
	ID ComponentID
	// Name is for messages to people.
	Name string
	// SafeAAD says that the component speaks in [SafeAAD]s. The client's leaves say
	// so too.
	SafeAAD bool
	// Leaf is the component's entry in the leaves that the client makes. Default: none.
	Leaf []byte
	// Validate, if set, may refuse the component's entry in the
	// [AppDataDictionary] of the object that place names. data must not be changed.
	Validate func(place ExtensionPlace, data []byte) error
	// Update returns the component's entry in the GroupContext after a commit's
	// updates, in their order; there is at least one. old is the entry before,
	// nil if there is none, and must not be changed. An error refuses the
	// commit. Default: each update is the whole entry, so that the last one stays.
	Update func(old []byte, updates []ComponentUpdate) ([]byte, error)
	// Remove, if set, may refuse that the component's entry in the GroupContext
	// is removed.
	Remove func(old []byte, in ProposalContext) error
	// Ephemeral, if set, may refuse the data of an [AppEphemeral]. It is asked
	// when the proposal arrives, and again when a commit covers it.
	Ephemeral func(data []byte, in ProposalContext) error
}

// ComponentUpdate is one [AppDataUpdate], as [Component.Update] gets it.
type ComponentUpdate struct {
	Sender Sender
	Data   []byte
}

// builtinComponents are known wherever the extension app_data_dictionary is.
var builtinComponents = map[ComponentID]*Component{
	ComponentAppComponents: {ID: ComponentAppComponents, Name: "app_components", Validate: validateComponentsList},
	ComponentSafeAAD:       {ID: ComponentSafeAAD, Name: "safe_aad", Validate: validateComponentsList},
}

// validateComponentsList checks a list where it means something.
func validateComponentsList(place ExtensionPlace, data []byte) error {
	if place != InLeafNode && place != InGroupContext {
		return nil
	}
	_, err := ParseComponentsList(data)
	return err
}

// component returns what the client knows of a component, nil if that is nothing.
func (c *Config) component(id ComponentID) *Component {
	for i := range c.Components {
		if c.Components[i].ID == id {
			return &c.Components[i]
		}
	}
	return builtinComponents[id]
}

// verifyComponentIDs checks that each component of the application has a number
// of its own.
func (c *Config) verifyComponentIDs() error {
	for i := range c.Components {
		id := c.Components[i].ID
		if id == 0 || isGrease(uint16(id)) && id < 0x8000 {
			return fmt.Errorf("mls: Config.Components: ID %#04x is reserved", uint16(id))
		}
		if c.component(id) != &c.Components[i] || builtinComponents[id] != nil {
			return fmt.Errorf("mls: Config.Components: component %#04x is defined already", uint16(id))
		}
	}
	return nil
}

// verifyDictionary checks an app_data_dictionary, and in it the entries of
// those components that the client knows.
func (c *Config) verifyDictionary(place ExtensionPlace, data []byte) error {
	d, err := parseDictionaryAliased(data)
	if err != nil {
		return err
	}
	for i := range d {
		if known := c.component(d[i].ID); known != nil {
			if err := known.validate(place, d[i].Data); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Component) validate(place ExtensionPlace, data []byte) error {
	if c.Validate == nil {
		return nil
	}
	err := c.Validate(place, data)
	if err == nil || namesRule(err) {
		return err
	}
	return invalid(CheckComponentData, "component %s in a %v: %w", c.Name, place, err)
}

// namesRule reports whether an error is for a rule that has a name already.
func namesRule(err error) bool {
	var broken *Error
	return errors.As(err, &broken)
}
