package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/store/seal"
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
	if s := c.Sessions; s != nil && s.Key != "" {
		// One that is not there is made at the start, and what is in the environment is that of the service.
		if _, err := seal.LoadKeyring(context.Background(), seal.File(s.Key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = append(all, fmt.Errorf("sessions: %w", err))
		}
	}
	return errors.Join(all...)
}
