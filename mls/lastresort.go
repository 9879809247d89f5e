package mls

import (
	"context"
	"fmt"
)

// ComponentLastResort marks a key package of last resort, in the dictionary of its
// extensions. It has no data. draft-ietf-mls-extensions, Section 6.4.
const ComponentLastResort ComponentID = 0x0004

// LastResort reports whether k may be used more than once, as others have been
// used up ([KeyPackageOptions.LastResort]). A delivery service hands such a key
// package out only then; members who see one in an [Add] may have a policy for it.
// An error says that the mark is not as it should be.
func (k *KeyPackage) LastResort() (bool, error) {
	dictionary, err := k.Extensions.AppDataDictionary()
	if err != nil {
		return false, err
	}
	data, marked := dictionary.Find(ComponentLastResort)
	if len(data) > 0 {
		return false, invalid(CheckLastResort, "last_resort_key_package has %d octets of data, want none", len(data))
	}
	return marked, nil
}

// markLastResort adds the mark to the extensions of a key package.
func markLastResort(extensions Extensions) (Extensions, error) {
	dictionary, err := extensions.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	x, err := dictionary.with(ComponentData{ID: ComponentLastResort}).Extension()
	return extensions.with(x), err
}

// usesUp returns what a Welcome that was joined by does to the key package with
// that record: it is deleted, unless it is one of last resort.
func (b *KeyPackageBundle) usesUp(name string, version uint64) ([]Change, error) {
	lastResort, err := b.keyPackage.LastResort()
	if err != nil || lastResort {
		return nil, err
	}
	return []Change{{Name: name, Version: version}}, nil
}

// EraseKeyPackage deletes a key package (an MLSMessage) of the client with its
// private keys, for example one of last resort whose place another has taken. Who
// was invited by it cannot join any more. An error matches [ErrNotStored] if there
// is none, and [ErrConflict] if it was used at the same time.
func (c *Client) EraseKeyPackage(ctx context.Context, keyPackage []byte) error {
	unverified, err := ParseKeyPackage(keyPackage)
	if err != nil {
		return err
	}
	k := unverified.keyPackage
	s, err := c.cfg.Suites.Lookup(k.CipherSuite)
	if err != nil {
		return fmt.Errorf("mls: erasing a key package: %w", err)
	}
	name := keyPackageRecord(k.Ref(s))
	record, err := c.store.Get(ctx, name)
	if err == nil {
		clear(record.Value)
		err = c.store.Update(ctx, []Change{{Name: name, Version: record.Version}})
	}
	if err != nil {
		return fmt.Errorf("mls: erasing a key package: %w", err)
	}
	return nil
}
