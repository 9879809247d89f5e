package tunnel

import (
	"context"
	"testing"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

func TestKeysAreReplacedWhenSomebodySaysSo(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e, _, _, _ := certifiedEnds(t, transport)
		never := &config.Rekey{Every: -1, Bytes: -1, Records: -1}
		e.server.Rekey, e.client.Rekey = never, never
		server, client := e.startBoth(t, nil)
		for range 3 {
			testbed.SayAndHear(t, testbed.Dial(t, "tcp", addressOf(client, "client")), "hello")
		}
		want := map[string]int{config.TCP: 3, config.QUIC: 1}[transport]
		ctx, cancel := context.WithTimeout(t.Context(), testbed.HangBound)
		defer cancel()
		for i, peer := range []string{"", "spiffe://example.org/server", statusOf(server).Fingerprint} {
			all, err := client.registry.Rekey(ctx, "client", peer)
			if err != nil || len(all) != want {
				t.Fatalf("got %+v, %v, want %d links", all, err, want)
			}
			for j, l := range statusOf(client).Links {
				if all[j].Error != "" || l.UpdatesOwn != uint64(i+1) || l.UpdatesPeer != 0 {
					t.Errorf("got %+v, and %+v", all[j], l)
				}
			}
		}
		testbed.Eventually(t, "the server has counted them as those of its peers", func() bool {
			return statusOf(server).UpdatesPeer == uint64(3*want) && statusOf(server).UpdatesOwn == 0
		})
	})
}
