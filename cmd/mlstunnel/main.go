// Command mlstunnel carries plain TCP connections, or those of Unix sockets, over Mendlink: between two machines, with
// keys that are renewed all the time. See docs/operations.md.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	if err := root().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "mlstunnel:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "mlstunnel",
		Short:         "A tunnel whose connections heal",
		Long:          "Mlstunnel carries plain connections over Mendlink, whose keys are renewed all the time while connections live.\n\nTry: mlstunnel demo",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.AddCommand(keygenCommand(), fingerprintCommand(), serverCommand(), clientCommand(), runCommand(), checkConfigCommand(), statusCommand(), rekeyCommand(), demoCommand())
	return c
}
