package rivals

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

// All operations can be executed again and again; that they are what they are
// said to be, they check themselves.
func TestOperations(t *testing.T) {
	dialer, err := NewDialer()
	if err != nil {
		t.Fatal(err)
	}
	defer dialer.Close()
	noise, err := NewNoise()
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]measure.Op{"Noise": noise.Handshake(), "TCP": dialer.Connect()}
	for _, curve := range []tls.CurveID{tls.X25519, tls.X25519MLKEM768} {
		for name, chain := range map[string]Chain{" issued": Issued, " pinned": Pinned} {
			ends, err := NewTLS(curve, chain)
			if err != nil {
				t.Fatal(err)
			}
			ops[curve.String()+name] = ends.Handshake()
			ops[curve.String()+name+" reconnect"] = ends.Reconnect(dialer)
		}
	}
	for name, op := range ops {
		run, err := op(3)
		if err == nil {
			err = run()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The comparison would be void if an end took whatever certificate comes.
func TestBothEndsVerify(t *testing.T) {
	good, err := NewTLS(tls.X25519, Issued)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewTLS(tls.X25519, Issued)
	if err != nil {
		t.Fatal(err)
	}
	var refused *tls.CertificateVerificationError
	strangeServer := &TLS{client: good.client, server: other.server, curve: tls.X25519}
	if _, _, err := strangeServer.handshake(); !errors.As(err, &refused) {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	strangeClient := &TLS{client: good.client.Clone(), server: good.server, curve: tls.X25519}
	strangeClient.client.Certificates = other.client.Certificates
	if _, _, err := strangeClient.handshake(); !errors.As(err, &refused) {
		t.Errorf("a client that nobody vouches for: %v", err)
	}
}
