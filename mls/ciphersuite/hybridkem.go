package ciphersuite

import (
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	circl "github.com/cloudflare/circl/kem"
)

// A hybridKEM joins ML-KEM with a group: secrets hold as long as one of the
// two does. It is the "CG" framework of draft-irtf-cfrg-hybrid-kems with the
// instances of draft-irtf-cfrg-concrete-hybrid-kems, as draft-ietf-hpke-pq
// uses them.
type hybridKEM struct {
	number uint16
	mlkem  mlkem
	group  group
	label  string
}

var (
	mlkem768P256   = &hybridKEM{0x0050, params768, curveP256, "MLKEM768-P256"}
	mlkem1024P384  = &hybridKEM{0x0051, params1024, curveP384, "MLKEM1024-P384"}
	mlkem768X25519 = &hybridKEM{0x647a, params768, curve25519{}, `\.//^\`}
)

const (
	hybridSeedSize   = 32
	hybridSecretSize = 32
	// scalarCandidates bounds the search for a scalar in range. All but
	// 2^-32 of the first candidates are.
	scalarCandidates = 4
)

func (h *hybridKEM) id() uint16          { return h.number }
func (h *hybridKEM) privateKeySize() int { return hybridSeedSize }
func (h *hybridKEM) encapSeedSize() int {
	return h.mlkem.encapsulationSeedSize() + h.group.scalarSize()
}

func (h *hybridKEM) deriveKeyPair(ikm []byte) (kemKey, error) {
	seed := labeledDerive(kemSuiteID(h.number), ikm, "DeriveKeyPair", hybridSeedSize)
	defer clear(seed)
	return h.newKey(seed, nil)
}

func (h *hybridKEM) newKey(seed, public []byte) (kemKey, error) {
	if len(seed) != hybridSeedSize {
		return nil, fmt.Errorf("%w: hybrid KEM seed of %d octets, want %d", ErrPrivateKey, len(seed), hybridSeedSize)
	}
	mlkemSeed, rest := expandSeed(seed)
	defer clear(mlkemSeed)
	k := &hybridKey{kem: h}
	copy(k.seed[:], seed)
	if public != nil {
		n := h.mlkem.encapsulationKeySize()
		if want := n + h.group.pointSize(); len(public) != want {
			return nil, fmt.Errorf("%w: public key of %d octets, want %d", ErrPrivateKey, len(public), want)
		}
		var err error
		if k.scalar, err = h.randomScalar(rest, public[n:]); err != nil {
			return nil, err
		}
		k.encoded = slices.Concat(public[:n], k.scalar.public())
		return k, nil
	}
	scalar, err := h.randomScalar(rest, nil)
	if err != nil {
		return nil, err
	}
	ek, dk, err := h.mlkem.expand(mlkemSeed)
	if err != nil {
		return nil, err
	}
	k.scalar, k.encoded = scalar, slices.Concat(ek, scalar.public())
	k.expanded.put(dk)
	return k, nil
}

// expandSeed returns the seed of the ML-KEM half, and a source of candidates
// for the group's scalar.
func expandSeed(seed []byte) (mlkemSeed []byte, scalars io.Reader) {
	shake := sha3.NewSHAKE256()
	shake.Write(seed)
	mlkemSeed = make([]byte, mlkemSeedSize)
	shake.Read(mlkemSeed)
	return mlkemSeed, shake
}

// randomScalar is RandomScalar: the first string of rand that is a scalar. See
// newKey for point.
func (h *hybridKEM) randomScalar(rand io.Reader, point []byte) (groupKey, error) {
	for range scalarCandidates {
		scalar, err := readRandom(rand, h.group.scalarSize())
		if err != nil {
			return nil, err
		}
		key, err := h.group.newKey(scalar, point)
		clear(scalar)
		if err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: no scalar can be derived", ErrPrivateKey)
}

func (h *hybridKEM) newPublicKey(b []byte) (kemPublicKey, error) {
	n := h.mlkem.encapsulationKeySize()
	if want := n + h.group.pointSize(); len(b) != want {
		return nil, fmt.Errorf("%w: %d octets, want %d", ErrPublicKey, len(b), want)
	}
	ek, err := h.mlkem.newEncapsulationKey(b[:n])
	if err != nil {
		return nil, err
	}
	p, err := h.group.newPoint(b[n:])
	if err != nil {
		return nil, err
	}
	return hybridPublicKey{h, ek, p, b[n:]}, nil
}

type hybridPublicKey struct {
	kem     *hybridKEM
	ek      *encapsulationKey
	point   point
	encoded []byte // the point
}

func (k hybridPublicKey) encap(rand io.Reader) (secret, enc []byte, err error) {
	pq, enc, err := k.ek.encap(rand)
	if err != nil {
		return nil, nil, err
	}
	defer clear(pq)
	ephemeral, err := k.kem.randomScalar(rand, nil)
	if err != nil {
		return nil, nil, err
	}
	defer ephemeral.erase()
	dh, err := ephemeral.shared(k.point)
	if err != nil {
		return nil, nil, err
	}
	defer clear(dh)
	return k.kem.combine(pq, dh, ephemeral.public(), k.encoded), append(enc, ephemeral.public()...), nil
}

// combine is the framework's C2PRI combiner.
func (h *hybridKEM) combine(pq, dh, enc, point []byte) []byte {
	d := sha3.New256()
	d.Write(pq)
	d.Write(dh)
	d.Write(enc)
	d.Write(point)
	d.Write([]byte(h.label))
	return d.Sum(make([]byte, 0, hybridSecretSize))
}

// A hybridKey keeps its seed. The expanded ML-KEM half, 7 KB or more, could
// neither be erased nor be held for a connection's whole life.
type hybridKey struct {
	kem      *hybridKEM
	seed     [hybridSeedSize]byte
	scalar   groupKey
	encoded  []byte // the public key
	expanded cache[circl.PrivateKey]
}

func (k *hybridKey) public() []byte { return k.encoded }
func (k *hybridKey) bytes() []byte  { return k.seed[:] }

func (k *hybridKey) erase() {
	clear(k.seed[:])
	k.scalar.erase()
	k.expanded.drop()
}

func (k *hybridKey) decap(enc []byte) ([]byte, error) {
	n := k.kem.mlkem.ciphertextSize()
	if want := n + k.kem.group.pointSize(); len(enc) != want {
		return nil, fmt.Errorf("%w: %d octets, want %d", ErrKEMOutput, len(enc), want)
	}
	p, err := k.kem.group.newPoint(enc[n:])
	if err != nil {
		return nil, err
	}
	dh, err := k.scalar.shared(p)
	if err != nil {
		return nil, err
	}
	defer clear(dh)
	dk, err := k.expanded.get(func() (circl.PrivateKey, error) {
		mlkemSeed, _ := expandSeed(k.seed[:])
		defer clear(mlkemSeed)
		_, dk, err := k.kem.mlkem.expand(mlkemSeed)
		return dk, err
	})
	if err != nil {
		return nil, err
	}
	pq, err := k.kem.mlkem.decap(dk, enc[:n])
	if err != nil {
		return nil, err
	}
	defer clear(pq)
	return k.kem.combine(pq, dh, enc[n:], k.scalar.public()), nil
}

// labeledDerive is LabeledDerive with SHAKE256 and no context
// (draft-ietf-hpke-pq, Section 3).
func labeledDerive(suiteID string, ikm []byte, label string, length int) []byte {
	b := make([]byte, 0, 64)
	b = append(b, hpkeVersion...)
	b = append(b, suiteID...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(label)))
	b = append(b, label...)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	shake := sha3.NewSHAKE256()
	shake.Write(ikm)
	shake.Write(b)
	out := make([]byte, length)
	shake.Read(out)
	return out
}
