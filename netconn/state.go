package netconn

import "github.com/mendlink/mendlink/channel"

// A ConnectionState says how a connection is protected at one moment. Before the
// handshake is complete all of it is zero. Its EarlyData says what became of what
// [Conn.SetEarlyData] was given.
type ConnectionState = channel.ConnectionState

// ConnectionState returns the state of the moment, or the last one of a connection that has ended.
func (c *Conn) ConnectionState() ConnectionState { return c.driver.State() }

// ExportKeyingMaterial returns length octets that both ends, and nobody else, can
// compute from label and context. They are bound to the epoch: both ends must call it
// in the same one (see ConnectionState), and another epoch gives other octets. It performs the
// handshake first if need be.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) (out []byte, err error) {
	err = c.look("export", func(s *channel.Session) (err error) {
		out, err = s.ExportKeyingMaterial(label, context, length)
		return err
	})
	return out, err
}

// ExportFrom is [Conn.ExportKeyingMaterial] for what the end of the given role alone
// sends: each role gives other octets, and they are bound to who has it.
func (c *Conn) ExportFrom(from channel.Role, label string, context []byte, length int) (out []byte, err error) {
	err = c.look("export", func(s *channel.Session) (err error) {
		out, err = s.ExportFrom(from, label, context, length)
		return err
	})
	return out, err
}

// EpochAuthenticator returns a value that both ends have in common in an epoch, and that
// says nothing about its keys: with somebody in the middle they see different ones. It is of
// the size of the suite's hash, and nil before the handshake and after the end of the connection.
func (c *Conn) EpochAuthenticator() (out []byte) {
	c.driver.Look(func(s *channel.Session) {
		if s != nil {
			out = s.EpochAuthenticator()
		}
	})
	return out
}

// ShortFingerprint returns the EpochAuthenticator in a form for people to compare, six
// groups of five digits. Empty where that is nil.
func (c *Conn) ShortFingerprint() (out string) {
	c.driver.Look(func(s *channel.Session) {
		if s != nil {
			out = s.ShortFingerprint()
		}
	})
	return out
}

// look lets f use the session, which does not say anything by it.
func (c *Conn) look(op string, f func(*channel.Session) error) (err error) {
	if err := c.Handshake(); err != nil {
		return err
	}
	c.driver.Look(func(s *channel.Session) { err = f(s) })
	return c.opError(op, c.orClosed(err))
}
