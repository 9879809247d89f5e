package main

import (
	"encoding/binary"
	"fmt"
)

// A pattern is an endless stream of octets in which each place differs from those around it:
// the number of each group of eight.
type pattern struct{ at uint64 }

// fill writes what comes next into b.
func (p *pattern) fill(b []byte) {
	var group [8]byte
	for len(b) > 0 {
		binary.BigEndian.PutUint64(group[:], p.at/8)
		n := copy(b, group[p.at%8:])
		b = b[n:]
		p.at += uint64(n)
	}
}

// check compares b with what comes next.
func (p *pattern) check(b []byte) error {
	var group [8]byte
	for len(b) > 0 {
		binary.BigEndian.PutUint64(group[:], p.at/8)
		want := group[p.at%8:]
		n := min(len(b), len(want))
		if string(b[:n]) != string(want[:n]) {
			return fmt.Errorf("octets %x at %d, want %x", b[:n], p.at, want[:n])
		}
		b = b[n:]
		p.at += uint64(n)
	}
	return nil
}
