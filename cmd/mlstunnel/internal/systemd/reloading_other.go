//go:build !linux

package systemd

// Reloading does nothing where there is no systemd.
func Reloading() error { return nil }
