package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Sizes in octets of datagrams.
const (
	DatagramHeaderSize = 5                            // uint8 epoch; uint32 counter
	DatagramOverhead   = DatagramHeaderSize + TagSize // of each
)

// replayWindow is how far behind the newest counter an older one may be.
const replayWindow = 1024

// ErrReplayed means that a datagram came twice, or so late that nobody can tell.
var ErrReplayed = errors.New("record: datagram was replayed, or is too old")

// A DatagramProtection seals or opens the datagrams of one direction in one epoch. They
// may be lost and come in any order; each is opened once. It is not safe for concurrent use.
//
//	struct { uint8 epoch; uint32 counter; opaque sealed[]; } Datagram;
type DatagramProtection struct {
	epoch uint64
	key   expandedKey // of inner
	inner Protection  // whose sequence is the next counter, or one more than the newest

	seen [replayWindow / 64]uint64 // of the counters up to the newest, bit counter mod replayWindow
}

// Epoch returns the number of the epoch.
func (p *DatagramProtection) Epoch() uint64 { return p.epoch }

// Seal appends a datagram that holds content to dst and returns the longer slice. It does not
// allocate if dst has [DatagramOverhead] + len(content) octets to spare. It fails with
// [ErrKeyExhausted] or [ErrErased]; dst is then returned as it was.
func (p *DatagramProtection) Seal(dst, content []byte) ([]byte, error) {
	if err := p.inner.ready(); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = binary.BigEndian.AppendUint32(append(dst, byte(p.epoch)), uint32(p.inner.sequence))
	inner := len(dst)
	dst = p.inner.key.Seal(dst, p.inner.nextNonce(), content, dst[start:inner])
	p.inner.sequence++
	return dst, nil
}

// Open checks and decrypts a datagram, in place, and returns its content. It fails with
// [ErrAuthentication], [ErrReplayed], [ErrUnexpected] if it is too short, or [ErrErased];
// the protection is then as it was.
func (p *DatagramProtection) Open(datagram []byte) ([]byte, error) {
	switch {
	case p.inner.key == nil:
		return nil, ErrErased
	case len(datagram) < DatagramOverhead:
		return nil, fmt.Errorf("%w: datagram of %d octets, at least %d needed", ErrUnexpected, len(datagram), DatagramOverhead)
	case datagram[0] != byte(p.epoch):
		return nil, fmt.Errorf("%w: datagram of epoch ...%02x, want %d", ErrAuthentication, datagram[0], p.epoch)
	}
	header, sealed := datagram[:DatagramHeaderSize], datagram[DatagramHeaderSize:]
	counter := uint64(binary.BigEndian.Uint32(header[1:]))
	if counter >= p.inner.limit || p.replayed(counter) {
		return nil, fmt.Errorf("%w: counter %d", ErrReplayed, counter)
	}
	newest := p.inner.sequence
	p.inner.sequence = counter
	content, err := p.inner.key.Open(sealed[:0], p.inner.nextNonce(), sealed, header)
	p.inner.sequence = newest
	if err != nil {
		return nil, ErrAuthentication
	}
	p.note(counter)
	return content, nil
}

// replayed reports that a counter was seen, or is too old to tell.
func (p *DatagramProtection) replayed(counter uint64) bool {
	if counter >= p.inner.sequence {
		return false
	}
	if p.inner.sequence-counter > replayWindow {
		return true
	}
	i := counter % replayWindow
	return p.seen[i/64]&(1<<(i%64)) != 0
}

// note takes note of a counter that was not seen before.
func (p *DatagramProtection) note(counter uint64) {
	if counter >= p.inner.sequence+replayWindow {
		clear(p.seen[:])
		p.inner.sequence = counter
	}
	for ; p.inner.sequence <= counter; p.inner.sequence++ {
		i := p.inner.sequence % replayWindow
		p.seen[i/64] &^= 1 << (i % 64)
	}
	i := counter % replayWindow
	p.seen[i/64] |= 1 << (i % 64)
}

// NeedsUpdate reports that half of the key's datagrams are used.
func (p *DatagramProtection) NeedsUpdate() bool { return p.inner.NeedsUpdate() }

// Erase forgets the key, like [Protection.Erase].
func (p *DatagramProtection) Erase() {
	p.inner.Erase()
	p.key.AEAD = nil
}
