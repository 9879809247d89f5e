package netconn

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// The same transfer over netconn and over crypto/tls with the same AEAD. These tell
// of gross changes; bench/ has the comparisons that count.
func BenchmarkTransfer(b *testing.B) {
	for _, size := range []struct {
		name        string
		write, read int
	}{{"1KiB", 1 << 10, 64 << 10}, {"16KiB", 16 << 10, 64 << 10}, {"1MiB", 1 << 20, 256 << 10}} {
		b.Run(size.name+"/netconn", func(b *testing.B) {
			client, server := newConnPair(b)
			benchmarkTransfer(b, client, server, size.write, size.read)
		})
		b.Run(size.name+"/tls", func(b *testing.B) {
			client, server := tlsPair(b)
			benchmarkTransfer(b, client, server, size.write, size.read)
		})
	}
}

func benchmarkTransfer(b *testing.B, from, to net.Conn, write, read int) {
	done := make(chan struct{})
	total := int64(b.N) * int64(write)
	go func() {
		defer close(done)
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(to, total)}, make([]byte, read))
	}()
	p := make([]byte, write)
	b.SetBytes(int64(write))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := from.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	<-done
}

func BenchmarkPingPong(b *testing.B) {
	run := func(b *testing.B, client, server net.Conn) {
		go io.CopyBuffer(struct{ io.Writer }{server}, struct{ io.Reader }{server}, make([]byte, 1024))
		p := make([]byte, 1)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Write(p); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(client, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("netconn", func(b *testing.B) {
		client, server := newConnPair(b)
		run(b, client, server)
	})
	b.Run("tls", func(b *testing.B) {
		client, server := tlsPair(b)
		run(b, client, server)
	})
}

func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name  string
		suite ciphersuite.ID
	}{{"X25519", 1}, {"MLKEM768X25519", 0xf001}} {
		b.Run(c.name, func(b *testing.B) {
			ic, rc := newConfigs(b)
			ic.Suites, rc.Suites = []ciphersuite.ID{c.suite}, []ciphersuite.ID{c.suite}
			b.ReportAllocs()
			for b.Loop() {
				x, y := net.Pipe()
				client, server := Client(x, ic), Server(y, rc)
				if clientErr, serverErr := handshakeBoth(client, server); clientErr != nil || serverErr != nil {
					b.Fatal(clientErr, serverErr)
				}
				x.Close()
				y.Close()
				client.Close()
				server.Close()
			}
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	client, server := newConnPair(b)
	for _, c := range []*Conn{client, server} {
		go c.Read(make([]byte, 1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := client.Update(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func tlsPair(b *testing.B) (client, server net.Conn) {
	x, y := tcpPair(b)
	certificate := selfSigned(b)
	c := tls.Client(x, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	s := tls.Server(y, &tls.Config{Certificates: []tls.Certificate{certificate}})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c, s
}
