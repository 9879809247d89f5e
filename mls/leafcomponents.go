package mls

// describeComponents says in a leaf of the client's own which components it
// has, if the leaf may hold a dictionary. What the caller has put there stays.
// draft-ietf-mls-extensions, Sections 4.6 and 5.
func (c *Config) describeComponents(leaf *LeafNode) error {
	if !leaf.Capabilities.supportsExtension(ExtensionAppDataDictionary) {
		return nil
	}
	d, err := leaf.Extensions.AppDataDictionary()
	if err != nil {
		return err
	}
	var all, speaking ComponentsList
	for i := range c.Components {
		own := &c.Components[i]
		all = append(all, own.ID)
		if own.SafeAAD {
			speaking = append(speaking, own.ID)
		}
		if _, ok := d.Find(own.ID); !ok && own.Leaf != nil {
			d = d.with(ComponentData{ID: own.ID, Data: own.Leaf})
		}
	}
	if c.OneSignature {
		all = append(all, oneSignatureComponents...)
	}
	// A client with a dictionary always has this entry, if only an empty one.
	if d, err = d.listing(ComponentAppComponents, all); err != nil {
		return err
	}
	if speaking != nil {
		if d, err = d.listing(ComponentSafeAAD, speaking); err != nil {
			return err
		}
	}
	x, err := d.Extension()
	if err != nil {
		return err
	}
	leaf.Extensions = leaf.Extensions.with(x)
	return nil
}

// listing returns d with components added to the list of one.
func (d AppDataDictionary) listing(in ComponentID, components ComponentsList) (AppDataDictionary, error) {
	list, err := d.list(in)
	if err != nil {
		return nil, err
	}
	for _, id := range components {
		if !list.Contains(id) {
			list = append(list, id)
		}
	}
	return d.with(ComponentData{ID: in, Data: list.Marshal()}), nil
}
