package systemd

import (
	"fmt"
	"net"
	"os"
	"time"
)

// Ready says that the service has started, or has reloaded its configuration.
func Ready() error { return notify("READY=1") }

// Stopping says that the service has begun to stop.
func Stopping() error { return notify("STOPPING=1") }

// patience is how long a service manager may leave messages lying before one of them is lost.
const patience = time.Second

// notify sends a message to the service manager, if there is one. One that takes no messages does not keep
// the service from what it does.
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
	err = c.SetWriteDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = c.Write([]byte(message))
	}
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return nil
}
