package ciphersuite

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"
	"slices"
	"testing"

	"filippo.io/edwards25519"
)

// Signatures are verified by another library where it is faster, which must accept
// what the standard library does and nothing else: members of a group may run on
// different processors.

func TestEd25519IsVerifiedAsByTheStandardLibrary(t *testing.T) {
	accepted := 0
	for _, c := range ed25519Cases(t) {
		want := ed25519.Verify(c.public, c.message, c.signature)
		if got := verifyEd25519(c.public, c.message, c.signature); got != want {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
		if want {
			accepted++
		}
	}
	if accepted < 8 {
		t.Errorf("%d signatures are good: the cases are not what they should be", accepted)
	}
}

func FuzzEd25519IsVerifiedAsByTheStandardLibrary(f *testing.F) {
	for _, c := range ed25519Cases(f) {
		f.Add([]byte(c.public), c.message, c.signature)
	}
	f.Fuzz(func(t *testing.T, public, message, signature []byte) {
		if len(public) != ed25519.PublicKeySize {
			return // newPublicKey refuses it
		}
		if got, want := verifyEd25519(public, message, signature), ed25519.Verify(public, message, signature); got != want {
			t.Errorf("key %x, message %x, signature %x: %v, want %v", public, message, signature, got, want)
		}
	})
}

type ed25519Case struct {
	name               string
	public             ed25519.PublicKey
	message, signature []byte
}

// ed25519Cases are good signatures, bad ones, and those about which implementations
// differ: that only hold after multiplication by the cofactor, and whose points are
// of low order or not reduced.
func ed25519Cases(t testing.TB) (cases []ed25519Case) {
	add := func(name string, public, message, signature []byte) {
		cases = append(cases, ed25519Case{name, public, message, signature})
	}
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public, message := []byte(private.Public().(ed25519.PublicKey)), []byte("message")
	signature := ed25519.Sign(private, message)
	add("good", public, message, signature)
	add("empty message", public, nil, ed25519.Sign(private, nil))
	add("long message", public, make([]byte, 1000), ed25519.Sign(private, make([]byte, 1000)))
	add("other message", public, []byte("massage"), signature)
	add("no signature", public, message, nil)
	add("short signature", public, message, signature[:63])
	add("long signature", public, message, append(slices.Clone(signature), 0))
	for _, bit := range []int{0, 100, 255, 256, 300, 509, 511} {
		flipped := slices.Clone(signature)
		flipped[bit/8] ^= 1 << (bit % 8)
		add(fmt.Sprintf("bit %d flipped", bit), public, message, flipped)
	}
	add("scalar not reduced", public, message, slices.Concat(signature[:32], addLittleEndian(signature[32:], ed25519Order)))

	// Points whose signatures anybody can make, with every sign of x.
	zero := make([]byte, 32)
	for i, y := range ed25519LowOrder {
		for _, sign := range []byte{0, 0x80} {
			p := slices.Clone(y[:])
			p[31] |= sign
			name := fmt.Sprintf("point %d of low order, sign %#x", i, sign)
			add(name+" as R", public, message, slices.Concat(p, signature[32:]))
			for _, r := range ed25519LowOrder {
				add(name+" as A and R", p, message, slices.Concat(r[:], zero))
			}
		}
	}
	for delta := int8(0); delta < 19; delta++ { // p to 2^255-1
		y := x25519AroundP(delta)
		add(fmt.Sprintf("A is p+%d", delta), y[:], message, slices.Concat(y[:], zero))
		add(fmt.Sprintf("R is p+%d", delta), public, message, slices.Concat(y[:], signature[32:]))
	}

	// A key with a part of order 8, and of order 2: SB = R + kA holds for one in eight
	// messages, and for one in two.
	h := sha512.Sum512(private.Seed())
	a, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []int{4, 1} { // where ed25519LowOrder has a point of order 8, and of order 2
		torsion, err := new(edwards25519.Point).SetBytes(ed25519LowOrder[order][:])
		if err != nil {
			t.Fatal(err)
		}
		mixed := new(edwards25519.Point).Add(new(edwards25519.Point).ScalarBaseMult(a), torsion).Bytes()
		for i := range 40 {
			message := []byte{byte(i)}
			nonce := sha512.Sum512(slices.Concat(h[32:], message))
			r, err := edwards25519.NewScalar().SetUniformBytes(nonce[:])
			if err != nil {
				t.Fatal(err)
			}
			point := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
			challenge := sha512.Sum512(slices.Concat(point, mixed, message))
			k, err := edwards25519.NewScalar().SetUniformBytes(challenge[:])
			if err != nil {
				t.Fatal(err)
			}
			s := edwards25519.NewScalar().MultiplyAdd(k, a, r)
			add(fmt.Sprintf("mixed order %d, message %d", order, i), mixed, message, slices.Concat(point, s.Bytes()))
		}
	}
	return cases
}
