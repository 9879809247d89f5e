package ciphersuite

import (
	"bytes"
	"testing"
)

// The check of an encapsulation key refuses what the library refuses when it
// expands the key, wherever in the key that is.
func TestEncapsulationKeysAreCheckedAsTheLibraryDoes(t *testing.T) {
	for _, m := range []mlkem{params768, params1024} {
		good, _, err := m.expand(bytes.Repeat([]byte{7}, mlkemSeedSize))
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for i := range (len(good) - mlkemRhoSize) / 3 * 2 {
			for _, coefficient := range []uint16{0, mlkemModulus - 1, mlkemModulus, 0x0fff} {
				key := withCoefficient(good, i, coefficient)
				_, own := m.newEncapsulationKey(key)
				_, library := m.parse(key)
				if (own == nil) != (library == nil) || (own == nil) != (coefficient < mlkemModulus) {
					t.Fatalf("%s, coefficient %d is %d: error %v, the library's is %v", m.scheme.Name(), i, coefficient, own, library)
				}
				if own != nil {
					refused++
				}
			}
		}
		if refused == 0 {
			t.Errorf("%s: no key was refused", m.scheme.Name())
		}
		for _, key := range [][]byte{nil, good[1:], append(bytes.Clone(good), 0)} {
			if _, err := m.newEncapsulationKey(key); err == nil {
				t.Errorf("%s: accepted a key of %d octets", m.scheme.Name(), len(key))
			}
		}
	}
}

// withCoefficient returns an encapsulation key in which the i-th coefficient of 12
// bits is another.
func withCoefficient(key []byte, i int, coefficient uint16) []byte {
	changed := bytes.Clone(key)
	at := changed[i/2*3:]
	if i%2 == 0 {
		at[0], at[1] = byte(coefficient), at[1]&0xf0|byte(coefficient>>8)
	} else {
		at[1], at[2] = at[1]&0x0f|byte(coefficient<<4), byte(coefficient>>4)
	}
	return changed
}
