package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/mendlink/mendlink/netconn"
)

// A client speaks one version of HTTP to a server.
type client struct {
	http    *http.Client
	url     string
	version int

	mu   sync.Mutex
	last *netconn.Conn // the last one that was dialled
}

// newClient returns a client of the server at addr. The URL's scheme is http and not
// https, which would ask for TLS; what encrypts is the dialer.
func newClient(config *netconn.Config, addr string, version int) *client {
	c := &client{url: "http://" + addr, version: version}
	dialer := &netconn.Dialer{Config: config}
	c.http = &http.Client{Transport: &http.Transport{
		Protocols:       protocols(version),
		MaxConnsPerHost: 1, // so that the connection which is updated is the one in use
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err == nil {
				c.mu.Lock()
				c.last = conn.(*netconn.Conn)
				c.mu.Unlock()
			}
			return conn, err
		},
	}}
	return c
}

func (c *client) close() { c.http.CloseIdleConnections() }

// conn returns the connection that the client has.
func (c *client) conn() *netconn.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *client) epoch() uint64 { return c.conn().ConnectionState().Epoch }

func (c *client) update(ctx context.Context) error { return c.conn().Update(ctx) }

// do sends a request and sees that the answer is of the right version and status.
func (c *client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.ProtoMajor != c.version || resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s %s, want HTTP/%d and 200", method, path, resp.Proto, resp.Status, c.version)
	}
	return resp, nil
}

// whoAmI asks whom the server takes the client for.
func (c *client) whoAmI(ctx context.Context) (string, error) {
	resp, err := c.do(ctx, http.MethodGet, "/peer", nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	name, err := io.ReadAll(resp.Body)
	return string(name), err
}

// upload sends n octets, updates the client's keys in the middle of them, and checks
// the hash that the server found.
func (c *client) upload(ctx context.Context, n int64) error {
	h := sha256.New()
	data := newData()
	body := io.MultiReader(
		io.LimitReader(data, n/2),
		&onFirstRead{do: func() error { return c.update(ctx) }},
		io.LimitReader(data, n-n/2))
	resp, err := c.do(ctx, http.MethodPost, "/hash", io.TeeReader(body, h))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	want := hex.EncodeToString(h.Sum(nil))
	if trailer := resp.Trailer.Get(hashTrailer); string(got) != want || trailer != want {
		return fmt.Errorf("upload: the server's hash is %s, and %q in the trailer, want %s", got, trailer, want)
	}
	return nil
}

// onFirstRead is an empty reader that does something when its turn comes.
type onFirstRead struct{ do func() error }

func (r *onFirstRead) Read([]byte) (int, error) {
	if err := r.do(); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// download fetches n octets and checks them against the hash in the trailer.
func (c *client) download(ctx context.Context, n int64) error {
	resp, err := c.do(ctx, http.MethodGet, fmt.Sprintf("/data?n=%d", n), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	h := sha256.New()
	got, err := io.Copy(h, resp.Body)
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); got != n || sum != resp.Trailer.Get(hashTrailer) {
		return fmt.Errorf("download: %d octets with hash %s, want %d and %q", got, sum, n, resp.Trailer.Get(hashTrailer))
	}
	return nil
}

// talk sends messages in one request. It waits for each to come back, and calls then,
// before it sends the next.
func (c *client) talk(ctx context.Context, messages int, then func(i int) error) error {
	body, send := io.Pipe()
	defer send.Close()
	resp, err := c.do(ctx, http.MethodPost, "/echo", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for i := range messages {
		want := fmt.Appendf(nil, "message %d", i)
		if _, err := send.Write(want); err != nil {
			return err
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("talk: %q came back as %q", want, got)
		}
		if err := then(i); err != nil {
			return err
		}
	}
	send.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		return fmt.Errorf("talk: %d octets too many, %v", len(rest), err)
	}
	return nil
}

// upgrade leaves HTTP behind on a connection of its own, and updates its keys there.
func (c *client) upgrade(ctx context.Context, lines int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/lines", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", upgradeName)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	stream, ok := resp.Body.(io.ReadWriter)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		return fmt.Errorf("upgrade: %s", resp.Status)
	}
	answers := bufio.NewReader(stream)
	for i := range lines {
		want := fmt.Sprintf("line %d\n", i)
		if _, err := io.WriteString(stream, want); err != nil {
			return err
		}
		if got, err := answers.ReadString('\n'); err != nil || got != want {
			return fmt.Errorf("upgrade: %q came back as %q, %w", want, got, err)
		}
		if err := c.update(ctx); err != nil {
			return err
		}
	}
	return nil
}
