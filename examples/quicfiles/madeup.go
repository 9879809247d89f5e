package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// makeUp fills a directory with files that cannot be compressed: one of largest octets, and others of
// all sizes below a 64th of that, also in directories.
func makeUp(dir string, files int, largest int64) error {
	data := rand.NewChaCha8([32]byte{'f', 'i', 'l', 'e', 's'}) // not a cryptographic use
	sizes := rand.New(data)
	for i := range files {
		size := largest
		if i > 0 {
			size = sizes.Int64N(1 + largest/64>>sizes.IntN(8))
		}
		name := filepath.Join(dir, fmt.Sprintf("%d", i%10), fmt.Sprintf("file-%03d", i))
		if i == 0 {
			name = filepath.Join(dir, "0-large") // the first to be sent
		}
		if err := writeFile(name, io.LimitReader(data, size)); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
