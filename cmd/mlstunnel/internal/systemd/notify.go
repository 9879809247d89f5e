package systemd

import (
	"fmt"
	"net"
	"os"
)

// Ready says that the service has started, or has reloaded its configuration.
func Ready() error { return notify("READY=1") }

// Stopping says that the service has begun to stop.
func Stopping() error { return notify("STOPPING=1") }

// notify sends a message to the service manager, if there is one.
func notify(message string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A path that begins with @ is a name in the abstract namespace, which net takes as it is.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(message)); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return nil
}
