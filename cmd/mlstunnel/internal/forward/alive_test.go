package forward

import (
	"context"
	"log/slog"
	"testing"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

func TestAForwardThatTakesNothingInIsNotAlive(t *testing.T) {
	for _, transport := range []string{config.TCP, config.QUIC} {
		for _, stop := range []bool{false, true} {
			key, fingerprint := testbed.Key(t, "server")
			file := &config.File{Admin: "off", Forwards: []config.Forward{{Name: "server", Role: config.Server, Transport: transport, Listen: "127.0.0.1:0",
				Forward: "127.0.0.1:1", Identity: &config.Identity{Key: key}, Peers: &config.Peers{Fingerprints: []string{fingerprint}}}}}
			if err := file.Check(); err != nil {
				t.Fatal(err)
			}
			f, err := Open(&file.Forwards[0], Options{Registry: links.New(), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Alive(); err != nil {
				t.Errorf("%s: %v", transport, err)
			}
			switch s := f.side.(type) {
			case *acceptor:
				if !stop {
					s.listener.Close() // under its feet
				}
			case *quicServer:
				if !stop {
					s.listener.Close()
				}
			}
			if stop {
				f.Stop()
			}
			testbed.Eventually(t, "nothing is taken in", f.over.Load)
			if err := f.Alive(); (err == nil) != stop {
				t.Errorf("%s, told to stop %v: got %v", transport, stop, err)
			}
			f.Drain(context.Background())
		}
	}
}
