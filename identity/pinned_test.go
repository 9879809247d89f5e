package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

func newEd25519(t *testing.T) ed25519.PublicKey {
	t.Helper()
	id, err := Generate(rand.Reader, "x")
	if err != nil {
		t.Fatal(err)
	}
	return id.Signer.Public().(ed25519.PublicKey)
}

func TestPinnedPermitsItsKeysAndNoOther(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	first, second, stranger := newEd25519(t), newEd25519(t), newEd25519(t)
	p, err := NewPinned(first, []byte(second), &ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ecBytes, err := EncodePublicKey(&ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{first, second, ecBytes} {
		if err := p.ValidateLeaf(&mls.LeafNode{SignatureKey: key}, nil); err != nil {
			t.Errorf("a pinned key is refused: %v", err)
		}
	}
	for _, key := range [][]byte{stranger, nil, first[:31], ecBytes[1:]} {
		err := p.ValidateLeaf(&mls.LeafNode{SignatureKey: key}, nil)
		var unknown *UnknownPeerError
		if !errors.Is(err, ErrUnknownPeer) || !errors.As(err, &unknown) || !strings.Contains(err.Error(), Fingerprint(key)) {
			t.Errorf("key %x: %v, want ErrUnknownPeer that names it", key, err)
		}
	}
	// No change of the caller's slice reaches the set.
	copied := append([]byte(nil), second...)
	clear(second)
	if err := p.ValidateLeaf(&mls.LeafNode{SignatureKey: copied}, nil); err != nil {
		t.Errorf("the set changed with the caller's slice: %v", err)
	}
}

func TestPinnedWantsAReplacementKeyPinnedToo(t *testing.T) {
	old, next, stranger := newEd25519(t), newEd25519(t), newEd25519(t)
	p, err := NewPinned(old, next)
	if err != nil {
		t.Fatal(err)
	}
	previous := &mls.LeafNode{SignatureKey: old}
	for _, key := range [][]byte{old, next} {
		if err := p.ValidateLeaf(&mls.LeafNode{SignatureKey: key}, previous); err != nil {
			t.Error(err)
		}
	}
	err = p.ValidateLeaf(&mls.LeafNode{SignatureKey: stranger}, previous)
	if !errors.Is(err, ErrUnknownPeer) || !strings.Contains(err.Error(), Fingerprint(old)) {
		t.Errorf("got %v, want ErrUnknownPeer that names the old key as well", err)
	}
}

func TestPinnedWithoutKeysPermitsNobody(t *testing.T) {
	p, err := NewPinned()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]byte{nil, {}, newEd25519(t)} {
		if err := p.ValidateLeaf(&mls.LeafNode{SignatureKey: key}, nil); !errors.Is(err, ErrUnknownPeer) {
			t.Errorf("key %x: %v", key, err)
		}
	}
}

func TestNewPinnedRefusesWhatIsNoKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.PublicKey{nil, "key", []byte{}, ed25519.PublicKey{1}, &rsaKey.PublicKey} {
		if _, err := NewPinned(key); !errors.Is(err, ErrKey) {
			t.Errorf("%T: %v, want ErrKey", key, err)
		}
	}
}

func TestPinnedIsSafeForConcurrentUse(t *testing.T) {
	key := newEd25519(t)
	p, err := NewPinned(key)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			leaf := &mls.LeafNode{SignatureKey: key}
			if i%2 == 1 {
				leaf.SignatureKey = key[:i]
			}
			for range 100 {
				if err := p.ValidateLeaf(leaf, nil); (err == nil) != (i%2 == 0) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
