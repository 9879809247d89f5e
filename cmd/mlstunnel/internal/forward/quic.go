package forward

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math"
	"math/big"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/quicmls"
)

const (
	// streamCut is the code with which a stream is cut.
	streamCut quic.StreamErrorCode = 1
	// lastWords is how long a link that is over stays up after its last stream, so that what was sent arrives: to close
	// it discards that.
	lastWords = time.Second
)

// quicmlsConfig returns the configuration of one connection under c, whose session tells link what it does.
func (f *Forward) quicmlsConfig(c *config.Forward, link *links.Link) *quicmls.Config {
	return &quicmls.Config{
		Config: channel.Config{Validator: f.source.Validator(c.Forward), Store: f.store, PeerName: peerName(c), ServerName: serverName(c), Trace: f.trace(link),
			KeyLogWriter: f.options.KeyLog},
		Identities: f.source, IdentitySpread: c.Identity.Spread,
		RefusedBy: f.refused,
		Rekey:     policy(c.Rekey),
		QUIC:      quicConfig(c),
	}
}

func quicConfig(c *config.Forward) *quic.Config {
	return &quic.Config{
		KeepAlivePeriod:       c.KeepAlive,
		MaxIdleTimeout:        3 * c.KeepAlive,
		MaxIncomingStreams:    min(int64(c.MaxConnections), math.MaxInt32) + 1, // the control stream
		MaxIncomingUniStreams: -1,
	}
}

// serverTLS returns the TLS configuration of the listening end. Its certificate proves nothing, and need not: see
// package quicmls, whose listener is not used because each connection has a trace of its own here.
func serverTLS() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{quicmls.NextProto},
		CurvePreferences:       []tls.CurveID{tls.X25519},
		SessionTicketsDisabled: true,
	}, nil
}

// finished returns what closes a connection after its last stream.
func finished(c *quicmls.Conn) func() {
	return func() {
		time.AfterFunc(lastWords, func() { c.CloseWithError(0, "drained") })
	}
}

// secureStream is a stream as an end of a pipe.
type secureStream struct{ *quicmls.Stream }

func (s secureStream) CloseWrite() error { return s.Close() }

func (s secureStream) abort() {
	s.CancelRead(streamCut)
	s.CancelWrite(streamCut)
}
