package mls

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// What a client has stored outlives the program as well. testdata/store has stores
// with everything that a client may have in one, in each form that there was. They
// have to be usable for ever:
//
//	go test ./mls -run TestStoresOfEachVersionAreUsable -write-state
//
// adds a file once one of the records has another version.

// storedVersions are those of the records that clients write at present.
var storedVersions = versionsOfRecords{
	Head: headVersion, State: stateVersion, Pending: pendingVersion, PastEpoch: pastEpochVersion, KeyPackage: keyPackageVersion,
}

type versionsOfRecords struct{ Head, State, Pending, PastEpoch, KeyPackage uint16 }

// storedClient is all that a client has stored, with what it has to be able to do.
type storedClient struct {
	Versions versionsOfRecords
	Suite    ciphersuite.ID
	Signers  []testvectors.Hex // of the client, of the leaf and of what is pending
	Records  map[string]storedRecord

	Group              testvectors.Hex
	EpochAuthenticator testvectors.Hex
	Late               []storedMessage // of past epochs
	Messages           []storedMessage // of the present epoch, in an order other than that of sending
	Update             testvectors.Hex // another's commit of the client's own Update, with another key
	Updated            testvectors.Hex // the authenticator of the epoch that it leads to
	Commit             testvectors.Hex // the client's own, which is pending
	Committed          testvectors.Hex
	Welcome            testvectors.Hex // for the key package
	Joined             testvectors.Hex
}

type storedRecord struct {
	Version uint64
	Value   testvectors.Hex
}

type storedMessage struct {
	Message testvectors.Hex
	Data    string
}

func TestStoresOfEachVersionAreUsable(t *testing.T) {
	clients := storedClients(t)
	if last := len(clients); *writeState && (last == 0 || clients[last-1].Versions != storedVersions) {
		writeStoredClient(t, last+1)
		clients = storedClients(t)
	}
	for i, s := range clients {
		t.Run(filepath.Base(storeFile(i+1)), func(t *testing.T) {
			t.Run("everything that comes is read", s.checkMessages)
			t.Run("another's commit leads on", s.checkUpdate)
			t.Run("its own commit leads on", s.checkCommit)
			t.Run("the key package admits it", s.checkKeyPackage)
		})
	}
	if len(clients) == 0 {
		t.Fatal("there are no stored clients")
	}
	if newest := clients[len(clients)-1].Versions; newest != storedVersions {
		t.Errorf("the last file has records of versions %+v, clients write %+v", newest, storedVersions)
	}
}

// storedClients returns what is in testdata/store, in order.
func storedClients(t *testing.T) (clients []*storedClient) {
	t.Helper()
	for {
		data, err := os.ReadFile(storeFile(len(clients) + 1))
		if errors.Is(err, fs.ErrNotExist) {
			return clients
		}
		if err != nil {
			t.Fatal(err)
		}
		s := new(storedClient)
		if err := json.Unmarshal(data, s); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, s)
	}
}

func storeFile(n int) string { return filepath.Join("testdata", "store", fmt.Sprintf("v%d.json", n)) }

// device returns the client as it is after a restart.
func (s *storedClient) device(t *testing.T) *device {
	t.Helper()
	f := &fleet{crowd: emptyCrowd(t, s.Suite)}
	d := f.newDevice()
	for _, encoded := range s.Signers {
		signer, err := f.suite.ParseSigner(encoded)
		if err != nil {
			t.Fatal(err)
		}
		d.keys = append(d.keys, signer)
	}
	for name, r := range s.Records {
		d.memory.records[name] = Record{bytes.Clone(r.Value), r.Version}
	}
	d.c = d.newClient()
	var err error
	if d.m, err = d.c.Open(background, s.Group); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "epoch authenticator", d.view().EpochAuthenticator(), s.EpochAuthenticator)
	return d
}

func (s *storedClient) checkMessages(t *testing.T) {
	d := s.device(t)
	for _, m := range append(s.Late, s.Messages...) {
		d.reads(m.Message, m.Data)
		d.restart()
		d.refuses(m.Message, nil)
	}
	if len(s.Late) < 2 || len(s.Messages) < 3 {
		t.Error("there are too few messages to show anything")
	}
}

func (s *storedClient) checkUpdate(t *testing.T) {
	d := s.device(t)
	d.process(s.Update)
	d.restart()
	wantEqual(t, "epoch authenticator", d.view().EpochAuthenticator(), s.Updated)
}

func (s *storedClient) checkCommit(t *testing.T) {
	d := s.device(t)
	out, err := d.m.Pending()
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "pending commit", out.Commit, s.Commit)
	d.process(s.Commit)
	d.restart()
	wantEqual(t, "epoch authenticator", d.view().EpochAuthenticator(), s.Committed)
	for _, m := range s.Messages { // which are late now
		d.reads(m.Message, m.Data)
	}
}

func (s *storedClient) checkKeyPackage(t *testing.T) {
	d := s.device(t)
	d.m = nil
	d.join(s.Welcome, nil)
	d.restart()
	wantEqual(t, "epoch authenticator", d.view().EpochAuthenticator(), s.Joined)
}

// writeStoredClient writes what present clients store to the nth file.
func writeStoredClient(t *testing.T, n int) {
	f := newFleet(t, 3)
	peer, d := f.devices[0], f.devices[1]
	s := storedClient{Versions: storedVersions, Suite: f.suite.ID(), Group: d.m.GroupID()}
	say := func(list *[]storedMessage, data string) {
		*list = append(*list, storedMessage{peer.protect(data), data})
	}
	for range DefaultPastEpochs { // one message is read, others are late
		say(&s.Late, fmt.Sprintf("overtaken in epoch %d", peer.view().Epoch()))
		d.reads(peer.protect("in time"), "in time")
		say(&s.Late, fmt.Sprintf("late in epoch %d", peer.view().Epoch()))
		f.commit(2, CommitOptions{})
	}
	say(&s.Messages, "overtaken")
	d.reads(peer.protect("in time"), "in time")
	say(&s.Messages, "second")
	say(&s.Messages, "third")
	s.Messages[1], s.Messages[2] = s.Messages[2], s.Messages[1]
	if _, err := d.m.SafeExportSecret(background, 7); err != nil {
		t.Fatal(err)
	}
	pending := d.commit(CommitOptions{Leaf: d.newKey(), WithoutPending: true})
	s.Commit, s.Committed = pending.Commit, d.m.state.pending.next.EpochAuthenticator()
	update, err := d.m.ProposeUpdate(background, d.newKey(), ProposeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	peer.process(update)
	out := peer.commit(CommitOptions{})
	s.Update, s.Updated = out.Commit, peer.m.state.pending.next.EpochAuthenticator()
	other := otherFleet(t, 1).devices[0]
	invitation := other.commit(CommitOptions{Proposals: []Proposal{d.keyPackage()}})
	s.Welcome, s.Joined = invitation.Welcome, other.m.state.pending.next.EpochAuthenticator()

	s.EpochAuthenticator = d.view().EpochAuthenticator()
	for _, signer := range d.keys {
		s.Signers = append(s.Signers, must(f.suite.MarshalSigner(signer)))
	}
	s.Records = make(map[string]storedRecord)
	for name, r := range d.memory.records {
		s.Records[name] = storedRecord{r.Version, r.Value}
	}
	encoded, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	file := storeFile(n)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(encoded, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
