package sshagent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

// serve returns an Agent to a keyring that serves each connection for itself.
func serve(t testing.TB, keyring agent.Agent) *Agent {
	return New(func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			agent.ServeAgent(keyring, theirs)
			theirs.Close()
		}()
		return ours, nil
	})
}

// keyringWith returns an agent of package ssh that has keys.
func keyringWith(t testing.TB, keys ...any) agent.Agent {
	t.Helper()
	keyring := agent.NewKeyring()
	for _, key := range keys {
		if e, ok := key.(ed25519.PrivateKey); ok {
			key = &e
		}
		if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	return keyring
}

func keys(t testing.TB) (ed ed25519.PrivateKey, p256, p384, p521 *ecdsa.PrivateKey) {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	return ed, ec(elliptic.P256()), ec(elliptic.P384()), ec(elliptic.P521())
}

// Signatures by the agent are what the suites verify, for every scheme.
func TestSuitesTakeTheSignaturesOfAnAgent(t *testing.T) {
	ed, p256, p384, p521 := keys(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := serve(t, keyringWith(t, rsaKey, ed, p256, p384, p521))
	if signers, err := a.Signers(); err != nil || len(signers) != 4 {
		t.Errorf("%d signers, want those that are not RSA; %v", len(signers), err)
	}
	for id, key := range map[ciphersuite.ID]crypto.Signer{
		ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519: ed,
		ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256:      p256,
		ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384:      p384,
		ciphersuite.MLS_256_DHKEMP521_AES256GCM_SHA512_P521:      p521,
	} {
		suite, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := a.SignerFor(key.Public())
		if err != nil {
			t.Errorf("%v: %v", id, err)
			continue
		}
		public, err := suite.SignaturePublicKey(signer.Public())
		if err != nil {
			t.Errorf("%v: %v", id, err)
			continue
		}
		for range 20 { // numbers that are short, or whose first bit is set, come by chance
			signature, err := suite.SignWithLabel(rand.Reader, signer, "label", []byte("content"))
			if err != nil {
				t.Fatalf("%v: %v", id, err)
			}
			if err := suite.VerifyWithLabel(public, "label", []byte("content"), signature); err != nil {
				t.Fatalf("%v: %v", id, err)
			}
		}
	}
}

// A connection whose identity is in an agent: the handshake and updates need its signatures.
func TestAConnectionLivesByAnAgentsSignatures(t *testing.T) {
	ed, p256, _, _ := keys(t)
	a := serve(t, keyringWith(t, ed, p256))
	self := func(key crypto.Signer) mls.Identity {
		signer, err := a.SignerFor(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return identity.New(signer, "self")
	}
	_, peerEC, _, _ := keys(t)
	peer, err := identity.Generate(rand.Reader, "peer")
	if err != nil {
		t.Fatal(err)
	}
	validator, err := identity.NewPinned(ed.Public(), p256.Public(), peer.Signer.Public(), peerEC.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []struct{ own, peer mls.Identity }{{self(ed), peer}, {self(p256), identity.New(peerEC, "peer")}} {
		x, y := net.Pipe()
		client := netconn.Client(x, &netconn.Config{Identity: id.own, Validator: validator})
		server := netconn.Server(y, &netconn.Config{Identity: id.peer, Validator: validator})
		go io.Copy(server, server)
		for range 2 {
			if err := client.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		client.Close()
		server.Close()
	}
}

func TestWhatAnAgentCannotDoIsSaid(t *testing.T) {
	ed, p256, p384, _ := keys(t)
	keyring := keyringWith(t, ed, p256)
	a := serve(t, keyring)
	if _, err := a.SignerFor(p384.Public()); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key that it does not have: %v", err)
	}
	if _, err := a.SignerFor("no key"); !errors.Is(err, identity.ErrKey) {
		t.Errorf("no key at all: %v", err)
	}
	signer, err := a.SignerFor(p256.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.Sign(rand.Reader, make([]byte, 32), crypto.SHA256); !errors.Is(err, ErrDigest) {
		t.Errorf("a digest: %v", err)
	}
	if _, err := crypto.SignMessage(signer, rand.Reader, []byte("x"), crypto.SHA384); !errors.Is(err, ErrDigest) {
		t.Errorf("another hash than the agent's: %v", err)
	}
	if err := keyring.Lock([]byte("passphrase")); err != nil {
		t.Fatal(err)
	}
	if _, err := crypto.SignMessage(signer, rand.Reader, []byte("x"), crypto.SHA256); err == nil {
		t.Error("an agent that is locked signs")
	}
	if err := keyring.Unlock([]byte("passphrase")); err != nil {
		t.Fatal(err)
	}
	if _, err := crypto.SignMessage(signer, rand.Reader, []byte("x"), crypto.SHA256); err != nil {
		t.Errorf("unlocked again: %v", err)
	}
	gone := errors.New("gone")
	if _, err := New(func() (net.Conn, error) { return nil, gone }).Signers(); !errors.Is(err, ErrNoAgent) || !errors.Is(err, gone) {
		t.Errorf("no agent: %v", err)
	}
	silent := New(func() (net.Conn, error) {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		return ours, nil
	})
	silent.Timeout = 20 * time.Millisecond
	if _, err := silent.Signers(); err == nil {
		t.Error("an agent that does not answer: no error")
	}
	t.Setenv("SSH_AUTH_SOCK", "")
	if _, err := FromEnvironment(); !errors.Is(err, ErrNoAgent) {
		t.Errorf("no SSH_AUTH_SOCK: %v", err)
	}
}

// A liar has other signatures made of those that it should return.
type liar struct {
	agent.Agent
	lie func(*ssh.Signature)
}

func (l liar) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	s, err := l.Agent.Sign(key, data)
	if err == nil {
		l.lie(s)
	}
	return s, err
}

func TestSignaturesThatAreNotGoodAreRefused(t *testing.T) {
	ed, p256, _, _ := keys(t)
	for name, lie := range map[string]func(*ssh.Signature){
		"another octet": func(s *ssh.Signature) { s.Blob[len(s.Blob)-1] ^= 1 },
		"nothing":       func(s *ssh.Signature) { s.Blob = nil },
		"cut short":     func(s *ssh.Signature) { s.Blob = s.Blob[:len(s.Blob)-1] },
		"more":          func(s *ssh.Signature) { s.Blob = append(s.Blob, 0) },
		"as another one": func(s *ssh.Signature) {
			s.Format = map[bool]string{true: ssh.KeyAlgoECDSA256, false: ssh.KeyAlgoED25519}[s.Format == ssh.KeyAlgoED25519]
		},
		"a huge number":  func(s *ssh.Signature) { s.Blob = append(binary.BigEndian.AppendUint32(nil, 1<<31), s.Blob...) },
		"a negative one": func(s *ssh.Signature) { s.Blob[4] ^= 0x80 }, // the sign of ECDSA's first number, which is positive
	} {
		a := serve(t, liar{keyringWith(t, ed, p256), lie})
		for _, key := range []crypto.Signer{ed, p256} {
			signer, err := a.SignerFor(key.Public())
			if err != nil {
				t.Fatal(err)
			}
			hash := crypto.SHA256
			if _, ok := key.(ed25519.PrivateKey); ok {
				hash = 0
			}
			if _, err := crypto.SignMessage(signer, rand.Reader, []byte("message"), hash); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %T: %v", name, key, err)
			}
		}
	}
}

func FuzzSignature(f *testing.F) {
	_, p256, _, _ := keys(f)
	keyring := keyringWith(f, p256)
	list, err := keyring.List()
	if err != nil {
		f.Fatal(err)
	}
	s, err := keyring.Sign(list[0], []byte("message"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Format, s.Blob)
	f.Add(ssh.KeyAlgoED25519, make([]byte, 64))
	f.Fuzz(func(t *testing.T, format string, blob []byte) {
		signature, err := convert(&ssh.Signature{Format: format, Blob: blob})
		if err != nil && !errors.Is(err, ErrSignature) {
			t.Fatal(err)
		}
		if err == nil && len(signature) > len(blob)+16 {
			t.Fatalf("%d octets become %d", len(blob), len(signature))
		}
	})
}

// The agent that the environment names is behind a Unix socket.
func TestTheEnvironmentNamesTheAgent(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("agents are behind named pipes there")
		return
	}
	ed, _, _, _ := keys(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	keyring := keyringWith(t, ed)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				agent.ServeAgent(keyring, conn)
			}()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", path)
	a, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.SignerFor(ed.Public()); err != nil {
		t.Error(err)
	}
}
