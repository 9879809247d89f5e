package tunnel

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
	"github.com/mendlink/mendlink/identity"
)

func publicOf(t *testing.T, key string) crypto.PublicKey {
	t.Helper()
	signer, err := identity.LoadPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer.Public()
}

// publicKeyFile writes a public key as keygen does.
func publicKeyFile(t *testing.T, key crypto.PublicKey) string {
	t.Helper()
	text, err := identity.MarshalPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pub")
	testbed.Write(t, path, text)
	return path
}

// knownHost writes a file of known hosts with one key.
func knownHost(t *testing.T, name string, key crypto.PublicKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hosts")
	testbed.Write(t, path, hostLine(t, name, key))
	return path
}

// hostLine is a line of such a file.
func hostLine(t *testing.T, name string, key crypto.PublicKey) []byte {
	t.Helper()
	encoded, err := identity.EncodePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, "%s ed25519 %s\n", name, base64.StdEncoding.EncodeToString(encoded))
}

func TestPeersAreKnownByFilesOfKeysOrKnownHosts(t *testing.T) {
	for _, hosts := range []bool{false, true} {
		transports(t, func(t *testing.T, transport string) {
			e := pinnedEnds(t, transport, testbed.Echo(t))
			serverKey, clientKey := publicOf(t, e.server.Forwards[0].Identity.Key), publicOf(t, e.client.Forwards[0].Identity.Key)
			e.server.Forwards[0].Peers = &config.Peers{Keys: []string{publicKeyFile(t, clientKey)}}
			if hosts {
				e.server.Forwards[0].Peers = &config.Peers{KnownHosts: knownHost(t, "client", clientKey)}
			}
			server, client := e.startBoth(t, func(address string) string {
				e.client.Forwards[0].Peers = &config.Peers{Keys: []string{publicKeyFile(t, serverKey)}}
				if hosts {
					e.client.Forwards[0].Peers = &config.Peers{KnownHosts: knownHost(t, address, serverKey)}
				}
				return address
			})
			c := testbed.Dial(t, "tcp", addressOf(client, "client"))
			testbed.SayAndHear(t, c, "hello")
			// Another key is in the file, and a reload drops the link.
			_, other := testbed.Key(t, "other")
			changed := e.server.Forwards[0]
			if hosts {
				otherKey, _ := testbed.Key(t, "client")
				changed.Peers = &config.Peers{KnownHosts: knownHost(t, "client", publicOf(t, otherKey))}
			} else {
				changed.Peers = &config.Peers{Fingerprints: []string{other}}
			}
			reload(t, server, with(e.server, changed))
			wantReset(t, c)
		})
	}
}
