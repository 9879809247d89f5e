package quicmls_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/quicmls"
)

// One UDP socket listens and dials, which peers behind NATs need.
func ExampleListenTransport() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")
	newTransport := func() *quic.Transport {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			log.Fatal(err)
		}
		return &quic.Transport{Conn: socket}
	}
	at, bt := newTransport(), newTransport()
	defer at.Close()
	defer bt.Close()
	listen := func(t *quic.Transport, config *quicmls.Config) {
		listener, err := quicmls.ListenTransport(t, config)
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			for {
				conn, err := listener.Accept(ctx)
				if err != nil {
					return
				}
				go conn.HandshakeContext(ctx)
			}
		}()
	}
	listen(at, configOf(alice, bob))
	listen(bt, configOf(bob, alice))

	for _, end := range []struct {
		from, to *quic.Transport
		config   *quicmls.Config
	}{{at, bt, configOf(alice, bob)}, {bt, at, configOf(bob, alice)}} {
		conn, err := quicmls.DialTransport(ctx, end.from, end.to.Conn.LocalAddr(), end.config)
		if err != nil {
			log.Fatal(err)
		}
		same := conn.LocalAddr().String() == end.from.Conn.LocalAddr().String()
		fmt.Printf("connected to %s from the socket that listens: %t\n", conn.ConnectionState().Peer.Credential.Identity, same)
		conn.CloseWithError(0, "")
	}
	// Output:
	// connected to bob from the socket that listens: true
	// connected to alice from the socket that listens: true
}

// A channel over QUIC connections that a program has already, with TLS of its own. Both ends have to
// begin it before anybody opens a stream.
func ExampleClient() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")
	https := httptest.NewTLSServer(nil) // it has a certificate that is made for tests
	defer https.Close()
	listener, err := quic.ListenAddr("127.0.0.1:0",
		&tls.Config{Certificates: https.TLS.Certificates, NextProtos: []string{"example"}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		q, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		conn := quicmls.Server(q, configOf(bob, alice))
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		io.Copy(stream, stream)
		stream.Close()
	}()

	q, err := quic.DialAddr(ctx, listener.Addr().String(),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"example"}}, nil) // the channel looks who it is
	if err != nil {
		log.Fatal(err)
	}
	conn := quicmls.Client(q, configOf(alice, bob))
	defer conn.CloseWithError(0, "")
	stream, err := conn.OpenStreamSync(ctx) // performs the handshake first
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "hello")
	stream.Close()
	answer, err := io.ReadAll(stream)
	fmt.Printf("%s: %s, %v\n", conn.ConnectionState().Peer.Credential.Identity, answer, err)
	// Output:
	// bob: hello, <nil>
}
