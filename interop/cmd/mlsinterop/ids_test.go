package main

import (
	"testing"

	"google.golang.org/grpc/codes"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
)

func TestBounds(t *testing.T) {
	server, conn := serve(t, options{})
	s := newStage(t, conn, 1, false)
	alice := s.create("alice")
	for range maxPSKs {
		s.psk(alice)
	}
	refused(s, codes.ResourceExhausted, s.rpc.StorePSK, &pb.StorePSKRequest{StateOrTransactionId: alice.state, PskId: []byte("one more")})
	s.psksSoFar = 0
	s.psk(alice) // another secret for an old one
	for range 3 * pastEpochs {
		s.commit(alice, commit{})
	}
	if n := len(server.ids.entries); n != pastEpochs+1 {
		t.Errorf("after %d commits there are %d states, want %d", 3*pastEpochs, n, pastEpochs+1)
	}
	s.free(alice)
	if n := len(server.ids.entries); n != 0 {
		t.Errorf("after the last state was freed there are %d", n)
	}
}

func TestOldestEntryGivesWay(t *testing.T) {
	s := newServer(options{})
	signer := new(externalSigner)
	first := s.ids.add(signer)
	s.ids.remove(s.ids.add(signer)) // a gap
	for range maxEntries - 1 {
		s.ids.add(signer)
	}
	if _, err := find[*externalSigner](&s.ids, first); err != nil {
		t.Errorf("the first entry is gone before it has to be: %v", err)
	}
	last := s.ids.add(signer)
	if _, err := find[*externalSigner](&s.ids, first); err == nil {
		t.Error("the first entry is still there")
	}
	for _, id := range []uint32{first + 2, last} {
		if _, err := find[*externalSigner](&s.ids, id); err != nil {
			t.Error(err)
		}
	}
	if n := len(s.ids.entries); n != maxEntries {
		t.Errorf("there are %d entries, want %d", n, maxEntries)
	}
}

// TestSecretsDoNotOutliveTheirState checks that what is freed is erased.
func TestSecretsDoNotOutliveTheirState(t *testing.T) {
	server, conn := serve(t, options{})
	s := newStage(t, conn, 1, false)
	alice := s.create("alice")
	st, err := find[*state](&server.ids, alice.state)
	if err != nil {
		t.Fatal(err)
	}
	s.commit(alice, commit{})
	if _, err := st.group.Export("label", nil, 32); err != nil {
		t.Errorf("the epoch before is erased too early: %v", err)
	}
	s.free(alice)
	if _, err := st.group.Export("label", nil, 32); err == nil {
		t.Error("the epoch before is not erased")
	}
}
