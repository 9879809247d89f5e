package tunnel

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
	"github.com/mendlink/mendlink/identity"
)

// payload is what nobody but the service may see.
const payload = "the-payload-of-the-tunnel-is-nobody-elses-business"

// secretsOf returns all that must not show, in each form in which it might: private keys, the traffic secrets of all
// epochs, and what was carried.
func secretsOf(t *testing.T, keyLog string, keys ...string) []string {
	var raw [][]byte
	lines := strings.Split(strings.TrimSpace(keyLog), "\n")
	if len(lines) < 10 {
		t.Fatalf("the key log has %d lines: the test has nothing to look for", len(lines))
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		secret, err := hex.DecodeString(fields[len(fields)-1])
		if err != nil || len(secret) < 32 {
			t.Fatalf("not a line of a key log: %q", line)
		}
		raw = append(raw, secret)
	}
	for _, path := range keys {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := identity.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, signer.(interface{ Seed() []byte }).Seed())
		raw = append(raw, []byte(strings.Split(string(text), "\n")[1])) // the base64 of the file
	}
	raw = append(raw, []byte(payload))
	var all []string
	for _, secret := range raw {
		all = append(all, string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
			base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret),
			// As logs print octets; not up to the end, since that may look different with what follows.
			strings.Trim(fmt.Sprint(secret), "[]"), strings.Trim(strconv.Quote(string(secret[:len(secret)-8])), `"`))
	}
	return all
}

func TestSecretsShowNowhere(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		var logs, keyLog syncBuffer
		o := Options{Log: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})), KeyLog: &keyLog}
		e := pinnedEnds(t, transport, testbed.Echo(t))
		e.server.Rekey = &config.Rekey{Every: 100 * time.Millisecond}
		e.client.Rekey = e.server.Rekey
		e.server.Admin, e.client.Admin = "127.0.0.1:0", "127.0.0.1:0"
		server := start(t, e.server, o)
		e.client.Forwards[0].Forward = addressOf(server, "server")
		client := start(t, e.client, o)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.Eventually(t, "updates of both ends", func() bool {
			testbed.SayAndHear(t, c, payload)
			return statusOf(server).UpdatesOwn >= 3 && statusOf(client).UpdatesOwn >= 3
		})
		var shown strings.Builder
		for _, tunnel := range []*Tunnel{server, client} {
			for _, path := range []string{"", "status.json", "metrics", "healthz"} {
				answer, err := http.Get(tunnel.Admin() + path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(&shown, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
					t.Fatalf("%s: %v, %s", path, err, answer.Status)
				}
				answer.Body.Close()
			}
		}
		// What goes wrong is logged as well.
		_, other := testbed.Key(t, "other")
		without := e.server.Forwards[0]
		without.Peers = &config.Peers{Fingerprints: []string{other}}
		reload(t, server, with(e.server, without))
		wantReset(t, c)
		server.Drain(ended)
		client.Drain(ended)
		shown.WriteString(logs.String())
		text := shown.String()
		for _, want := range []string{"mlstunnel_updates_total", `"epochs":`, "<!doctype html>", "listening", "connection cut"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q was not seen: the test looks in the wrong place", want)
			}
		}
		for _, secret := range secretsOf(t, keyLog.String(), e.server.Forwards[0].Identity.Key, e.client.Forwards[0].Identity.Key) {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows", secret)
			}
		}
	})
}
