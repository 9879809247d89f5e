package tunnel

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// Both ends end and start again, and go on with the session that they had.
func TestSessionsOutliveTheProcess(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		dir := t.TempDir()
		for i, f := range []*config.File{e.server, e.client} {
			name := filepath.Join(dir, []string{"server", "client"}[i])
			f.Sessions = &config.Sessions{File: name + ".db", Key: name + ".sessions.key"}
		}
		e.server.Forwards[0].Listen = testbed.FreeAddress(t) // the client knows it by that
		for run := range 3 {
			server, client := e.startBoth(t, nil)
			c := testbed.Dial(t, "tcp", addressOf(client, "client"))
			testbed.SayAndHear(t, c, "hello")
			full, resumed := 1, 0
			if run > 0 {
				full, resumed = 0, 1
			}
			for _, tunnel := range []*Tunnel{server, client} {
				if s := statusOf(tunnel); int(s.HandshakesFull) != full || int(s.HandshakesResumed) != resumed {
					t.Errorf("run %d: %d full handshakes and %d resumptions, want %d and %d", run, s.HandshakesFull, s.HandshakesResumed, full, resumed)
				}
			}
			c.Close()
			testbed.Eventually(t, "the connection is over", func() bool { return statusOf(client).Open == 0 && statusOf(server).Open == 0 })
			client.Drain(ended)
			server.Drain(ended)
		}
		if info, err := os.Stat(e.server.Sessions.Key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key's file: %v, %v", info, err)
		}
	})
}

func TestSessionsThatCannotBeOpenedAreSaid(t *testing.T) {
	e := pinnedEnds(t, config.TCP, testbed.Echo(t))
	dir := t.TempDir()
	e.server.Sessions = &config.Sessions{File: filepath.Join(dir, "none", "sessions.db"), Key: filepath.Join(dir, "key")}
	if err := e.server.Check(); err != nil {
		t.Fatal(err)
	}
	if tunnel, err := Start(e.server, Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		tunnel.Drain(ended)
		t.Error("it starts without a place for its sessions")
	}
	e.server.Sessions = &config.Sessions{File: filepath.Join(dir, "sessions.db"), KeyEnv: "MLSTUNNEL_TEST_NO_SUCH_VARIABLE"}
	if tunnel, err := Start(e.server, Options{Log: slog.New(slog.DiscardHandler)}); err == nil {
		tunnel.Drain(ended)
		t.Error("it starts without the key of its sessions")
	}
}
