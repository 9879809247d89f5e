package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mendlink/mendlink/quicmls"
)

// fileCost is what a file counts for in addition to its octets, so that even empty ones come to an end.
const fileCost = 4 << 10

// A receiver takes in files that a peer sends, below one directory. The peer may be malicious: no
// name leads out of the directory, and no more is written than the limit.
type receiver struct {
	root  *os.Root
	watch func(h *header, n int64) // if not nil, told how many octets of a file there are
	done  func(h *header)          // if not nil, told of a file that is complete

	left     atomic.Int64 // octets that may still come
	received atomic.Int64

	mu      sync.Mutex
	busy    map[string]bool // files that are coming in
	current *quicmls.Conn
	turn    sync.Mutex // of the connection that is served
}

func newReceiver(dir string, limit int64) (*receiver, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	r := &receiver{root: root, busy: make(map[string]bool)}
	r.left.Store(limit)
	return r, nil
}

func (r *receiver) close() { r.root.Close() }

// serve serves connections until ctx or the listener ends.
func (r *receiver) serve(ctx context.Context, listener *quicmls.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.CloseWithError(0, "")
			if err := conn.HandshakeContext(ctx); err != nil {
				log.Printf("receiver: nobody let in from %v: %v", conn.RemoteAddr(), err)
				return
			}
			r.takeOver(conn)
			defer r.turn.Unlock()
			r.serveConn(ctx, conn)
		})
	}
}

// takeOver makes conn the connection that is served. The one before, which the peer has lost if it
// dials again, is ended, and has written what it had when takeOver returns. r.turn is locked then.
func (r *receiver) takeOver(conn *quicmls.Conn) {
	r.mu.Lock()
	before := r.current
	r.current = conn
	r.mu.Unlock()
	if before != nil {
		before.CloseWithError(0, "another connection has taken over")
	}
	r.turn.Lock()
}

// serveConn takes in files until the connection ends. How many at a time is up to QUIC's limit of streams.
func (r *receiver) serveConn(ctx context.Context, conn *quicmls.Conn) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.CloseWithError(0, "")
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		wg.Go(func() {
			err := r.receive(stream)
			if err == nil {
				stream.Close() // the verdict; the file's name is free again
				return
			}
			code := codeFailed
			switch {
			case errors.Is(err, errRefused):
				code = codeRefused
			case errors.Is(err, errWrong):
				code = codeWrong
			}
			stream.CancelRead(code)
			stream.CancelWrite(code)
			if !errors.Is(err, net.ErrClosed) { // else it is the connection's, and the file goes on over the next one
				log.Printf("receiver: %v", err)
			}
		})
	}
}

// errWrong means that what came is not what was announced.
var errWrong = errors.New("wrong")

// receive takes in the file of one stream.
func (r *receiver) receive(stream *quicmls.Stream) error {
	h, err := readHeader(stream)
	if err != nil {
		return err
	}
	name, err := localName(h.name)
	if err != nil {
		return err
	}
	if !r.claim(name) {
		return fmt.Errorf("%w: %q is coming in already", errRefused, name)
	}
	defer r.release(name)
	if has, err := r.has(name, h); err != nil || has {
		if err != nil {
			return err
		}
		if err := answer(stream, h.size); err != nil {
			return err
		}
		return atEnd(stream)
	}
	if err := r.receiveInto(stream, h, name); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return nil
}

// localName returns the name that a file has here, or an error if it must not have any.
func localName(name string) (string, error) {
	local, err := filepath.Localize(name)
	if err != nil || local == "." {
		return "", fmt.Errorf("%w: %q is no name of a file in the directory", errRefused, name)
	}
	if len(name) >= len(partialPrefix) && strings.EqualFold(name[:len(partialPrefix)], partialPrefix) {
		return "", fmt.Errorf("%w: %q is a name for what is not complete", errRefused, name)
	}
	return local, nil
}

// claim reserves a name, unless somebody else has it.
func (r *receiver) claim(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[name] {
		return false
	}
	r.busy[name] = true
	return true
}

func (r *receiver) release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, name)
}

// has reports whether the file is there, complete.
func (r *receiver) has(name string, h *header) (bool, error) {
	info, err := r.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err) // such as below a file
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%w: %q is no file", errRefused, name)
	}
	if info.Size() != h.size {
		return false, nil
	}
	f, err := r.root.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, err
	}
	return bytes.Equal(sum.Sum(nil), h.sum[:]), nil
}

// receiveInto takes in the rest of a file behind what there is of it, checks the whole, and gives it its
// name. If the connection ends before, what has come stays for the next one.
func (r *receiver) receiveInto(stream *quicmls.Stream, h *header, name string) error {
	part, err := r.root.OpenFile(h.partial(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer part.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, part)
	if err != nil {
		return err
	}
	rest := h.size - n
	if r.left.Add(-rest-fileCost) < 0 {
		r.left.Add(rest + fileCost)
		return fmt.Errorf("%w: %d octets are beyond the limit", errRefused, rest)
	}
	defer func() { r.left.Add(h.size - n) }() // what has not come
	if err := answer(stream, n); err != nil {
		return err
	}
	n, err = r.takeIn(stream, h, part, sum, n)
	if errors.Is(err, errWrong) {
		return errors.Join(err, part.Close(), r.root.Remove(h.partial()))
	}
	if err != nil {
		return err
	}
	return r.complete(part, h, name)
}

// takeIn takes in the rest of a file behind the n octets that there are, whose hash is in sum. It
// returns how many there are then.
func (r *receiver) takeIn(stream *quicmls.Stream, h *header, part *os.File, sum hash.Hash, n int64) (int64, error) {
	buf := make([]byte, copySize)
	for n < h.size {
		k, err := stream.Read(buf[:min(copySize, h.size-n)])
		if k > 0 {
			if _, err := part.Write(buf[:k]); err != nil {
				return n, err
			}
			sum.Write(buf[:k])
			n += int64(k)
			r.received.Add(int64(k))
			if r.watch != nil {
				r.watch(h, n)
			}
		}
		if err == io.EOF && n < h.size {
			return n, fmt.Errorf("%w: %d octets of %d", errWrong, n, h.size)
		}
		if err != nil && err != io.EOF {
			return n, err
		}
	}
	if err := atEnd(stream); err != nil {
		return n, err
	}
	if !bytes.Equal(sum.Sum(nil), h.sum[:]) {
		return n, fmt.Errorf("%w: hash is %x, want %x", errWrong, sum.Sum(nil), h.sum)
	}
	return n, nil
}

// complete gives a file its name, in place of one that had it.
func (r *receiver) complete(part *os.File, h *header, name string) error {
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return err
	}
	if err := r.root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	if err := r.root.Rename(h.partial(), name); err != nil {
		return err
	}
	if r.done != nil {
		r.done(h)
	}
	return nil
}

// answer says how many octets there are.
func answer(stream *quicmls.Stream, has int64) error {
	_, err := stream.Write(binary.BigEndian.AppendUint64(nil, uint64(has)))
	return err
}

// atEnd sees that no more follows, which the peer has to say authentically.
func atEnd(stream *quicmls.Stream) error {
	var b [1]byte
	n, err := stream.Read(b[:])
	if n > 0 {
		return fmt.Errorf("%w: more octets than announced", errWrong)
	}
	if err != io.EOF {
		return err
	}
	return nil
}
