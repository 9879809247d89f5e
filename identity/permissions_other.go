//go:build !unix

package identity

import "io/fs"

// Where access is not a matter of mode bits, the directory has to see to it.
func ownerOnly(fs.FileInfo) error     { return nil }
func ownerAndGroup(fs.FileInfo) error { return nil }

func notWritableByOthers(fs.FileInfo) error { return nil }

// There is no such thing.
func syncDirectory(string) error { return nil }
