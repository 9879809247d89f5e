package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
)

// A part is one thing that is made of files and made again when what they hold changes.
//
// It goes by content and not by dates: a symbolic link that points elsewhere, as Kubernetes
// changes its volumes, is a change like any other, and so is a second one within the same tick of the
// file system's clock. The files are small.
type part struct {
	files []file
	load  func(texts [][]byte) error // takes over what they hold, or leaves all as it was

	loaded digest // what was taken over last
	seen   digest // what was there at the last look
	err    error  // why that was not taken over
}

// A file is read whole. verify looks at it first; nil is no check.
type file struct {
	path   string
	verify func(fs.FileInfo) error
}

type digest [sha256.Size]byte

// read returns what the files hold. The caller erases it.
func (p *part) read() (texts [][]byte, err error) {
	for _, f := range p.files {
		text, err := readFile(f.path, f.verify)
		if err != nil {
			eraseAll(texts)
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// look takes over what has changed. Unless atOnce is set, a change is taken over only when two looks
// in a row have found the same: whoever writes files one after the other, or in pieces, is not
// interrupted. It reports whether something was taken over; p.err says what could not be.
func (p *part) look(atOnce bool) (changed bool) {
	texts, err := p.read()
	if err != nil {
		p.err, p.seen = err, digest{}
		return false
	}
	defer eraseAll(texts)
	found := digestOf(texts)
	settled := atOnce || found == p.seen
	p.seen = found
	switch {
	case found == p.loaded:
		p.err = nil
		return false
	case !settled:
		return false
	}
	if p.err = p.load(texts); p.err != nil {
		return false // and the next look tries again: the time for it may not have come yet
	}
	p.loaded = found
	return true
}

func digestOf(texts [][]byte) (d digest) {
	h := sha256.New()
	for _, text := range texts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		h.Write(text)
	}
	h.Sum(d[:0])
	return d
}

func eraseAll(texts [][]byte) {
	for _, text := range texts {
		clear(text)
	}
}

// failures returns what is wrong with the parts, nil if nothing is.
func failures(parts []*part) error {
	var all []error
	for _, p := range parts {
		all = append(all, p.err)
	}
	return errors.Join(all...)
}
