package webtoken_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/identity/webtoken"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// A replica shows a token of its issuer's to a server, and of what that says only its role.
func ExampleOpen() {
	_, issuerKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	_, replicaKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	issuer := &webtoken.Issuer{Name: "https://issuer.example", KeyID: "2026-1", Signer: issuerKey}

	// The replica gets a new token before the old one expires.
	source, err := webtoken.Open(context.Background(), webtoken.SourceOptions{
		Fetch: func(context.Context) ([]mls.Identity, error) {
			issued, err := issuer.SDJWT(webtoken.Template{ // in earnest, a request to the issuer
				Subject: "replica-7", Holder: replicaKey.Public(), IssuedAt: time.Now(), Expiry: time.Now().Add(time.Hour),
				Claims: map[any]any{"role": webtoken.Hidden{Value: "db"}, "rack": webtoken.Hidden{Value: 12}},
			})
			if err != nil {
				return nil, err
			}
			id, err := webtoken.Present(issued, webtoken.PresentOptions{Signer: replicaKey, Audience: "mesh", Disclose: webtoken.DiscloseNames("role")})
			return []mls.Identity{id}, err
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()

	// The server lets databases in.
	issuers := new(webtoken.Issuers)
	if err := issuers.Set("https://issuer.example", webtoken.IssuerKey{ID: "2026-1", Key: issuerKey.Public()}); err != nil {
		log.Fatal(err)
	}
	replicas, err := webtoken.NewValidator(webtoken.Options{
		Issuers: issuers, Audiences: []string{"mesh"},
		Accept: func(t *webtoken.Token) error {
			if role, _ := t.Claim("role"); role != "db" {
				return fmt.Errorf("%q is no database", t.Subject)
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	self, err := identity.Generate(rand.Reader, "server")
	if err != nil {
		log.Fatal(err)
	}
	var feed identity.Feed
	feed.SetIdentities(self)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := netconn.NewListener(listener, &netconn.Config{Identities: issuers.With(&feed), Validator: replicas})
	defer server.Close()
	go func() {
		pinned, err := identity.NewPinned(self.Signer.Public())
		if err != nil {
			log.Fatal(err)
		}
		conn, err := netconn.Dial("tcp", listener.Addr().String(), &netconn.Config{Identities: source, Validator: pinned})
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "hello")
	}()
	conn, err := server.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil {
		log.Fatal(err)
	}
	peer := conn.(*netconn.Conn).ConnectionState().Peer
	token, err := webtoken.Read(&peer.Credential)
	if err != nil {
		log.Fatal(err)
	}
	role, _ := token.Claim("role")
	_, hasRack := token.Claim("rack")
	fmt.Println(token.Issuer, token.Subject, role, hasRack)
	// Output: https://issuer.example replica-7 db false
}

// Issuers' keys come as a JWK Set, and change.
func ExampleIssuers_SetJWKS() {
	issuers := new(webtoken.Issuers)
	stop := issuers.Watch(func() { fmt.Println("peers are looked at again") })
	defer stop()
	err := issuers.SetJWKS("https://issuer.example", []byte(`{"keys":[
		{"kty":"OKP","crv":"Ed25519","kid":"2026-1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	fmt.Println(err)
	issuers.Remove("https://issuer.example")
	// Output:
	// peers are looked at again
	// <nil>
	// peers are looked at again
}

// A holder that has a token as text, as of an SD-JWT wallet or of an ordinary issuer, shows it like this.
func ExamplePresent() {
	_, issuerKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	_, holderKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	issuer := &webtoken.Issuer{Name: "https://issuer.example", Signer: issuerKey}
	issued, err := issuer.SDCWT(webtoken.Template{Subject: "db-7", Holder: holderKey.Public(), Expiry: time.Now().Add(time.Hour), Claims: map[any]any{500: webtoken.Hidden{Value: "db"}}})
	if err != nil {
		log.Fatal(err)
	}
	id, err := webtoken.Present(issued, webtoken.PresentOptions{Signer: holderKey, Audience: "mesh", Disclose: func(d webtoken.Disclosure) bool {
		fmt.Printf("%v is %v: disclosed\n", d.Name, d.Value)
		return true
	}})
	if err != nil {
		log.Fatal(err)
	}
	token, err := webtoken.Read(&id.Credential)
	if err != nil {
		log.Fatal(err)
	}
	role, _ := token.Claim(500)
	fmt.Println(token.Subject, role)
	// Output:
	// 500 is db: disclosed
	// db-7 db
}
