package tunnel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/store/bolt"
	"github.com/mendlink/mendlink/store/seal"
)

// openSessions opens the file of the sessions. A key's file that is not there is made.
func openSessions(c *config.Sessions, log *slog.Logger) (*bolt.Store, error) {
	source := seal.Environment(c.KeyEnv)
	if c.KeyEnv == "" {
		source = seal.File(c.Key)
		switch err := seal.CreateFile(c.Key, rand.Reader); {
		case err == nil:
			log.Info("a key for the sessions was made", "file", c.Key)
		case !errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("sessions: %w", err)
		}
	}
	keys, err := seal.LoadKeyring(context.Background(), source)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	store, err := bolt.Open(c.File, &bolt.Config{Keys: keys, Unreadable: func(id channel.SessionID, err error) {
		log.Warn("a session cannot be read and is passed over", "session", id, "error", err)
	}})
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return store, nil
}
