package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/quicmls"
)

const (
	// maxVain is how many connections in a row may end without having sent anything.
	maxVain = 10
	// copySize is how many octets are read and written at a time.
	copySize = 64 << 10
)

// A sender sends the files of a directory, over as many connections as it takes.
type sender struct {
	config   *quicmls.Config
	address  string
	root     *os.Root
	parallel int   // streams at a time
	rekey    int64 // octets between two updates

	files []*file
	stats stats
}

// A file is one that is to be sent.
type file struct {
	header
	at   int64 // how much of it has been sent
	done bool
	err  error // final
}

// newSender returns the sender of all files that are in a directory now.
func newSender(config *quicmls.Config, address, dir string, parallel int, rekey int64) (*sender, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &sender{address: address, root: root, parallel: parallel, rekey: rekey}
	s.config = s.stats.counting(config)
	if s.files, err = scan(root); err != nil {
		root.Close()
		return nil, err
	}
	for _, f := range s.files {
		s.stats.files++
		s.stats.octets += f.size
	}
	return s, nil
}

func (s *sender) close() { s.root.Close() }

// scan returns all regular files of a directory, with their hashes.
func scan(root *os.Root) (files []*file, err error) {
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f := &file{header: header{name: name}}
		r, err := root.Open(name)
		if err != nil {
			return err
		}
		defer r.Close()
		h := sha256.New()
		if f.size, err = io.Copy(h, r); err != nil {
			return err
		}
		f.sum = [sha256.Size]byte(h.Sum(nil))
		files = append(files, f)
		return nil
	})
	return files, err
}

// run sends all files. If the connection is lost it dials again, which resumes the session, and
// goes on where it was.
func (s *sender) run(ctx context.Context) error {
	watch := startProgress(&s.stats)
	defer watch.stop()
	for vain := 0; ; vain++ {
		before := s.stats.sent.Load()
		err := s.runOnce(ctx)
		if err == nil {
			break
		}
		if s.stats.sent.Load() > before {
			vain = 0
		}
		if vain == maxVain || s.stats.handshakes+s.stats.resumptions == 0 || ctx.Err() != nil {
			return err
		}
		log.Printf("the connection is lost: %v", err)
		select {
		case <-time.After(time.Duration(vain) * time.Second):
		case <-ctx.Done():
		}
	}
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.err)
	}
	return errors.Join(errs...)
}

// runOnce sends what is left over one connection.
func (s *sender) runOnce(ctx context.Context) error {
	start := time.Now()
	conn, err := quicmls.Dial(ctx, s.address, s.config)
	if err != nil {
		return err
	}
	defer conn.CloseWithError(0, "") // ends whatever is still under way
	s.stats.connected(conn, time.Since(start))

	todo := make(chan *file)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { conn.CloseWithError(0, "") })
	defer stop()
	var wg sync.WaitGroup
	for range s.parallel {
		wg.Go(func() {
			for f := range todo {
				if err := s.finish(f, s.send(ctx, conn, f)); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, f := range s.files {
		if f.done || f.err != nil {
			continue
		}
		select {
		case todo <- f:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}

// finish takes note of what came of a file. It returns an error if that is the connection's.
func (s *sender) finish(f *file, err error) error {
	reset, isReset := errors.AsType[*quic.StreamError](err)
	switch {
	case err == nil:
		f.done = true
		s.stats.done.Add(1)
	case isReset && reset.Remote && (reset.ErrorCode == codeRefused || reset.ErrorCode == codeWrong || reset.ErrorCode == codeFailed):
		reason := map[quic.StreamErrorCode]string{codeRefused: "refuses it", codeWrong: "has something else", codeFailed: "cannot write it"}
		f.err = fmt.Errorf("%s: the receiver %s", f.name, reason[reset.ErrorCode])
	case errors.Is(err, errGone):
		f.err = fmt.Errorf("%s: %w", f.name, err)
	default:
		return err
	}
	return nil
}

// errGone means that a file is not there any more, or not all of it.
var errGone = errors.New("cannot be read as it was")

// send sends what the receiver does not have of a file, and waits for its verdict.
func (s *sender) send(ctx context.Context, conn *quicmls.Conn, f *file) (err error) {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			stream.CancelWrite(codeGone)
			stream.CancelRead(codeGone)
		}
	}()
	if _, err := stream.Write(f.appendTo(nil)); err != nil {
		return err
	}
	var b [8]byte
	if _, err := io.ReadFull(stream, b[:]); err != nil {
		return err
	}
	from := int64(binary.BigEndian.Uint64(b[:]))
	if from < 0 || from > f.size {
		return fmt.Errorf("%s: the receiver claims to have %d octets of %d", f.name, uint64(from), f.size)
	}
	s.stats.resume(f, from)
	if err := s.sendFrom(ctx, conn, stream, f, from); err != nil {
		return err
	}
	if err := stream.Close(); err != nil {
		return err
	}
	// The end of the other direction says that the hash is right.
	if n, err := stream.Read(b[:]); err != io.EOF {
		return fmt.Errorf("%s: %d octets instead of a verdict: %w", f.name, n, err)
	}
	return nil
}

// sendFrom sends the octets of a file from a position on. Now and then it puts fresh keys into the
// connection, while the other streams go on.
func (s *sender) sendFrom(ctx context.Context, conn *quicmls.Conn, stream *quicmls.Stream, f *file, from int64) error {
	r, err := s.root.Open(f.name)
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	defer r.Close()
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	buf := make([]byte, copySize)
	for n := from; n < f.size; {
		k, err := r.Read(buf[:min(copySize, f.size-n)])
		if err != nil {
			return fmt.Errorf("%w: %w after %d octets", errGone, err, n)
		}
		if _, err := stream.Write(buf[:k]); err != nil {
			return err
		}
		n += int64(k)
		f.at = n
		s.stats.at.Add(int64(k))
		if sent := s.stats.sent.Add(int64(k)); sent/s.rekey != (sent-int64(k))/s.rekey {
			if err := conn.Update(ctx); err != nil {
				return err
			}
			s.stats.epoch.Store(conn.ConnectionState().Epoch)
		}
	}
	return nil
}

// stats are the figures of a sender.
type stats struct {
	files, octets           int64
	done                    atomic.Int64 // files
	sent                    atomic.Int64 // octets, some of them perhaps twice
	at                      atomic.Int64 // octets, where all files are taken together
	continued               atomic.Int64 // files of which the receiver had a part
	spared                  atomic.Int64 // octets that the receiver had
	epoch                   atomic.Uint64
	own, peer               atomic.Int64 // updates
	handshakes, resumptions int
}

// counting returns config with a trace that counts the updates.
func (s *stats) counting(config *quicmls.Config) *quicmls.Config {
	c := *config
	c.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.Updated); ok && e.Own {
			s.own.Add(1)
		} else if ok {
			s.peer.Add(1)
		}
	}}
	return &c
}

// resume takes note of how much the receiver has of a file.
func (s *stats) resume(f *file, from int64) {
	if from > 0 && from < f.size {
		s.continued.Add(1)
	}
	s.spared.Add(from)
	s.at.Add(from - f.at)
	f.at = from
}

func (s *stats) connected(conn *quicmls.Conn, took time.Duration) {
	state := conn.ConnectionState()
	s.epoch.Store(state.Epoch)
	if state.Resumed {
		s.resumptions++
		log.Printf("connected: session resumed in %v", took)
		return
	}
	s.handshakes++
	log.Printf("connected to %q: full handshake in %v", state.Peer.Credential.Identity, took)
}
