package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
)

// A page that would be written where no file has one is damage. A full or broken disk is not.
func TestWritesToNowhereAreDamage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&fs.PathError{Op: "write", Err: syscall.EFBIG}, true},
		{fmt.Errorf("writing: %w", &fs.PathError{Op: "write", Err: syscall.EINVAL}), true},
		{&fs.PathError{Op: "writeat", Err: errors.New("negative offset")}, true},
		{&fs.PathError{Op: "write", Err: syscall.ENOSPC}, false},
		{&fs.PathError{Op: "write", Err: syscall.EIO}, false},
		{syscall.EFBIG, false},
		{nil, false},
	} {
		if got := isNowhere(c.err); got != c.want {
			t.Errorf("%v: %t, want %t", c.err, got, c.want)
		}
	}
}
