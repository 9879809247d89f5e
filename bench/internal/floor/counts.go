// Package floor says what operations of MLS cost at the least: the public-key
// operations that the protocol cannot avoid, with keys that are parsed already,
// and the AEAD of messages. No hashing, no key schedule, no encoding.
package floor

import "math/bits"

// Counts says how often each operation is needed.
type Counts struct {
	Generate int // HPKE key pairs from randomness
	Derive   int // HPKE key pairs from secrets
	Seal     int // HPKE
	SealNew  int // HPKE, to a public key that was never seen before
	Open     int // HPKE
	Sign     int
	Verify   int

	// Of messages with 1 KiB of content.
	SignContent   int
	VerifyContent int
	AEADSeal      int // content and sender data
	AEADOpen      int
}

// Add returns the counts of c and of others together.
func (c Counts) Add(others ...Counts) Counts {
	for _, o := range others {
		c.Generate += o.Generate
		c.Derive += o.Derive
		c.Seal += o.Seal
		c.SealNew += o.SealNew
		c.Open += o.Open
		c.Sign += o.Sign
		c.Verify += o.Verify
		c.SignContent += o.SignContent
		c.VerifyContent += o.VerifyContent
		c.AEADSeal += o.AEADSeal
		c.AEADOpen += o.AEADOpen
	}
	return c
}

// KeyPackage is: init key and leaf key, signatures of leaf and key package.
func KeyPackage() Counts { return Counts{Generate: 2, Sign: 2} }

// NewGroup is: the leaf's key and signature.
func NewGroup() Counts { return Counts{Generate: 1, Sign: 1} }

// AddMember is, for a key package from outside and a commit without a path: the
// signatures of key package and leaf; those of the commit and of the GroupInfo;
// the secrets for the new member, sealed to an init key that was never seen before.
func AddMember() Counts { return Counts{Verify: 2, Sign: 2, SealNew: 1} }

// Join is, for a group with n members and a Welcome without a path secret: the
// own secrets, and the signatures of the GroupInfo and of all other leaves.
func Join(n int) Counts { return Counts{Open: 1, Verify: n} }

// Handshake is a key package, a group that adds it, and joining that.
func Handshake() Counts { return KeyPackage().Add(NewGroup(), AddMember(), Join(2)) }

// CreateFresh is an empty commit of the first of n members if nobody else has
// ever committed: the leaf's new key and those of the path, a path secret to each
// of the others, the signatures of leaf and commit.
func CreateFresh(n int) Counts {
	return Counts{Generate: 1, Derive: pathLength(n), Seal: n - 1, Sign: 2}
}

// CreateWarm is an empty commit if everybody has committed: one path secret for
// each node of the path.
func CreateWarm(n int) Counts {
	return Counts{Generate: 1, Derive: pathLength(n), Seal: pathLength(n), Sign: 2}
}

// Process is an empty commit of the first member as seen by the last: the
// signatures of commit and leaf, and the path secret of the root, which is where
// their paths meet.
func Process() Counts { return Counts{Verify: 2, Open: 1, Derive: 1} }

// Protect is the signature and the encryption of a message.
func Protect() Counts { return Counts{SignContent: 1, AEADSeal: 1} }

// Unprotect undoes Protect.
func Unprotect() Counts { return Counts{VerifyContent: 1, AEADOpen: 1} }

// ChannelHandshake is Handshake without the signature of the commit, which is sent
// to nobody.
func ChannelHandshake() Counts { return Handshake().Add(Counts{Sign: -1}) }

// ChannelUpdate is a commit in a group of two at both ends, and the message that
// acknowledges it, whose encryption is left out.
func ChannelUpdate() Counts {
	return CreateWarm(2).Add(Process(), acknowledgement())
}

// ChannelResumption is two commits, one of each end, and an acknowledgement.
func ChannelResumption() Counts {
	return CreateWarm(2).Add(CreateWarm(2), Process(), Process(), acknowledgement())
}

func acknowledgement() Counts { return Counts{Sign: 1, Verify: 1} }

// pathLength returns the number of nodes on the path from the first of n leaves.
func pathLength(n int) int { return bits.Len(uint(n - 1)) }
