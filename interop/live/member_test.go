package live

import "github.com/mendlink/mendlink/mls/ciphersuite"

// An implementation is an implementation of MLS whose clients can be put into
// the roles of a scenario.
type implementation interface {
	Name() string
	NewMember(suite ciphersuite.ID, identity string) (member, error)
}

// A member is a client that is in at most one group. Messages are MLSMessages;
// trees are encoded as in the ratchet_tree extension.
type member interface {
	// KeyPackage makes the key package with which Join works.
	KeyPackage() (message []byte, err error)
	// AddPSK makes an external pre-shared key known.
	AddPSK(id, secret []byte) error
	Create(groupID []byte) error
	// Join enters a group by a Welcome. tree is nil if it is in the Welcome.
	Join(welcome, tree []byte) error
	// JoinSuccessor leaves its group for one that succeeds it: a branch of it, or
	// the one that a re-initialization makes.
	JoinSuccessor(welcome []byte) error
	// Branch leaves its group for a new one with some of its members.
	Branch(groupID []byte, keyPackages [][]byte) (welcome []byte, err error)
	// Reinitialize leaves its group, which was closed, for the new one. Since it
	// was closed, key packages are for the new one's cipher suite.
	Reinitialize(keyPackages [][]byte) (welcome []byte, err error)
	// Propose sends a proposal, which this member keeps for commits as well.
	Propose(p proposal, public bool) (message []byte, err error)
	// Commit makes a commit of all proposals that were sent, by reference, and of
	// others by value. It takes effect with Merge.
	Commit(o commit) (*committed, error)
	Merge() error
	Protect(data, authenticatedData []byte) (message []byte, err error)
	// Process takes in another member's message. A commit takes effect at once.
	Process(message []byte) (*received, error)
	// GroupInfo returns a signed GroupInfo with the external_pub extension.
	GroupInfo(withoutTree bool) (*groupInfo, error)
	// ExternalJoin makes the commit that joins a group from outside. It takes
	// effect with Merge. With resync, it removes this client's earlier leaf.
	ExternalJoin(info *groupInfo, resync bool) (message []byte, err error)
	// ProposeJoin proposes that this client be added. Afterwards Join works.
	ProposeJoin(info *groupInfo) (message []byte, err error)
	// ExternalSender returns an ExternalSender for this client.
	ExternalSender() ([]byte, error)
	// ProposeFromOutside makes a proposal by the first of a group's external
	// senders, which this client is.
	ProposeFromOutside(info *groupInfo, p proposal) (message []byte, err error)
	Status() (*status, error)
	// Close forgets the member.
	Close() error
}

// A proposal has one field set.
type proposal struct {
	Add               []byte      `json:"add,omitempty"` // a key package
	Remove            *uint32     `json:"remove,omitempty"`
	PSK               []byte      `json:"psk,omitempty"`        // an external one's identifier
	Resumption        *uint64     `json:"resumption,omitempty"` // an epoch
	Update            bool        `json:"update,omitempty"`
	ContextExtensions []extension `json:"context_extensions,omitzero"`
	ReInit            *reInit     `json:"reinit,omitempty"`
	AppPSK            *item       `json:"app_psk,omitempty"` // data is its identifier
	AppDataUpdate     *item       `json:"app_data_update,omitempty"`
	AppDataRemove     *uint16     `json:"app_data_remove,omitempty"` // the component
	AppEphemeral      *item       `json:"app_ephemeral,omitempty"`
	SelfRemove        bool        `json:"self_remove,omitempty"` // always in a PublicMessage
}

// An item is something of a component.
type item struct {
	Component uint16 `json:"component"`
	Data      []byte `json:"data"`
}

// A reInit is for a group without extensions.
type reInit struct {
	GroupID []byte         `json:"group_id"`
	Suite   ciphersuite.ID `json:"suite"`
}

type extension struct {
	Type uint16 `json:"type"`
	Data []byte `json:"data"`
}

type commit struct {
	Proposals []proposal `json:"proposals,omitempty"`
	Public    bool       `json:"public"`
	// WithoutTree leaves the tree out of the Welcome.
	WithoutTree bool `json:"without_tree"`
}

type committed struct {
	Message []byte `json:"message"`
	Welcome []byte `json:"welcome"` // nil if nobody was added
	Tree    []byte `json:"tree"`
}

// received is what Process made of a message.
type received struct {
	Kind    string `json:"kind"` // "application", "proposal" or "commit"
	Data    []byte `json:"data"`
	Removed bool   `json:"removed"` // by this commit
}

type groupInfo struct {
	Message []byte `json:"message"`
	Tree    []byte `json:"tree"` // nil if it is in the message
}

// status is what the members of a group have to agree on.
type status struct {
	Epoch         uint64         `json:"epoch"`
	Authenticator []byte         `json:"authenticator"`
	Exported      []byte         `json:"exported"`
	Members       []memberStatus `json:"members"` // from left to right
}

type memberStatus struct {
	Index    uint32 `json:"index"`
	Identity []byte `json:"identity"`
}

// What Status exports.
const (
	exportLabel  = "interop"
	exportLength = 48
)

var exportContext = []byte("of this epoch")
