package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/admin"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

func rekeyCommand() *cobra.Command {
	var address, forward, peer string
	var wait time.Duration
	c := &cobra.Command{
		Use: "rekey", Short: "Replace the own keys of a running mlstunnel's links now", Args: cobra.NoArgs,
		Long:    "Rekey puts fresh key material of this end into all links of a running mlstunnel, or some of them, and waits\nfor the peers to confirm. It heals this end alone: the other has a command of its own.",
		Example: "  mlstunnel rekey\n  mlstunnel rekey --forward postgres --peer spiffe://example.org/ns/prod/web",
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"wait": {wait.String()}}
			if forward != "" {
				query.Set("forward", forward)
			}
			if peer != "" {
				query.Set("peer", peer)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait+10*time.Second)
			defer cancel()
			text, err := ask(ctx, http.MethodPost, address, "/rekey?"+query.Encode())
			if err != nil {
				return err
			}
			var all []links.Rekeyed
			if err := json.Unmarshal(text, &all); err != nil {
				return fmt.Errorf("%s is not mlstunnel: %w", address, err)
			}
			return showRekeyed(cmd.OutOrStdout(), all)
		},
	}
	c.Flags().StringVar(&address, "admin", config.DefaultAdmin, "`address` of the admin listener: host:port or unix:/path")
	c.Flags().StringVar(&forward, "forward", "", "`name` of the forward whose links are meant; all by default")
	c.Flags().StringVar(&peer, "peer", "", "`fingerprint` or attested name of the peer whose links are meant; all by default")
	c.Flags().DurationVar(&wait, "wait", admin.DefaultRekeyWait, fmt.Sprintf("how long peers have to confirm; at most %v", admin.LongestRekeyWait))
	return c
}

// showRekeyed lists the links, and returns an error if one has not got fresh keys.
func showRekeyed(w io.Writer, all []links.Rekeyed) error {
	failed := 0
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(all) > 0 {
		fmt.Fprintln(table, "FORWARD\tLINK\tPEER\tRESULT")
	}
	for _, r := range all {
		if r.Error != "" {
			failed++
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", r.Forward, r.Link, r.Peer, cmp.Or(r.Error, "fresh keys"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d links have no fresh keys", failed, len(all))
	}
	fmt.Fprintf(w, "%d of %d links have fresh keys\n", len(all), len(all))
	return nil
}
