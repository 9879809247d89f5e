package ciphersuite

import (
	"bytes"
	"fmt"

	circl "github.com/cloudflare/circl/kem"
)

// A pureKEM is ML-KEM by itself as HPKE has it (draft-ietf-hpke-pq, Section 4).
// Private keys are seeds.
type pureKEM struct {
	number uint16
	mlkem  mlkem
}

var (
	mlkem768  = &pureKEM{0x0041, params768}
	mlkem1024 = &pureKEM{0x0042, params1024}
)

func (p *pureKEM) id() uint16          { return p.number }
func (p *pureKEM) privateKeySize() int { return mlkemSeedSize }
func (p *pureKEM) encapSeedSize() int  { return p.mlkem.encapsulationSeedSize() }

func (p *pureKEM) deriveKeyPair(ikm []byte) (kemKey, error) {
	seed := labeledDerive(kemSuiteID(p.number), ikm, "DeriveKeyPair", mlkemSeedSize)
	defer clear(seed)
	return p.newKey(seed, nil)
}

func (p *pureKEM) newKey(seed, public []byte) (kemKey, error) {
	if len(seed) != mlkemSeedSize {
		return nil, fmt.Errorf("%w: ML-KEM seed of %d octets, want %d", ErrPrivateKey, len(seed), mlkemSeedSize)
	}
	k := &pureKey{mlkem: p.mlkem}
	copy(k.seed[:], seed)
	if public != nil {
		if want := p.mlkem.encapsulationKeySize(); len(public) != want {
			return nil, fmt.Errorf("%w: public key of %d octets, want %d", ErrPrivateKey, len(public), want)
		}
		k.encoded = bytes.Clone(public)
		return k, nil
	}
	ek, dk, err := p.mlkem.expand(seed)
	if err != nil {
		return nil, err
	}
	k.encoded = ek
	k.expanded.put(dk)
	return k, nil
}

func (p *pureKEM) newPublicKey(b []byte) (kemPublicKey, error) {
	return p.mlkem.newEncapsulationKey(b)
}

// A pureKey keeps its seed; see [hybridKey].
type pureKey struct {
	mlkem    mlkem
	seed     [mlkemSeedSize]byte
	encoded  []byte // the public key
	expanded cache[circl.PrivateKey]
}

func (k *pureKey) public() []byte { return k.encoded }
func (k *pureKey) bytes() []byte  { return k.seed[:] }

func (k *pureKey) erase() {
	clear(k.seed[:])
	k.expanded.drop()
}

func (k *pureKey) decap(enc []byte) ([]byte, error) {
	dk, err := k.expanded.get(func() (circl.PrivateKey, error) {
		_, dk, err := k.mlkem.expand(k.seed[:])
		return dk, err
	})
	if err != nil {
		return nil, err
	}
	return k.mlkem.decap(dk, enc)
}
