package mls

import "testing"

// largeGroup is a fresh group: its creator, client 0 of c, has added all others
// with one commit. Of these only the last has joined.
func largeGroup(b *testing.B, n int) (creator, last *client) {
	b.Helper()
	c := emptyCrowd(b, suite1)
	c.found(GroupOptions{})
	creator = c.members[0]
	welcome, bundle := c.addMany(n - 1)
	last = c.invited[len(c.invited)-1]
	g, err := Join(last.cfg, welcome, bundle, JoinOptions{})
	if err != nil {
		b.Fatal(err)
	}
	last.g = g
	return creator, last
}

// addMany has the creator add n new clients. It returns the Welcome and the key
// package of the last, who has not joined yet.
func (c *crowd) addMany(n int) (welcome []byte, last *KeyPackageBundle) {
	c.t.Helper()
	var o CommitOptions
	for range n {
		o.Proposals = append(o.Proposals, c.invite(LeafOptions{}))
	}
	pending, err := c.members[0].g.Commit(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.members[0].g = pending.Group()
	return pending.Welcome(), c.invited[len(c.invited)-1].bundle
}

const large = 1000

func BenchmarkLargeCreate(b *testing.B) {
	creator, _ := largeGroup(b, large)
	b.ReportAllocs()
	for b.Loop() {
		pending, err := creator.g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
		if err != nil {
			b.Fatal(err)
		}
		pending.Erase()
	}
}

func BenchmarkLargeProcess(b *testing.B) {
	creator, last := largeGroup(b, large)
	pending, err := creator.g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		received, err := last.g.Process(pending.Message())
		if err != nil {
			b.Fatal(err)
		}
		received.(*ReceivedCommit).Erase()
	}
}

func BenchmarkLargeJoin(b *testing.B) {
	c := emptyCrowd(b, suite1)
	c.found(GroupOptions{})
	welcome, bundle := c.addMany(large - 1)
	last := c.invited[len(c.invited)-1]
	state, err := bundle.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		bundle, err := RestoreKeyPackage(last.cfg, last.id.Signer, state)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		g, err := Join(last.cfg, welcome, bundle, JoinOptions{})
		if err != nil {
			b.Fatal(err)
		}
		g.Erase()
	}
}
