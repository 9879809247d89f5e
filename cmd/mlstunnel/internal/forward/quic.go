package forward

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

const (
	// streamCut is the code with which a stream is cut.
	streamCut quic.StreamErrorCode = 1
	// lastWords is how long a link that is over stays up after its last stream, so that what was sent arrives: to close
	// it discards that.
	lastWords = time.Second
	// rotationRetry is how long after a failure a new identity is shown again.
	rotationRetry = 10 * time.Second
)

// quicmlsConfig returns the configuration of one connection, whose session tells link what it does, and the
// identity that it begins with.
func (f *Forward) quicmlsConfig(link *links.Link) (*quicmls.Config, mls.Identity) {
	c, self := f.config.Load(), f.source.Identities()[0]
	return &quicmls.Config{
		Config: channel.Config{Identity: self, PreviousIdentities: f.source.PreviousIdentities(), Validator: f.source, Store: f.store,
			PeerName: peerName(c), ServerName: serverName(c), Trace: link.Trace(), KeyLogWriter: f.options.KeyLog},
		Rekey: policy(c.Rekey),
		QUIC:  quicConfig(c),
	}, self
}

func quicConfig(c *config.Forward) *quic.Config {
	return &quic.Config{
		KeepAlivePeriod:       c.KeepAlive,
		MaxIdleTimeout:        3 * c.KeepAlive,
		MaxIncomingStreams:    int64(c.MaxConnections) + 1, // the control stream
		MaxIncomingUniStreams: -1,
	}
}

// serverTLS returns the TLS configuration of the listening end. Its certificate proves nothing, and need not: see
// package quicmls, whose listener is not used because each connection has a configuration of its own here.
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

// follow has a connection show the identity of the moment, and asks about the peer again when what is trusted changes,
// and when its certificate ends. It returns when the connection has ended.
func (f *Forward) follow(c *quicmls.Conn, shown mls.Identity, log *slog.Logger) {
	changed := make(chan struct{}, 1)
	changed <- struct{}{} // it may have changed since the connection began
	stop := f.source.Watch(func() {
		select {
		case changed <- struct{}{}:
		default: // it is going to be looked at anyhow
		}
	})
	defer stop()
	again := time.NewTimer(untilExpiry(c))
	defer again.Stop()
	for {
		select {
		case <-c.Context().Done():
			return
		case <-changed:
		case <-again.C:
		}
		if err := c.Revalidate(channel.RefusalClose); err != nil {
			log.Warn("the peer is not accepted any more", "error", err)
			return
		}
		next := untilExpiry(c)
		if now := f.source.Identities()[0]; !credentials.Same(now, shown) {
			ctx, cancel := context.WithTimeout(c.Context(), rotationRetry)
			err := c.Rotate(ctx, now)
			cancel()
			if err == nil {
				shown = now
				log.Info("own identity rotated in the living link")
			} else if c.Context().Err() == nil {
				log.Warn("rotating the own identity", "error", err)
				next = rotationRetry
			}
		}
		again.Reset(next)
	}
}

// untilExpiry is how long the peer's certificate is still valid.
func untilExpiry(c *quicmls.Conn) time.Duration {
	const never = time.Duration(1<<63 - 1)
	peer := c.ConnectionState().Peer
	if peer == nil {
		return never
	}
	expiry, err := channel.CredentialExpiry(peer.Credential)
	if err != nil || expiry.IsZero() {
		return never
	}
	return max(time.Second, time.Until(expiry)+time.Second)
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
