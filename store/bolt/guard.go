package bolt

import (
	"fmt"
	"runtime/debug"
)

// guarded calls f, which reads the pages of the file. bbolt panics where these make no
// sense, and the system signals a fault where the file is shorter than they say.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return f()
}
