package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

func statusCommand() *cobra.Command {
	var address string
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Show the links of a running mlstunnel", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := fetch(cmd.Context(), address)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(text)
				return err
			}
			var s links.Status
			if err := json.Unmarshal(text, &s); err != nil {
				return fmt.Errorf("%s is not mlstunnel: %w", address, err)
			}
			return show(cmd.OutOrStdout(), s)
		},
	}
	c.Flags().StringVar(&address, "admin", config.DefaultAdmin, "`address` of the admin listener: host:port or unix:/path")
	c.Flags().BoolVar(&asJSON, "json", false, "print the status as JSON")
	return c
}

// maxStatus bounds an answer, in octets.
const maxStatus = 256 << 20

// fetch gets status.json from an admin listener.
func fetch(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return ask(ctx, http.MethodGet, address, "/status.json")
}

// ask asks an admin listener. An answer that says what is wrong is an error.
func ask(ctx context.Context, method, address, path string) ([]byte, error) {
	network := "tcp"
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.200q", address, answer.Status, bytes.TrimSpace(text))
	}
	return text, nil
}

func show(w io.Writer, s links.Status) error {
	for _, problem := range s.Problems() {
		fmt.Fprintln(w, "problem:", problem)
	}
	for _, f := range s.Forwards {
		fmt.Fprintf(w, "%s: %s over %s, %s to %s, own key %s\n", f.Name, f.Role, f.Transport, f.Listen, f.Forward, f.Fingerprint)
		fmt.Fprintf(w, "  connections %d open of %d, handshakes %d full %d resumed %d failed, rekeys %d own %d peer, octets %d sent %d received\n",
			f.Open, f.Connections, f.HandshakesFull, f.HandshakesResumed, f.HandshakesFailed, f.UpdatesOwn, f.UpdatesPeer, f.BytesToPeer, f.BytesFromPeer)
		if len(f.Links) == 0 {
			continue
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "  LINK\tPEER\tNAME\tADDRESS\tUP\tRESUMED\tEPOCH\tKEY AGE\tLAST HEAL\tREKEYS\tSENT\tRECEIVED\tEXPIRES")
		for _, l := range f.Links {
			heal, expires := "-", "-"
			if l.LastHeal != nil {
				heal = s.Time.Sub(*l.LastHeal).Round(time.Second).String()
			}
			if l.Expires != nil {
				expires = l.Expires.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%v\t%t\t%d\t%v\t%s\t%d+%d\t%d\t%d\t%s\n", l.ID, l.Peer, printable(l.Name), l.Remote, s.Time.Sub(l.Since).Round(time.Second),
				l.Resumed, l.Epoch, time.Duration(l.KeyAge*float64(time.Second)).Round(time.Second), heal, l.UpdatesOwn, l.UpdatesPeer, l.BytesToPeer, l.BytesFromPeer, expires)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// printable keeps what an authority has let into a name from doing things to a terminal, or to the table.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}
