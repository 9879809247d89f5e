// Tlsboth puts Mendlink and TLS on each other, both ways round, with crypto/tls as it is.
//
// First a TLS session runs inside a Mendlink connection: an application keeps its TLS, and the
// link beneath heals. Then Mendlink runs inside a TLS connection, as it has to where only
// TLS gets through, and is bound to it by the TLS exporter (RFC 9266): somebody in the middle,
// whose certificate TLS accepts, is noticed although all he does is to relay. Without the
// binding he is not, but gets to see Mendlink's records only.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/netconn"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: TLS inside, TLS beneath, and somebody in the middle was noticed")
}

func run(ctx context.Context) error {
	client, server, err := newConfigs()
	if err != nil {
		return err
	}
	tlsClient, tlsServer, err := newTLS()
	if err != nil {
		return err
	}
	if err := show(ctx, "TLS in Mendlink", clientWithTLSInside(tlsClient, client), serverWithTLSInside(tlsServer, server)); err != nil {
		return err
	}
	if err := show(ctx, "Mendlink in TLS", clientOverTLS(tlsClient, client, exported), serverOverTLS(tlsServer, server, exported)); err != nil {
		return err
	}
	return showMiddle(ctx, tlsClient, tlsServer, client, server)
}

// show connects two ends, and sends data both ways while they update their keys.
func show(ctx context.Context, what string, client, server stack) error {
	epoch, err := connectAndExchange(ctx, client, server, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	log.Printf("%s: 4 MiB each way, epoch %d", what, epoch)
	return nil
}

// showMiddle puts somebody in the middle of the TLS connection beneath, who has a
// certificate that the client accepts.
func showMiddle(ctx context.Context, tlsClient, tlsServer *tls.Config, client, server *netconn.Config) error {
	through := func(bind binding) (read int, err error) {
		var m *middle
		_, err = connectAndExchange(ctx, clientOverTLS(tlsClient, client, bind), serverOverTLS(tlsServer, server, bind),
			func(target string) (addr string, err error) {
				m, addr, err = newMiddle(tlsClient, tlsServer, target)
				return addr, err
			})
		if m != nil {
			read = m.close()
		}
		return read, err
	}
	read, err := through(unbound)
	if err != nil {
		return fmt.Errorf("with somebody in the middle, without a binding: %w", err)
	}
	if read < 2*exchangeSize {
		return fmt.Errorf("what should have been in the middle has seen %d octets", read)
	}
	log.Printf("somebody in the middle of TLS, without a binding: not noticed; he has seen %d octets of Mendlink's records", read)
	if _, err := through(exported); !errors.Is(err, channel.ErrTransportBinding) {
		return fmt.Errorf("with somebody in the middle: got %v, want an error about the binding", err)
	}
	log.Print("somebody in the middle of TLS, with the binding: the ends refuse each other")
	return nil
}

// connectAndExchange returns the epoch at the end.
func connectAndExchange(ctx context.Context, client, server stack, relay func(addr string) (string, error)) (epoch uint64, err error) {
	c, s, err := connect(ctx, client, server, relay)
	if err != nil {
		return 0, err
	}
	defer c.close()
	defer s.close()
	if err := exchange(ctx, c, s); err != nil {
		return 0, err
	}
	epoch = c.link.ConnectionState().Epoch
	if epoch < 3 { // the handshake's is the first, and each end has made an update
		return 0, fmt.Errorf("epoch %d after two updates", epoch)
	}
	return epoch, nil
}
