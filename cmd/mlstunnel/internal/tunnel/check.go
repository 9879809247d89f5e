package tunnel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
)

// Check reads all files that a configuration names, and says what is wrong with them. It listens nowhere.
func Check(c *config.File) error {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var all []error
	for i := range c.Forwards {
		source, err := credentials.Open(&c.Forwards[i], quiet)
		if err != nil {
			all = append(all, fmt.Errorf("forward %s: %w", c.Forwards[i].Name, err))
			continue
		}
		source.Close()
	}
	return errors.Join(all...)
}
