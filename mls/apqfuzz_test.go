package mls

import (
	"bytes"
	"testing"
)

// What decodes as a pair encodes to the same octets, and no message changes the state
// of a pair of groups that does not come from a member. An observer refuses it just as well,
// without a word to remember.
func FuzzAPQProcess(f *testing.F) {
	c := newAPQCrowd(f, 2)
	for _, o := range []APQCommitOptions{{}, {Full: true}, {T: CommitOptions{WireFormat: WireFormatPublicMessage}}, {Full: true, T: CommitOptions{WireFormat: WireFormatPublicMessage}}} {
		p, err := c.members[0].g.Commit(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Message())
	}
	f.Add(c.members[0].keyPackagePair(f))
	m := c.members[1]
	before := mustMarshalAPQ(f, m.g)
	observer := c.observer(1)
	f.Fuzz(func(t *testing.T, message []byte) {
		if p, err := m.g.t.cfg.parsePair(message, 0); err == nil {
			wantEqual(t, "pair", joinPair(p.tData, p.pData), message)
		}
		if _, err := ParseAPQKeyPackage(message); err == nil && !IsAPQMessagePair(message) {
			t.Error("a pair of key packages that is no pair")
		}
		g, err := RestoreAPQGroup(m.cfg, m.id.Signer, m.id.Signer, before)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Process(message); err != nil {
			wantEqual(t, "state", mustMarshalAPQ(t, g), before)
		}
		o := &APQObserver{t: &Observer{publicState: observer.t.publicState}, pq: &Observer{publicState: observer.pq.publicState}}
		if seen, err := o.Process(message); (seen == nil) != (err != nil) || err != nil && len(o.t.proposals)+len(o.pq.proposals) > 0 {
			t.Errorf("seen as %+v, %v, with %d and %d proposals", seen, err, len(o.t.proposals), len(o.pq.proposals))
		}
	})
}

func (m *apqClient) keyPackagePair(t failer) []byte {
	t.Helper()
	b, err := NewAPQKeyPackage(m.cfg, m.keyPackageOptions())
	if err != nil {
		t.Fatal(err)
	}
	return b.Message()
}

// What is decoded of an APQInfo and its updates encodes to the same octets.
func FuzzAPQInfo(f *testing.F) {
	info := APQInfo{TGroupID: []byte("t"), PQGroupID: []byte("pq"), TSuite: suite1, PQSuite: pureSuite, TEpoch: 1, PQEpoch: 1}
	for _, u := range []apqInfoUpdate{{info: info}, {kind: apqNewTEpoch, epoch: 5}, {kind: apqNewPQEpoch, epoch: 2}} {
		f.Add(marshal(&u))
	}
	f.Add(marshal(&info))
	f.Fuzz(func(t *testing.T, data []byte) {
		if i, err := ParseAPQInfo(data); err == nil {
			wantEqual(t, "APQInfo", marshal(&i), data)
		}
		var u apqInfoUpdate
		if unmarshal(data, &u) == nil {
			wantEqual(t, "APQInfoUpdate", marshal(&u), data)
		}
		after, err := updateAPQInfo(marshal(&info), []ComponentUpdate{{Data: data}})
		if err == nil && !bytes.HasPrefix(after, marshal(&info)[:len(after)-16]) {
			t.Errorf("%x becomes %x", marshal(&info), after)
		}
	})
}

func FuzzRestoreAPQGroup(f *testing.F) {
	c := newAPQCrowd(f, 2)
	m := c.members[0]
	f.Add(mustMarshalAPQ(f, m.g))
	f.Fuzz(func(t *testing.T, state []byte) {
		g, err := RestoreAPQGroup(m.cfg, m.id.Signer, m.id.Signer, state)
		if err != nil {
			return
		}
		again, err := RestoreAPQGroup(m.cfg, m.id.Signer, m.id.Signer, mustMarshalAPQ(t, g))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "state", mustMarshalAPQ(t, again), mustMarshalAPQ(t, g))
	})
}
