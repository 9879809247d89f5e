package rivals

import (
	"errors"
	"io"
	"net"
	"time"
)

// A pipe is one end of a connection in memory. Its ends take turns in one
// goroutine: when there is nothing to read, wait lets the other end run. So there is no lock
// and no scheduler whose work would count.
type pipe struct {
	peer   *pipe
	in     []byte
	wait   func()
	octets int // sent
}

func newPipe() (a, b *pipe) {
	a, b = new(pipe), new(pipe)
	a.peer, b.peer = b, a
	return a, b
}

func (p *pipe) Write(b []byte) (int, error) {
	p.peer.in = append(p.peer.in, b...)
	p.octets += len(b)
	return len(b), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.in) == 0 {
		p.wait()
	}
	if len(p.in) == 0 {
		return 0, io.ErrUnexpectedEOF // both ends want to read
	}
	n := copy(b, p.in)
	if p.in = p.in[n:]; len(p.in) == 0 {
		p.in = nil
	}
	return n, nil
}

func (p *pipe) Close() error                     { return nil }
func (p *pipe) LocalAddr() net.Addr              { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return nil }
func (p *pipe) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (p *pipe) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (p *pipe) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
