package mls

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A serialised state outlives the program that wrote it. testdata/state has
// states of each version there was, which have to be readable for ever:
//
//	go test ./mls -run TestStateOfEachVersionIsReadable -write-state
//
// adds the file of the present version once it has a number of its own.
var writeState = flag.Bool("write-state", false, "write testdata/state for the present state version")

// storedState is a serialised Group with what it has to be able to do.
type storedState struct {
	Name               string
	Suite              ciphersuite.ID
	Signer             testvectors.Hex
	State              testvectors.Hex
	EpochAuthenticator testvectors.Hex
	Message            testvectors.Hex // an application message to it
	Data               testvectors.Hex
	Proposals          int             // that it remembers
	Commit             testvectors.Hex // to the next epoch
	Next               testvectors.Hex // that epoch's authenticator
}

func TestStateOfEachVersionIsReadable(t *testing.T) {
	if *writeState {
		writeStates(t)
	}
	for v := uint16(1); v <= stateVersion; v++ {
		file := stateFile(v)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("there are no states of version %d: %v", v, err)
		}
		var states []storedState
		if err := json.Unmarshal(data, &states); err != nil {
			t.Fatal(err)
		}
		if len(states) != 3 {
			t.Fatalf("%s has %d states, want 3", file, len(states))
		}
		for _, state := range states {
			t.Run(fmt.Sprintf("version %d/%s", v, state.Name), state.check)
		}
	}
}

func stateFile(version uint16) string {
	return filepath.Join("testdata", "state", fmt.Sprintf("v%d.json", version))
}

func (s *storedState) check(t *testing.T) {
	c := emptyCrowd(t, s.Suite)
	signer, err := c.suite.ParseSigner(s.Signer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.newClient().cfg
	g, err := RestoreGroup(cfg, signer, s.State)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.EpochAuthenticator(); string(got) != string(s.EpochAuthenticator) {
		t.Errorf("epoch authenticator is %x, want %x", got, s.EpochAuthenticator)
	}
	if got := len(g.PendingProposals()); got != s.Proposals {
		t.Errorf("%d proposals are pending, want %d", got, s.Proposals)
	}
	received, err := g.Process(s.Message)
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := received.(*ReceivedApplication); !ok || string(a.Data) != string(s.Data) {
		t.Errorf("received %v, want %q", received, s.Data)
	}
	received, err = g.Process(s.Commit)
	if err != nil {
		t.Fatal(err)
	}
	next := received.(*ReceivedCommit).Group()
	if got := next.EpochAuthenticator(); string(got) != string(s.Next) {
		t.Errorf("next epoch authenticator is %x, want %x", got, s.Next)
	}
}

// writeStates writes the states of the present version.
func writeStates(t *testing.T) {
	cases := []struct {
		name  string
		suite ciphersuite.ID
		size  int
		setUp func(c *crowd)
	}{
		{"two members", suite1, 2, func(*crowd) {}},
		{"seven members, some proposals", ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256, 7, func(c *crowd) {
			for i := range c.members {
				c.commit(i, CommitOptions{})
			}
			c.propose(1, &Remove{Removed: 5})
			c.proposeUpdate(6, LeafChanges{})
		}},
		{"hybrid post-quantum suite", ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519, 3, func(c *crowd) {
			c.commit(2, CommitOptions{})
		}},
	}
	var states []storedState
	for _, o := range cases {
		c := newCrowd(t, o.suite, o.size)
		data := []byte("to whom it may concern")
		o.setUp(c)
		own := c.members[o.size-1]
		s := storedState{Name: o.name, Suite: o.suite, Data: data, Proposals: len(own.g.PendingProposals())}
		s.EpochAuthenticator = own.g.EpochAuthenticator()
		s.Signer = must(c.suite.MarshalSigner(own.id.Signer))
		sender := c.members[0].g
		pending := sender.proposals
		sender.proposals = nil // they would have to be committed first
		s.Message = must(sender.Protect(data, []byte("aad")))
		sender.proposals = pending
		s.State = must(own.g.Marshal())
		commit, err := sender.Commit(CommitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Commit = commit.Message()
		s.Next = commit.Group().EpochAuthenticator()
		states = append(states, s)
	}
	encoded, err := json.MarshalIndent(states, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(stateFile(stateVersion)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stateFile(stateVersion), append(encoded, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
