package main

import (
	"testing"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
)

// A request that has no group ID has the empty one: so proto3 leaves it out.
func TestGroupIDsAreThoseOfRequests(t *testing.T) {
	s := newServer(options{})
	for _, want := range []string{"", "a group"} {
		r, err := s.CreateGroup(t.Context(), &pb.CreateGroupRequest{GroupId: []byte(want), CipherSuite: 1, Identity: []byte("alice")})
		if err != nil {
			t.Fatal(err)
		}
		st, err := find[*state](&s.ids, r.StateId)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(st.group.GroupID()); got != want {
			t.Errorf("the group ID is %q, want %q", got, want)
		}
		b, err := s.CreateBranch(t.Context(), &pb.CreateBranchRequest{StateId: r.StateId, GroupId: []byte(want)})
		if err != nil {
			t.Fatal(err)
		}
		if st, err = find[*state](&s.ids, b.StateId); err != nil {
			t.Fatal(err)
		}
		if got := string(st.group.GroupID()); got != want {
			t.Errorf("the branch's group ID is %q, want %q", got, want)
		}
	}
}
