package conformance

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// componentData has the encodings by which components speak
// (draft-ietf-mls-extensions). The format is our own.
type componentData struct {
	SafeAAD           encodedEntries `json:"safe_aad"`
	AppDataDictionary encodedEntries `json:"app_data_dictionary"`
	ComponentsList    encodedIDs     `json:"components_list"`
}

// encodedEntries are entries of components and how they are encoded together.
type encodedEntries struct {
	Entries []componentEntry `json:"entries"`
	Encoded hexBytes         `json:"encoded"`
}

type componentEntry struct {
	Component uint16   `json:"component_id"`
	Data      hexBytes `json:"data"`
}

type encodedIDs struct {
	IDs     []uint16 `json:"component_ids"`
	Encoded hexBytes `json:"encoded"`
}

func (*componentData) suiteID() ciphersuite.ID { return 0 }

func (v *componentData) check(c *checker) {
	if parsed, err := mls.ParseSafeAAD(v.SafeAAD.Encoded); c.ok("safe_aad", err) {
		c.entries("safe_aad", len(parsed), v.SafeAAD.Entries, func(i int) (mls.ComponentID, []byte) { return parsed[i].ID, parsed[i].Data })
		encoded, err := v.SafeAAD.encodeSafeAAD()
		c.ok("encoding safe_aad", err)
		c.equal("safe_aad, encoded", encoded, v.SafeAAD.Encoded)
	}
	if parsed, err := mls.ParseAppDataDictionary(v.AppDataDictionary.Encoded); c.ok("app_data_dictionary", err) {
		c.entries("app_data_dictionary", len(parsed), v.AppDataDictionary.Entries, func(i int) (mls.ComponentID, []byte) { return parsed[i].ID, parsed[i].Data })
		encoded, err := v.AppDataDictionary.encodeDictionary()
		c.ok("encoding app_data_dictionary", err)
		c.equal("app_data_dictionary, encoded", encoded, v.AppDataDictionary.Encoded)
	}
	if parsed, err := mls.ParseComponentsList(v.ComponentsList.Encoded); c.ok("components_list", err) {
		want := v.ComponentsList.list()
		c.that(slices.Equal(parsed, want), "components_list is %v, want %v", parsed, want)
		c.equal("components_list, encoded", want.Marshal(), v.ComponentsList.Encoded)
	}
}

// entries compares n decoded entries.
func (c *checker) entries(what string, n int, want []componentEntry, entry func(int) (mls.ComponentID, []byte)) {
	if !c.that(n == len(want), "%s has %d entries, want %d", what, n, len(want)) {
		return
	}
	for i, w := range want {
		id, data := entry(i)
		c.that(uint16(id) == w.Component, "%s: component of entry %d is %#04x, want %#04x", what, i, uint16(id), w.Component)
		c.equal(fmt.Sprintf("%s: data of entry %d", what, i), data, w.Data)
	}
}

func (e *encodedEntries) encodeSafeAAD() ([]byte, error) {
	var aad mls.SafeAAD
	for _, entry := range e.Entries {
		aad = append(aad, mls.SafeAADItem{ID: mls.ComponentID(entry.Component), Data: entry.Data})
	}
	return aad.Marshal()
}

func (e *encodedEntries) encodeDictionary() ([]byte, error) {
	var d mls.AppDataDictionary
	for _, entry := range e.Entries {
		d = append(d, mls.ComponentData{ID: mls.ComponentID(entry.Component), Data: entry.Data})
	}
	x, err := d.Extension()
	return x.Data, err
}

func (e *encodedIDs) list() mls.ComponentsList {
	list := make(mls.ComponentsList, len(e.IDs))
	for i, id := range e.IDs {
		list[i] = mls.ComponentID(id)
	}
	return list
}

// generateComponentData makes cases of 0, 1, 2... entries.
func generateComponentData(g *generator) (vector, error) {
	v := new(componentData)
	entries := func() []componentEntry {
		list, id := []componentEntry{}, -1
		for i := range g.index {
			id += 1 + g.number(1<<16/g.index)
			list = append(list, componentEntry{uint16(id), g.octets([]int{0, 1, 63, 64, 20}[i%5])})
		}
		return list
	}
	var err error
	v.SafeAAD.Entries = entries()
	if v.SafeAAD.Encoded, err = v.SafeAAD.encodeSafeAAD(); err != nil {
		return nil, err
	}
	v.AppDataDictionary.Entries = entries()
	if v.AppDataDictionary.Encoded, err = v.AppDataDictionary.encodeDictionary(); err != nil {
		return nil, err
	}
	v.ComponentsList.IDs = []uint16{}
	for range g.index {
		v.ComponentsList.IDs = append(v.ComponentsList.IDs, uint16(g.number(1<<16)))
	}
	v.ComponentsList.Encoded = v.ComponentsList.list().Marshal()
	return v, nil
}
