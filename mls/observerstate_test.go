package mls

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
)

// publicCrowd returns a group of n whose members have a custom proposal, SelfRemove and
// Updates with one signature, and what observes it: it has seen a proposal of each kind.
func publicCrowd(t failer, n int) (*crowd, *Observer) {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) {
		cfg.Proposals, cfg.Extensions = []CustomProposalType{paint}, []CustomExtensionType{{Type: colour, Name: "colour"}}
		cfg.SelfRemove, cfg.OneSignature = true, true
	}
	c.format = WireFormatPublicMessage
	authority, err := c.suite.GenerateSigner(c.rand)
	if err != nil {
		t.Fatal(err)
	}
	key := must(c.suite.SignaturePublicKey(authority.Public()))
	c.found(GroupOptions{Extensions: Extensions{ExternalSenders(ExternalSender{SignatureKey: key, Credential: BasicCredential([]byte("authority"))})}})
	c.add(0, n-1)
	o, err := NewObserver(c.members[0].cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{})), nil)
	if err != nil {
		t.Fatal(err)
	}
	messages := [][]byte{
		c.propose(0, paint.NewProposal([]byte("red"))),
		c.propose(1, &SelfRemove{}),
		c.proposeUpdate(2, LeafChanges{}),
	}
	add := c.invite(LeafOptions{})
	for _, outside := range [][]byte{
		c.externalProposal(Sender{Type: SenderNewMemberProposal}, c.invited[0].id.Signer, add),
		c.externalProposal(Sender{Type: SenderExternal}, authority, &Remove{Removed: LeafIndex(n - 1)}),
	} {
		for i := range c.members {
			c.process(i, outside)
		}
		messages = append(messages, outside)
	}
	for _, m := range messages {
		if _, err := o.Process(m); err != nil {
			t.Fatal(err)
		}
	}
	return c, o
}

// An observer that is restarted in the middle of an epoch knows the proposals that it
// has seen, and all that it knew of the group.
func TestObserversAreRestored(t *testing.T) {
	c, before := publicCrowd(t, 5)
	o := before.restored(t)
	c.wantSameView(o)
	if n := len(o.PendingProposals()); n != 5 {
		t.Errorf("%d proposals are pending, want 5", n)
	}
	b := c.members[1].g.ComponentKeys(thisComponent)
	kem, sealed, err := o.SafeEncryptToGroup(thisComponent, "label", nil, []byte("to the group"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := b.DecryptToGroup("label", nil, kem, sealed); string(opened) != "to the group" {
		t.Errorf("decrypted %q, %v", opened, err)
	}
	pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	received, err := o.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	commit := received.(*ObservedCommit)
	if len(commit.Proposals) != 5 {
		t.Errorf("the commit covers %d proposals, want 5", len(commit.Proposals))
	}
	c.deliver(0, pending)
	c.wantSameView(commit.Observer())
	c.wantSameView(commit.Observer().restored(t))
}

// A proposal that was stored is judged anew, as it is valid at one time and not at another.
func TestRestoredObserversVerifyProposals(t *testing.T) {
	c, before := publicCrowd(t, 5)
	pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	o := before.restored(t)
	for _, p := range o.proposals {
		if remove, ok := p.proposal.(*Remove); ok {
			remove.Removed = 9
		}
	}
	_, err = o.restored(t).Process(pending.Message())
	wantCheck(t, err, CheckProposalRemoveBlank)
}

func TestStatesOfObserversThatAreNoneAreRefused(t *testing.T) {
	_, o := publicCrowd(t, 4)
	state := o.Marshal()
	for n := range state {
		if _, err := RestoreObserver(o.cfg, state[:n]); err == nil {
			t.Fatalf("%d of %d octets are accepted", n, len(state))
		}
	}
	if _, err := RestoreObserver(o.cfg, append(o.Marshal(), 0)); err == nil {
		t.Error("a further octet is accepted")
	}
	state[1]++
	if _, err := RestoreObserver(o.cfg, state); !errors.Is(err, ErrUnsupported) {
		t.Errorf("another version: error %v, want ErrUnsupported", err)
	}
	if _, err := RestoreObserver(&Config{}, o.Marshal()); err == nil {
		t.Error("an empty Config is accepted")
	}
}

// observerState is a serialised Observer with what it has to be able to do.
type observerState struct {
	State     testvectors.Hex
	Proposals int             // that it remembers
	Commit    testvectors.Hex // to the next epoch, which covers them
	TreeHash  testvectors.Hex // of that
}

// States that an earlier program has written are readable for ever. -write-state
// makes the file anew.
func TestStatesOfObserversAreReadable(t *testing.T) {
	file := filepath.Join("testdata", "state", "observer-v1.json")
	c, o := publicCrowd(t, 5)
	if *writeState {
		pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
		if err != nil {
			t.Fatal(err)
		}
		s := observerState{o.Marshal(), len(o.proposals), pending.Message(), pending.Group().TreeHash()}
		encoded, err := json.MarshalIndent(s, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(encoded, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s observerState
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	restored, err := RestoreObserver(o.cfg, s.State)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(restored.PendingProposals()); got != s.Proposals || got != 5 {
		t.Errorf("%d proposals are pending, want %d", got, s.Proposals)
	}
	received, err := restored.Process(s.Commit)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "tree hash", received.(*ObservedCommit).Observer().TreeHash(), s.TreeHash)
}

// An observer that is restored from anything at all does not panic, nor allocate
// without measure, and comes back as it is.
func FuzzRestoreObserver(f *testing.F) {
	c, o := publicCrowd(f, 4)
	f.Add(o.Marshal())
	f.Add(c.observer(0).Marshal())
	f.Fuzz(func(t *testing.T, state []byte) {
		allocationsFor(t, len(state), func() {
			restored, err := RestoreObserver(o.cfg, state)
			if err != nil {
				return
			}
			wantEqual(t, "state", restored.restored(t).Marshal(), restored.Marshal())
		})
	})
}
