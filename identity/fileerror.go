package identity

import (
	"fmt"
	"strings"
)

// A FileError says what is wrong with a file, and where. It wraps the reason, such as
// [ErrKey], [ErrPermissions] or what the file system says.
type FileError struct {
	Path  string
	Line  int    // from 1; 0 if it is the file as a whole
	Field string // which part of the line or of the file; may be empty
	Err   error
}

func (e *FileError) Error() string {
	var b strings.Builder
	b.WriteString("identity: " + e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	b.WriteString(": " + strings.TrimPrefix(e.Err.Error(), "identity: "))
	return b.String()
}

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }
