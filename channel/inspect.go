package channel

import (
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// Group opens what a store holds of a session and returns its MLS group, for
// tools that look into stores: of two groups, the one that keys the records. cfg.Identity has to be the session's own. The
// group holds all private keys of the session: the caller erases it, and must
// not send anything with it, as a live connection uses the same keys.
func (s StoredSession) Group(cfg *Config) (*mls.Group, error) {
	session, err := newSession(cfg)
	if err != nil {
		return nil, err
	}
	session.id = s.ID
	if err := session.unmarshal(s.Data); err != nil {
		session.Close()
		return nil, fmt.Errorf("channel: opening a stored session: %w", err)
	}
	group := session.group
	if session.pair != nil {
		session.pair.PQ().Erase()
	}
	session.group, session.pair = nil, nil
	session.Close()
	return group, nil
}
