package netconn

import (
	"io"
	"sync"
)

var (
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)

// ReadFrom sends what r gives, until r ends. io.Copy to a Conn calls it. It sends whatever one
// call of r.Read returns at once, as [Conn.Write] does, but offers room for about 128 KiB, so that
// a source of bulk data needs fewer calls, and four times that with Config.PipelineWrites. While r has little
// to give, or nothing, it holds no more than a small buffer.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	pool, most := smallBatchBuffers, smallBatchSize
	for {
		b := getBuffer(pool)
		room := b.data[:most]
		k, readErr := r.Read(room)
		if k > 0 {
			var sent int
			sent, err = c.Write(room[:k])
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
			pool, most = c.bulk()
		case k < smallBatchSize:
			pool, most = smallBatchBuffers, smallBatchSize
		}
	}
}

// bulk returns where ReadFrom takes room from for a source of bulk data, and how much of it. It is asked after a
// Write: until the handshake is complete, Config.Select may put other settings in the place of these.
func (c *Conn) bulk() (pool *sync.Pool, most int) {
	if c.settings.pipelineWrites {
		return pipelineBuffers, pipelineSize
	}
	return batchBuffers, copySize
}

// WriteTo writes all that comes to w, up to the peer's end of the stream. io.Copy from a
// Conn calls it. It writes up to about 128 KiB at once, and holds no buffer while nothing comes.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	for {
		if err := c.await(); err != nil {
			return n, c.opError("read", c.orClosed(err))
		}
		b := getBuffer(batchBuffers)
		k, readErr := c.receiver.readBuffered(b.data)
		readErr = c.hasRead(readErr)
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

// await returns once Read has something to return but need not wait for it, or nothing ever comes. It
// leaves what has come sealed, for Read to open it where it is to go.
func (c *Conn) await() error {
	err := c.receiver.await()
	if c.receiver.needed() {
		c.receiver.pumpIfIdle()
	}
	return err
}

func (r *receiver) await() error {
	r.readers.Add(1)
	defer r.readers.Add(-1)
	if r.ahead.some.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.rest()
	if len(r.unread) > 0 || r.ahead.some.Load() || r.ended || r.err != nil {
		return nil
	}
	r.hurry()
	rec, err := r.nextRecord()
	if err == nil {
		r.source.putBack(rec)
	}
	return err
}

// readBuffered is read that does not wait: it returns 0 where all that there is are messages. It is a
// function of its own, as read has no stack to spare.
func (r *receiver) readBuffered(p []byte) (n int, err error) {
	if n, err := r.enter(p); n > 0 || err != nil {
		return n, err
	}
	defer r.leave()
	n = r.takeUnread(p)
	for n < len(p) && !r.ended && r.err == nil && r.recordBuffered() {
		k, _ := r.step(p[n:]) // an error stays in r.err
		n += k
		n += r.takeUnread(p[n:])
	}
	if n > 0 {
		return n, nil // what is final comes again
	}
	return 0, r.ready()
}
