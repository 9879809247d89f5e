package ciphersuite

import (
	"errors"
	"runtime"
	"testing"
)

func TestACacheIsEmptiedByTheGarbageCollectorOnly(t *testing.T) {
	var c cache[*int]
	computed := 0
	get := func() {
		t.Helper()
		v, err := c.get(func() (*int, error) { computed++; return new(int), nil })
		if err != nil || v == nil {
			t.Fatal(v, err)
		}
	}
	get()
	get()
	// The collector may run at any time, but not at each of these.
	for range 1000 {
		get()
	}
	if computed > 100 {
		t.Errorf("computed %d times for 1002 uses", computed)
	}
	before := computed
	runtime.GC()
	if c.value.Value() != nil {
		t.Error("the value outlives a garbage collection")
	}
	if get(); computed != before+1 {
		t.Errorf("computed %d times after a garbage collection, want once", computed-before)
	}
	c.drop()
	if get(); computed != before+2 {
		t.Errorf("computed %d times after it was dropped, want once", computed-before-1)
	}
	c.put(new(int))
	if get(); computed > before+3 {
		t.Errorf("computed although a value was put")
	}
}

func TestACacheKeepsNothingThatFailed(t *testing.T) {
	var c cache[int]
	broken := errors.New("broken")
	if _, err := c.get(func() (int, error) { return 1, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if v, err := c.get(func() (int, error) { return 2, nil }); v != 2 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
}

// Kept keys are about as large as their encodings, once they rest.
func TestKeysAtRestAreSmall(t *testing.T) {
	const count = 200
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		_, encoded := mustSigner(t, s)
		size := func(what string, limit int, f func() any) {
			t.Helper()
			kept := repeat(count, f)
			before := heapAfterGC()
			clear(kept)
			freed := int(before) - int(heapAfterGC())
			if each := freed / count; each > limit {
				t.Errorf("%s: %d octets each, want at most %d", what, each, limit)
			}
		}
		size("an HPKE private key", len(k.PublicKey())+1024, func() any {
			k, err := s.ParseHPKEPrivateKey(k.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			return k
		})
		size("an HPKE public key", 1024, func() any {
			k, err := s.ParseHPKEPublicKey(k.PublicKey())
			if err != nil {
				t.Fatal(err)
			}
			return k
		})
		size("a signature public key", 1024, func() any {
			k, err := s.ParseSignaturePublicKey(encoded)
			if err != nil {
				t.Fatal(err)
			}
			return k
		})
	})
}

func repeat(n int, f func() any) []any {
	kept := make([]any, n)
	for i := range kept {
		kept[i] = f()
	}
	return kept
}

func heapAfterGC() uint64 {
	runtime.GC()
	runtime.GC() // weak pointers hold their memory until the next sweep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
