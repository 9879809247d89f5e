package spiffe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// An agent serves the Workload API to one workload.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	t       testing.TB
	address string // of the listener, also after a stop
	server  *grpc.Server

	mu       sync.Mutex
	response *workload.X509SVIDResponse // nil: the workload has no identity
	refusal  codes.Code                 // what it is told then
	changed  chan struct{}              // closed at the next change
}

func newAgent(t testing.TB) *agent {
	t.Helper()
	a := &agent{t: t, changed: make(chan struct{}), refusal: codes.PermissionDenied}
	// The port is below those that systems give to whoever asks for any, who would take it while the agent is stopped.
	const low, high = 15000, 32000
	for range 1000 {
		a.address = fmt.Sprintf("127.0.0.1:%d", low+mathrand.IntN(high-low))
		if l, err := net.Listen("tcp", a.address); err == nil {
			l.Close()
			break
		}
	}
	a.start()
	t.Cleanup(func() { a.server.Stop() })
	return a
}

func (a *agent) start() {
	a.t.Helper()
	l, err := net.Listen("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	server := grpc.NewServer()
	a.server = server
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	go server.Serve(l)
}

// set has the workload told.
func (a *agent) set(response *workload.X509SVIDResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.response = response
	close(a.changed)
	a.changed = make(chan struct{})
}

// refuse has the workload told that it has no identity, in this way.
func (a *agent) refuse(code codes.Code) {
	a.mu.Lock()
	a.refusal = code
	a.mu.Unlock()
	a.set(nil)
}

func (a *agent) now() (*workload.X509SVIDResponse, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.response, a.changed
}

// FetchX509SVID sends what there is, and again when it changes.
func (a *agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream workload.SpiffeWorkloadAPI_FetchX509SVIDServer) error {
	header, _ := metadata.FromIncomingContext(stream.Context())
	if security := header.Get("workload.spiffe.io"); len(security) != 1 || security[0] != "true" {
		return status.Error(codes.InvalidArgument, "the security header is not there")
	}
	for {
		response, changed := a.now()
		if response == nil {
			return a.refused()
		}
		if err := stream.Send(response); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (a *agent) refused() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return status.Error(a.refusal, "no identity issued")
}

// An authority is that of a trust domain.
type authority struct {
	t           testing.TB
	domain      string
	certificate *x509.Certificate
	key         ed25519.PrivateKey
}

func newAuthority(t testing.TB, domain string) *authority {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, domain: domain, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, URIs: []*url.URL{{Scheme: "spiffe", Host: domain}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate = a.sign(template, template, key.Public())
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate
}

// svid returns an SVID for a path, with a key that the caller has made, or else with a new one as SPIRE makes them.
func (a *authority) svid(path string, key crypto.Signer) *workload.X509SVID {
	a.t.Helper()
	if key == nil {
		ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			a.t.Fatal(err)
		}
		key = ec
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		a.t.Fatal(err)
	}
	certificate := a.sign(&x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{{Scheme: "spiffe", Host: a.domain, Path: path}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.certificate, key.Public())
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &workload.X509SVID{
		SpiffeId: certificate.URIs[0].String(), X509Svid: certificate.Raw, X509SvidKey: private, Bundle: a.certificate.Raw,
	}
}

// says is a response with SVIDs and the bundles of other trust domains.
func says(federated []*authority, svids ...*workload.X509SVID) *workload.X509SVIDResponse {
	r := &workload.X509SVIDResponse{Svids: svids, FederatedBundles: make(map[string][]byte)}
	for _, a := range federated {
		r.FederatedBundles["spiffe://"+a.domain] = a.certificate.Raw
	}
	return r
}

// within is for what comes, or never.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
