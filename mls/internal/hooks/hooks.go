package hooks

import (
	"crypto"
	"io"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// MLS is what package mls offers.
var MLS Internals

// Internals are functions of package mls. Octets that they are given are not
// changed and may be anything: what is malformed is an error.
type Internals struct {
	// GroupContext encodes a GroupContext without extensions.
	GroupContext func(suite ciphersuite.ID, groupID []byte, epoch uint64, treeHash, confirmedTranscriptHash []byte) []byte

	// Reencode decodes all of data as the named struct of RFC 9420 and encodes
	// it again.
	Reencode func(structure string, data []byte) ([]byte, error)

	// PSKSecret combines external PSKs.
	PSKSecret func(s *ciphersuite.Suite, psks []ExternalPSK) ([]byte, error)

	// ApplicationPSKs encodes the PreSharedKeyID of each application PSK, and
	// combines the PSKs.
	ApplicationPSKs func(s *ciphersuite.Suite, psks []ApplicationPSK) (ids [][]byte, pskSecret []byte, err error)

	// CommitTranscript returns what the AuthenticatedContent of a commit adds
	// to the transcript: ConfirmedTranscriptHashInput and the confirmation tag.
	CommitTranscript func(authenticatedContent []byte) (input, confirmationTag []byte, err error)

	// OpenWelcome decrypts a Welcome, an MLSMessage, that involves no PSKs.
	OpenWelcome func(s *ciphersuite.Suite, keyPackage []byte, initKey *ciphersuite.HPKEPrivateKey, welcome []byte) (*OpenedWelcome, error)

	// ParseTree decodes the data of a ratchet_tree extension.
	ParseTree func(data []byte) (Tree, error)

	// NewMember returns a member of a group of two, leaf 0 or leaf 1.
	NewMember func(MemberState) (Member, error)

	// Bundle returns the *mls.KeyPackageBundle of a key package, an MLSMessage,
	// and its private keys, which have to belong to it.
	Bundle func(s *ciphersuite.Suite, keyPackage []byte, initKey, encryptionKey *ciphersuite.HPKEPrivateKey, signer crypto.Signer) (keyPackageBundle any, err error)

	// WelcomeLifetime returns the time in which all leaves of a group are valid
	// that a *mls.Config and a *mls.KeyPackageBundle open a Welcome to.
	WelcomeLifetime func(config, keyPackageBundle any, welcome, ratchetTree []byte) (notBefore, notAfter uint64, err error)

	// BundleKeys returns the private keys of a *mls.KeyPackageBundle.
	BundleKeys func(keyPackageBundle any) (initKey, encryptionKey []byte)

	// LeafNode encodes the leaf of a *mls.KeyPackageBundle.
	LeafNode func(keyPackageBundle any) []byte
	// NewTargeted returns the member of a group who sends and receives targeted
	// messages.
	NewTargeted func(TargetedState) (Targeted, error)
}

// An ExternalPSK is an external pre-shared key and one use of it.
type ExternalPSK struct{ ID, Nonce, Secret []byte }

// An ApplicationPSK is a pre-shared key of a component and one use of it.
type ApplicationPSK struct {
	Component         uint16
	ID, Nonce, Secret []byte
}

// An OpenedWelcome is what a new member reads in a Welcome.
type OpenedWelcome struct {
	JoinerSecret            []byte
	GroupContext            []byte
	ConfirmedTranscriptHash []byte
	ConfirmationTag         []byte
	ToBeSigned              []byte // GroupInfoTBS
	Signature               []byte
}

// A Tree is a ratchet tree. Its methods do not change it.
type Tree interface {
	Encode() []byte
	Nodes() int
	// Members returns the leaves that are not blank.
	Members() []uint32
	// Leaf encodes the LeafNode of a member.
	Leaf(leaf uint32) []byte
	// PublicKey returns the encryption key of a node, nil if it is blank or not
	// in the tree.
	PublicKey(x treemath.NodeIndex) []byte
	Resolution(x treemath.NodeIndex) []treemath.NodeIndex
	TreeHash(s *ciphersuite.Suite, x treemath.NodeIndex) []byte
	RootHash(s *ciphersuite.Suite) []byte
	// Verify checks unmerged leaves, keys, parent hashes and signatures, as who
	// joins a group does.
	Verify(s *ciphersuite.Suite, groupID []byte) error
	// Apply applies an Add, Update or Remove without checking what it holds.
	Apply(sender uint32, proposal []byte) (Tree, error)
	// ReceivePath applies an UpdatePath to a tree that passes Verify.
	ReceivePath(s *ciphersuite.Suite, sender uint32, updatePath []byte) (*ReceivedPath, error)
	// CreatePath makes an UpdatePath in a tree that passes Verify. context
	// returns the GroupContext for the tree with the path.
	CreatePath(s *ciphersuite.Suite, rand io.Reader, sender uint32, signer crypto.Signer, groupID []byte, context func(after Tree) []byte) (*CreatedPath, error)
}

// PrivateKeys are a member's private keys by node.
type PrivateKeys map[treemath.NodeIndex]*ciphersuite.HPKEPrivateKey

// A ReceivedPath is an UpdatePath whose public part was valid.
type ReceivedPath struct {
	Tree Tree // with the path
	// Open decrypts the path as the member with the given leaf and keys.
	Open func(leaf uint32, keys PrivateKeys, context []byte) (derived PrivateKeys, commitSecret []byte, err error)
}

// A CreatedPath is an UpdatePath as its sender knows it.
type CreatedPath struct {
	Tree         Tree // with the path
	UpdatePath   []byte
	LeafKey      []byte // private encryption key of the new leaf
	PathSecrets  map[treemath.NodeIndex][]byte
	CommitSecret []byte
}

// MemberState is all that protects messages in a group of two.
type MemberState struct {
	Suite            *ciphersuite.Suite
	Leaf             uint32
	GroupContext     []byte
	Signer           crypto.Signer
	PeerSignatureKey []byte
	EncryptionSecret []byte
	SenderDataSecret []byte
	MembershipKey    []byte
	Rand             io.Reader
	Padding          func(int) int
}

// The content types and wire formats of RFC 9420 that [Member] is called with.
const (
	Application = 1
	Proposal    = 2
	Commit      = 3

	PublicMessage  = 1
	PrivateMessage = 2
)

// A Member protects and unprotects messages. Content is application data, or
// an encoded Proposal or Commit.
type Member interface {
	// Open returns the content of a message of the other member, whose content
	// type has to be the given one.
	Open(contentType uint8, message []byte) (content []byte, err error)
	// Protect sends content as a message. A commit's confirmation tag is all
	// zero.
	Protect(contentType uint8, wireFormat uint16, content, authenticatedData []byte) (message []byte, err error)
	// SignCommit returns the AuthenticatedContent of a commit, with the confirmation
	// tag that confirm returns for ConfirmedTranscriptHashInput.
	SignCommit(commit []byte, confirm func(input []byte) []byte) ([]byte, error)
}

// TargetedState is all that protects targeted messages of a member, at Leaf. Who only
// sends has no LeafKey, and who only receives no Signer.
type TargetedState struct {
	Suite          *ciphersuite.Suite
	GroupID        []byte
	Epoch          uint64
	ExporterSecret []byte
	Leaf           uint32
	LeafKey        *ciphersuite.HPKEPrivateKey
	Signer         crypto.Signer
	Leaves         map[uint32][]byte // LeafNodes of members
	Rand           io.Reader
	Padding        func(int) int
}

// A Targeted is a member of a group who sends and receives targeted messages.
type Targeted interface {
	ProtectTo(recipient uint32, data, authenticatedData []byte) (message []byte, err error)
	ProtectToSeveral(recipients []uint32, data, authenticatedData []byte) (message []byte, err error)
	Process(message []byte) (*ReceivedTargeted, error)
}

// A ReceivedTargeted is what a targeted message holds.
type ReceivedTargeted struct {
	Sender                  uint32
	Recipients              []uint32
	AuthenticatedData, Data []byte
	Padding                 int // octets
}
