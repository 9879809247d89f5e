package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// leafOf returns what a peer sees of an identity.
func leafOf(t *testing.T, id mls.Identity) *mls.LeafNode {
	t.Helper()
	key, err := identity.EncodePublicKey(id.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &mls.LeafNode{SignatureKey: key, Credential: id.Credential}
}

func TestTwoEndsKnowEachOther(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pem"), filepath.Join(dir, "b.pem")
	aPublic, aPrint, err := Generate(a)
	if err != nil {
		t.Fatal(err)
	}
	bPublic, bPrint, err := Generate(b)
	if err != nil {
		t.Fatal(err)
	}
	if aPrint == bPrint {
		t.Error("two keys have one fingerprint")
	}
	aID, aPeer, err := Load(a, bPublic)
	if err != nil {
		t.Fatal(err)
	}
	bID, bPeer, err := Load(b, aPublic)
	if err != nil {
		t.Fatal(err)
	}
	if err := aPeer.ValidateLeaf(leafOf(t, bID), nil); err != nil {
		t.Error(err)
	}
	if err := bPeer.ValidateLeaf(leafOf(t, aID), nil); err != nil {
		t.Error(err)
	}
	if err := aPeer.ValidateLeaf(leafOf(t, aID), nil); !errors.Is(err, identity.ErrUnknownPeer) {
		t.Errorf("an end accepts itself: %v", err)
	}
	if string(aID.Credential.Identity) != "a" {
		t.Errorf("name is %q", aID.Credential.Identity)
	}
	if info, err := os.Stat(a); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("private key's file: %v, %v", info.Mode(), err)
	}
}

func TestGenerateOverwritesNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Generate(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestLoadRefusesOtherFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	public, _, err := Generate(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range [][2]string{{name, name}, {public, public}, {name, "missing"}, {"missing", public}} {
		if _, _, err := Load(files[0], files[1]); err == nil {
			t.Errorf("Load(%q, %q) was content", files[0], files[1])
		}
	}
}

func TestAKeyIsNotLeftBesideThePublicOneOfAnother(t *testing.T) {
	private := filepath.Join(t.TempDir(), "a.pem")
	public, _, err := Generate(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(private); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Generate(private); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v where the public key is there already", err)
	}
	if _, err := os.Stat(private); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a private key: %v", err)
	}
	if _, err := os.Stat(public); err != nil {
		t.Errorf("the public key: %v", err)
	}
}
