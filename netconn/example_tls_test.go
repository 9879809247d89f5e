package netconn_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http/httptest"

	"github.com/mendlink/mendlink/netconn"
)

// Where only TLS gets through, a channel runs in it, and is bound to it: whoever
// stands in the middle of the TLS connection has other bindings with either end, which then refuse
// each other. RFC 9266.
func ExampleConfig_transportBinding() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	clientTLS, serverTLS := newTLS()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", serverTLS)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		transport, err := listener.Accept()
		if err != nil {
			return
		}
		conn := netconn.Server(transport, &netconn.Config{
			Identity:         bob,
			Validator:        only(alice),
			TransportBinding: exporter(transport.(*tls.Conn)),
		})
		defer conn.Close()
		io.Copy(conn, conn)
	}()

	transport, err := tls.Dial("tcp", listener.Addr().String(), clientTLS)
	if err != nil {
		log.Fatal(err)
	}
	conn := netconn.Client(transport, &netconn.Config{
		Identity:         alice,
		Validator:        only(bob),
		TransportBinding: exporter(transport),
	})
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		log.Fatal(err)
	}
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s, %v\n", answer, err)
	// Output:
	// hello, <nil>
}

// exporter returns the binding of a TLS 1.3 connection, after its handshake.
func exporter(conn *tls.Conn) []byte {
	if err := conn.Handshake(); err != nil {
		log.Fatal(err)
	}
	state := conn.ConnectionState()
	binding, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		log.Fatal(err)
	}
	return binding
}

// newTLS returns configurations of TLS 1.3, with a certificate that is made for tests.
func newTLS() (client, server *tls.Config) {
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	trusted := x509.NewCertPool()
	trusted.AddCert(https.Certificate())
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: trusted, ServerName: "example.com"},
		&tls.Config{MinVersion: tls.VersionTLS13, Certificates: https.TLS.Certificates}
}
