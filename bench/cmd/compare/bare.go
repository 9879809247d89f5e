package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/mendlink/mendlink/bench/internal/rivals"
)

const (
	bareName   = "TCP and GCM"
	besideBare = ", the least there is" // of rows that compare with it
)

// Sizes in octets of what goes over a bareConn, as in netconn.
const (
	bareContent = 16 << 10
	bareHeader  = 4
	bareBatch   = 2 * 65463
	bareBuffer  = 256 << 10
)

// A bareConn does what nobody can do without who sends records under AES-128-GCM over TCP, and
// nothing else: it seals and opens records of 16 KiB, and has one system call for all that is there. What
// it takes is the least that there is. It protects nothing: the key is zero, and so are all nonces.
type bareConn struct {
	net.Conn
	aead  cipher.AEAD
	nonce []byte
	out   []byte // records to be sent
	in    []byte // in[r:w] has come and is not opened yet
	r, w  int
	rest  []byte // of a record that is open, in in
	ahead []byte // what io.Copy reads and writes at once
}

// bareLink returns both ends of a connection.
func bareLink(d *rivals.Dialer) (*link, error) {
	var ends [2]*bareConn
	a, b, err := d.Pair()
	if err != nil {
		return nil, err
	}
	for i, c := range []net.Conn{a, b} {
		block, err := aes.NewCipher(make([]byte, 16))
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		ends[i] = &bareConn{
			Conn: c, aead: aead, nonce: make([]byte, aead.NonceSize()),
			out: make([]byte, 0, bareBatch), in: make([]byte, bareBuffer), ahead: make([]byte, bareBatch),
		}
	}
	return &link{ends[0], ends[1]}, nil
}

// Write seals p, a batch at a time, and sends it.
func (c *bareConn) Write(p []byte) (n int, err error) {
	for n < len(p) {
		c.out = c.out[:0]
		for n < len(p) {
			k := min(len(p)-n, bareContent, bareBatch-len(c.out)-bareHeader-c.aead.Overhead())
			if k <= 0 {
				break
			}
			c.out = binary.BigEndian.AppendUint32(c.out, uint32(k+c.aead.Overhead()))
			c.out = c.aead.Seal(c.out, c.nonce, p[n:n+k], nil)
			n += k
		}
		if _, err := c.Conn.Write(c.out); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Read opens all that has come and fits, and waits if there is nothing.
func (c *bareConn) Read(p []byte) (n int, err error) {
	for {
		k := copy(p[n:], c.rest)
		if n, c.rest = n+k, c.rest[k:]; n == len(p) {
			return n, nil
		}
		record := c.record()
		switch {
		case n > 0 && record == nil:
			return n, nil
		case record == nil:
			if err := c.fill(); err != nil {
				return 0, err
			}
		case len(record)-c.aead.Overhead() <= len(p)-n:
			content, err := c.aead.Open(p[n:n], c.nonce, record, nil)
			if err != nil {
				return 0, err
			}
			n += len(content)
		default:
			if c.rest, err = c.aead.Open(record[:0], c.nonce, record, nil); err != nil {
				return 0, err
			}
		}
	}
}

// record takes the next record that is there as a whole, nil if there is none.
func (c *bareConn) record() []byte {
	if c.w-c.r < bareHeader {
		return nil
	}
	end := c.r + bareHeader + int(binary.BigEndian.Uint32(c.in[c.r:]))
	if end > c.w {
		return nil
	}
	record := c.in[c.r+bareHeader : end]
	c.r = end
	return record
}

// fill reads once.
func (c *bareConn) fill() error {
	c.w, c.r = copy(c.in, c.in[c.r:c.w]), 0
	n, err := c.Conn.Read(c.in[c.w:])
	c.w += n
	return err
}

// ReadFrom implements [io.ReaderFrom], for io.Copy.
func (c *bareConn) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		k, err := r.Read(c.ahead[:7*bareContent])
		if _, err := c.Write(c.ahead[:k]); err != nil {
			return n, err
		}
		n += int64(k)
		if err != nil {
			return n, ignoreEOF(err)
		}
	}
}

// WriteTo implements [io.WriterTo], for io.Copy.
func (c *bareConn) WriteTo(w io.Writer) (n int64, err error) {
	for {
		k, err := c.Read(c.ahead)
		if err != nil {
			return n, ignoreEOF(err)
		}
		written, err := w.Write(c.ahead[:k])
		if n += int64(written); err != nil {
			return n, err
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
