//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package forward

// lockDirectory does nothing: there is no lock here that ends with the process.
func lockDirectory(string) (unlock func(), err error) { return func() {}, nil }
