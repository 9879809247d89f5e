package mls

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// storedAPQ is a serialised APQGroup, and a pending commit of its own, with what they
// have to be able to do.
type storedAPQ struct {
	T, PQ   ciphersuite.ID
	Signer  testvectors.Hex
	State   testvectors.Hex
	Owes    bool
	Pending testvectors.Hex // APQPendingCommit
	Full    bool            // is the pending one
	Commit  testvectors.Hex // of the other member, a full one
	Next    testvectors.Hex // authenticators of the epochs that it leads to
	NextPQ  testvectors.Hex
}

func apqStateFile() string { return filepath.Join("testdata", "state", "apq-v1.json") }

// States that an earlier program has written are readable for ever. -write-state
// makes the file anew.
func TestStateOfPairsIsReadable(t *testing.T) {
	if *writeState {
		writeAPQStates(t)
	}
	data, err := os.ReadFile(apqStateFile())
	if err != nil {
		t.Fatal(err)
	}
	var states []storedAPQ
	if err := json.Unmarshal(data, &states); err != nil {
		t.Fatal(err)
	}
	if len(states) != 2 {
		t.Fatalf("%d states, want 2", len(states))
	}
	cfg := newAPQCrowd(t, 1).members[0].cfg
	for _, s := range states {
		signer, err := lookup(t, s.T).ParseSigner(s.Signer)
		if err != nil {
			t.Fatal(err)
		}
		g, err := RestoreAPQGroup(cfg, signer, signer, s.State)
		if err != nil {
			t.Fatal(err)
		}
		if g.Info().TSuite != s.T || g.Info().PQSuite != s.PQ || g.OwesFull() != s.Owes {
			t.Errorf("APQInfo %+v, owes a full commit: %t", g.Info(), g.OwesFull())
		}
		pending, err := g.RestorePending(signer, signer, s.Pending)
		if err != nil {
			t.Fatal(err)
		}
		if pending.Full() != s.Full || pending.Group().T().Epoch() != g.T().Epoch()+1 {
			t.Errorf("the pending commit is full: %t, and leads to epoch %d", pending.Full(), pending.Group().T().Epoch())
		}
		received, err := g.Process(s.Commit)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "epoch authenticator", received.Group().T().EpochAuthenticator(), s.Next)
		wantEqual(t, "epoch authenticator of the post-quantum group", received.Group().PQ().EpochAuthenticator(), s.NextPQ)
	}
}

// writeAPQStates writes a member that has just joined, and one that has not.
func writeAPQStates(t *testing.T) {
	t.Helper()
	var states []storedAPQ
	for member := range 2 {
		c := newAPQCrowd(t, 2)
		m, other := c.members[member], c.members[1-member]
		pending, err := m.g.Commit(APQCommitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s := storedAPQ{T: suite1, PQ: pureSuite, Owes: m.g.OwesFull(), Full: pending.Full()}
		if s.Pending, err = pending.Marshal(); err != nil {
			t.Fatal(err)
		}
		s.State = mustMarshalAPQ(t, m.g)
		if s.Signer, err = lookup(t, suite1).MarshalSigner(m.id.Signer); err != nil {
			t.Fatal(err)
		}
		full, err := other.g.Commit(APQCommitOptions{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Commit, s.Next, s.NextPQ = full.Message(), full.Group().T().EpochAuthenticator(), full.Group().PQ().EpochAuthenticator()
		states = append(states, s)
	}
	data, err := json.MarshalIndent(states, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(apqStateFile(), append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
