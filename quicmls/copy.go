package quicmls

import (
	"io"

	"github.com/mendlink/mendlink/channel/record"
)

var (
	_ io.ReaderFrom = (*SendStream)(nil)
	_ io.ReaderFrom = (*Stream)(nil)
	_ io.WriterTo   = (*ReceiveStream)(nil)
	_ io.WriterTo   = (*Stream)(nil)
)

// copySize is how many octets fill a batch of records.
const copySize = batchSize - batchSize/record.MaxPlaintext*record.StreamOverhead

// ReadFrom sends what r gives, until r ends. io.Copy to a stream calls it. It sends whatever one
// call of r.Read returns at once, as [SendStream.Write] does, but offers room for about 128 KiB, so that
// a source of bulk data needs fewer writes to the QUIC stream. While r has little to give, or nothing, it holds no
// more than a small buffer. What it has read of r and could not send is lost.
func (s *SendStream) ReadFrom(r io.Reader) (n int64, err error) {
	pool := smallBuffers
	for {
		b := getBuffer(pool)
		room := b.data[:min(len(b.data), copySize)]
		k, readErr := r.Read(room)
		if k > 0 {
			var sent int
			sent, err = s.Write(room[:k])
			n += int64(sent)
		}
		b.release()
		switch {
		case err != nil:
			return n, err
		case readErr == io.EOF:
			return n, nil
		case readErr != nil:
			return n, readErr
		case k == len(room):
			pool = batchBuffers
		case k < smallSize:
			pool = smallBuffers
		}
	}
}

// ReadFrom is [SendStream.ReadFrom].
func (s *Stream) ReadFrom(r io.Reader) (int64, error) { return s.send.ReadFrom(r) }

// WriteTo writes all that comes to w, up to the authentic end of the stream, of which it returns no
// error. io.Copy from a stream calls it. It writes up to 128 KiB at once, and holds no more than a Read while
// nothing comes. Other errors are w's, and those of [ReceiveStream.Read].
func (s *ReceiveStream) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if err := s.awaitContent(); err != nil {
			return n, err
		}
		b := getBuffer(batchBuffers)
		k, readErr := s.Read(b.data)
		if k > 0 {
			var written int
			if written, err = w.Write(b.data[:k]); written < k && err == nil {
				err = io.ErrShortWrite
			}
			n += int64(written)
		}
		b.release()
		switch {
		case err != nil:
			return n, err
		case readErr == io.EOF:
			return n, nil
		case readErr != nil:
			return n, readErr
		}
	}
}

// WriteTo is [ReceiveStream.WriteTo].
func (s *Stream) WriteTo(w io.Writer) (int64, error) { return s.receive.WriteTo(w) }

// awaitContent returns once Read need not wait for the peer, or nothing ever comes. It takes in records that hold nothing.
func (s *ReceiveStream) awaitContent() error {
	s.readMu.Lock()
	defer s.unlock()
	if c := s.cancelled.Load(); c != nil && s.err == nil {
		return s.broken(c)
	}
	for len(s.unread) == 0 && !s.ended && s.err == nil {
		rec, err := s.nextRecord()
		if err != nil {
			return s.broken(err)
		}
		if len(rec) > record.StreamOverhead {
			return nil
		}
		if _, err := s.step(s.more[:]); err != nil {
			return err
		}
	}
	return nil
}
