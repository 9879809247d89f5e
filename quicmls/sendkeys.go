package quicmls

import (
	"sync"

	"github.com/mendlink/mendlink/channel/record"
)

// sendKeys are the keys of the moment for all that this end sends, but for the control stream.
type sendKeys struct {
	// Locks: that of a stream comes before mu.
	mu        sync.Mutex
	secret    *record.EpochSecret // nil before the handshake and after the end
	streams   map[*SendStream]struct{}
	datagrams *record.DatagramProtection // nil until there is one to send
}

// add makes a stream known, before anything is sealed for it.
func (k *sendKeys) add(h *SendStream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.streams == nil {
		k.streams = make(map[*SendStream]struct{})
	}
	k.streams[h] = struct{}{}
}

// remove forgets a stream on which nothing is sealed any more.
func (k *sendKeys) remove(h *SendStream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.streams, h)
}

// begin returns the protection of a stream's first records.
func (k *sendKeys) begin(id uint64) (*record.StreamProtection, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return nil, record.ErrErased
	}
	return k.secret.Stream(k.secret.Epoch(), k.secret.StreamKey(id))
}

// use returns the protection of a key that next gave.
func (k *sendKeys) use(epoch uint64, key record.StreamKey) (*record.StreamProtection, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		key.Erase()
		return nil, record.ErrErased
	}
	return k.secret.Stream(epoch, key)
}

// next returns the present epoch and a stream's key in it.
func (k *sendKeys) next(id uint64) (epoch uint64, key record.StreamKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return 0, nil
	}
	return k.secret.Epoch(), k.secret.StreamKey(id)
}

// install makes another epoch the one in which everything is sealed from now on, and ends
// the one before on each stream that has begun. It is not called by two goroutines at once.
func (k *sendKeys) install(secret *record.EpochSecret) {
	k.mu.Lock()
	if k.secret != nil {
		k.secret.Erase()
	}
	k.secret = secret
	if k.datagrams != nil {
		k.datagrams.Erase()
		k.datagrams = nil
	}
	streams := make([]*SendStream, 0, len(k.streams))
	for h := range k.streams {
		streams = append(streams, h)
	}
	k.mu.Unlock()
	// A stream that seals its first record right now does so in the new epoch, or it is
	// locked and ends the old one afterwards.
	for _, h := range streams {
		h.endEpoch()
	}
}

// sealDatagram seals a datagram. It reports whether the key is worn.
func (k *sendKeys) sealDatagram(dst, content []byte) (sealed []byte, worn bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return dst, false, record.ErrErased
	}
	if k.datagrams == nil {
		if k.datagrams, err = k.secret.Datagrams(); err != nil {
			return dst, false, err
		}
	}
	sealed, err = k.datagrams.Seal(dst, content)
	return sealed, k.datagrams.NeedsUpdate(), err
}

// erase forgets all keys of a connection that has ended.
func (k *sendKeys) erase() {
	k.mu.Lock()
	if k.secret != nil {
		k.secret.Erase()
		k.secret = nil
	}
	if k.datagrams != nil {
		k.datagrams.Erase()
	}
	streams := k.streams
	k.streams = nil
	k.mu.Unlock()
	for h := range streams {
		h.erase()
	}
}
