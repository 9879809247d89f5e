package mls

import (
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// greaseValue returns one of the code points that are reserved in each registry so that
// nobody ever gives them a meaning. RFC 9420, Section 13.5.
func greaseValue(b byte) uint16 {
	digit := uint16(b % 15) // 0x0A0A to 0xEAEA
	return digit<<12 | 0x0A0A | digit<<4
}

func isGrease[T ~uint16](t T) bool { return t>>8 == t&0xFF && t&0x0F == 0x0A && t != 0xFAFA }

// maxGreaseData bounds the data of a GREASE extension.
const maxGreaseData = 16

// greaseExtensions adds an extension that means nothing to those of a leaf or a
// GroupInfo, if the client is to do so.
func (c *Config) greaseExtensions(extensions *Extensions) error {
	if !c.GREASE {
		return nil
	}
	var random [2 + maxGreaseData]byte
	if _, err := io.ReadFull(c.Rand, random[:]); err != nil {
		return fmt.Errorf("mls: drawing GREASE: %w", err)
	}
	x := Extension{Type: ExtensionType(greaseValue(random[0])), Data: random[2 : 2+int(random[1])%(maxGreaseData+1)]}
	*extensions = extensions.with(x)
	return nil
}

// greaseKeyPackage does so for a key package, whose extensions its leaf's
// capabilities have to list: it takes a type that they do. RFC 9420, Section 10.
func (c *Config) greaseKeyPackage(k *KeyPackage) error {
	if err := c.greaseDictionary(k.Extensions, false); err != nil {
		return err
	}
	var extensions Extensions
	if err := c.greaseExtensions(&extensions); err != nil {
		return err
	}
	for _, x := range extensions {
		listed := k.LeafNode.Capabilities.Extensions
		x.Type = listed[slices.IndexFunc(listed, isGrease[ExtensionType])]
		k.Extensions = k.Extensions.with(x)
	}
	return nil
}

// greaseLeaf adds values that mean nothing to a leaf's capabilities and
// extensions, if the client is to do so.
func (c *Config) greaseLeaf(leaf *LeafNode) error {
	if !c.GREASE {
		return nil
	}
	var random [4]byte
	if _, err := io.ReadFull(c.Rand, random[:]); err != nil {
		return fmt.Errorf("mls: drawing GREASE: %w", err)
	}
	if err := c.greaseExtensions(&leaf.Extensions); err != nil {
		return err
	}
	if err := c.greaseDictionary(leaf.Extensions, true); err != nil {
		return err
	}
	capabilities := &leaf.Capabilities
	capabilities.CipherSuites = insertGrease(capabilities.CipherSuites, ciphersuite.ID(greaseValue(random[0])))
	capabilities.Extensions = insertGrease(capabilities.Extensions, ExtensionType(greaseValue(random[1])))
	capabilities.Proposals = insertGrease(capabilities.Proposals, ProposalType(greaseValue(random[2])))
	capabilities.Credentials = insertGrease(capabilities.Credentials, CredentialType(greaseValue(random[3])))
	for _, x := range leaf.Extensions { // what a leaf uses it has to support
		if !capabilities.supportsExtension(x.Type) {
			capabilities.Extensions = append(slices.Clip(capabilities.Extensions), x.Type)
		}
	}
	return nil
}

func insertGrease[T ~uint16](values []T, grease T) []T {
	return append(slices.Clone(values), grease)
}

// greaseComponent is greaseValue for components, whose values from 0x8000 on are
// for private use. draft-ietf-mls-extensions, Section 5.1.
func greaseComponent(b byte) ComponentID { return ComponentID(greaseValue(b % 8)) }

// greaseDictionary adds components that mean nothing to the app_data_dictionary
// among extensions, if the client is to do so and there is one. inLeaf says
// that the dictionary's lists are of what is supported.
func (c *Config) greaseDictionary(extensions Extensions, inLeaf bool) error {
	at := slices.IndexFunc(extensions, func(x Extension) bool { return x.Type == ExtensionAppDataDictionary })
	if !c.GREASE || at < 0 {
		return nil
	}
	d, err := extensions.AppDataDictionary()
	if err != nil {
		return err
	}
	var random [4 + maxGreaseData]byte
	if _, err := io.ReadFull(c.Rand, random[:]); err != nil {
		return fmt.Errorf("mls: drawing GREASE: %w", err)
	}
	d = d.with(ComponentData{ID: greaseComponent(random[0]), Data: random[4 : 4+int(random[1])%(maxGreaseData+1)]})
	for i, list := range []ComponentID{ComponentAppComponents, ComponentSafeAAD} {
		if _, present := d.Find(list); !inLeaf || !present {
			continue
		}
		if d, err = d.listing(list, ComponentsList{greaseComponent(random[2+i])}); err != nil {
			return err
		}
	}
	extensions[at], err = d.Extension()
	return err
}
