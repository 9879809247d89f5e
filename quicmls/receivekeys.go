package quicmls

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel/record"
)

// receiveKeys are the keys for all that the peer sends, but for the control stream.
type receiveKeys struct {
	grace time.Duration // how long an epoch is kept for what has not begun

	mu      sync.Mutex
	secret  *record.EpochSecret // of the present epoch; nil before the handshake and after the end
	old     []*oldEpoch         // the ones before, the oldest first
	expiry  *time.Timer         // of the oldest
	streams map[*ReceiveStream]struct{}
	changed chan struct{} // closed when there is another epoch or the end; nil if nobody waits

	datagrams *record.DatagramProtection // of the present epoch; nil until one comes
}

// An oldEpoch is kept for streams and datagrams that are late.
type oldEpoch struct {
	secret    *record.EpochSecret
	datagrams *record.DatagramProtection
	until     time.Time
}

func (o *oldEpoch) erase() {
	o.secret.Erase()
	if o.datagrams != nil {
		o.datagrams.Erase()
	}
}

// install makes another epoch the present one. Streams that have begun keep their own
// keys of the epoch before until they are through with it; for what has not begun, the epoch is
// kept for a while.
func (k *receiveKeys) install(secret *record.EpochSecret) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if last := k.secret; last != nil {
		for h := range k.streams {
			if h.epoch < last.Epoch() || h.epoch == last.Epoch() && !h.keyed {
				h.keep(last.StreamKey(h.id()))
			}
		}
		k.old = append(k.old, &oldEpoch{secret: last, datagrams: k.datagrams, until: time.Now().Add(k.grace)})
		k.datagrams = nil
		if len(k.old) > maxOldEpochs {
			k.forgetOldest()
		}
		k.arm()
	}
	k.secret = secret
	k.notify()
}

// expire forgets the epochs whose time is over.
func (k *receiveKeys) expire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for len(k.old) > 0 && !now.Before(k.old[0].until) {
		k.forgetOldest()
	}
	k.arm()
}

func (k *receiveKeys) forgetOldest() {
	k.old[0].erase()
	k.old = slices.Delete(k.old, 0, 1)
}

// arm sets the timer for the oldest epoch. k.mu is locked.
func (k *receiveKeys) arm() {
	switch {
	case len(k.old) == 0 || k.secret == nil:
		if k.expiry != nil {
			k.expiry.Stop()
		}
	case k.expiry == nil:
		k.expiry = time.AfterFunc(time.Until(k.old[0].until), k.expire)
	default:
		k.expiry.Reset(time.Until(k.old[0].until))
	}
}

func (k *receiveKeys) notify() {
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// begin returns the protection of a stream's first records, which are of the epoch with this
// last octet: the present one, or one before that is not forgotten. If it can only be one to come, which
// the control stream has yet to announce, wait is closed once there is another.
func (k *receiveKeys) begin(h *ReceiveStream, epoch uint8) (p *record.StreamProtection, wait <-chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return nil, nil, record.ErrErased
	}
	secret := k.secret
	at := len(k.old) // index of the epoch behind the one that it is
	if byte(secret.Epoch()) != epoch {
		if k.toCome(epoch) {
			return nil, k.wait(), nil
		}
		at = slices.IndexFunc(k.old, func(o *oldEpoch) bool { return byte(o.secret.Epoch()) == epoch })
		if at < 0 {
			return nil, nil, fmt.Errorf("%w: it begins in epoch ...%02x, the present one is %d", ErrEpochGone, epoch, secret.Epoch())
		}
		secret = k.old[at].secret
		at++
	}
	if p, err = secret.Stream(secret.Epoch(), secret.StreamKey(h.id())); err != nil {
		return nil, nil, err
	}
	h.epoch, h.keyed = secret.Epoch(), true
	for _, later := range k.old[min(at, len(k.old)):] {
		h.keep(later.secret.StreamKey(h.id()))
	}
	if k.streams == nil {
		k.streams = make(map[*ReceiveStream]struct{})
	}
	k.streams[h] = struct{}{}
	return p, nil, nil
}

// toCome reports that an epoch with this last octet is one that the peer may send in already.
// k.mu is locked and k.secret is not nil.
func (k *receiveKeys) toCome(epoch uint8) bool {
	ahead := epoch - byte(k.secret.Epoch())
	return 0 < ahead && ahead <= maxEpochsAhead
}

// endEpoch takes a stream to the next epoch, of which next gives the protection.
func (k *receiveKeys) endEpoch(h *ReceiveStream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h.epoch++
	h.keyed = false
}

// next returns the protection of the epoch that a stream has come to. If the control stream
// has yet to announce it, wait is closed once there is another.
func (k *receiveKeys) next(h *ReceiveStream) (p *record.StreamProtection, wait <-chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.secret == nil:
		return nil, nil, record.ErrErased
	case h.epoch > k.secret.Epoch():
		return nil, k.wait(), nil
	case h.epoch == k.secret.Epoch():
		h.keyed = true
		p, err = k.secret.Stream(h.epoch, k.secret.StreamKey(h.id()))
		return p, nil, err
	case len(h.keys) == 0:
		return nil, nil, fmt.Errorf("%w: it goes on in epoch %d, the present one is %d", ErrEpochGone, h.epoch, k.secret.Epoch())
	}
	key := h.keys[0]
	h.keyed = true
	if h.keys = h.keys[1:]; len(h.keys) == 0 {
		h.keys = nil
	}
	p, err = k.secret.Stream(h.epoch, key)
	return p, nil, err
}

// wait returns a channel that is closed when there is another epoch. k.mu is locked.
func (k *receiveKeys) wait() <-chan struct{} {
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	return k.changed
}

// remove forgets a stream on which nothing comes any more.
func (k *receiveKeys) remove(h *ReceiveStream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.streams, h)
	for _, key := range h.keys {
		key.Erase()
	}
	h.keys = nil
}

// openDatagram opens a datagram in place. If it is of an epoch to come, which the control stream
// has yet to announce, wait is closed once there is another. It reports whether the key is worn.
func (k *receiveKeys) openDatagram(b []byte) (content []byte, worn bool, wait <-chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return nil, false, nil, record.ErrErased
	}
	if len(b) < record.DatagramOverhead {
		return nil, false, nil, fmt.Errorf("%w: datagram of %d octets", record.ErrUnexpected, len(b))
	}
	secret, p := k.secret, &k.datagrams
	if byte(secret.Epoch()) != b[0] {
		if k.toCome(b[0]) {
			return nil, false, k.wait(), nil
		}
		at := slices.IndexFunc(k.old, func(o *oldEpoch) bool { return byte(o.secret.Epoch()) == b[0] })
		if at < 0 {
			return nil, false, nil, ErrEpochGone
		}
		secret, p = k.old[at].secret, &k.old[at].datagrams
	}
	if *p == nil {
		if *p, err = secret.Datagrams(); err != nil {
			return nil, false, nil, err
		}
	}
	content, err = (*p).Open(b)
	return content, (*p).NeedsUpdate(), nil, err
}

// erase forgets all keys of a connection that has ended, but those in use by the streams that it
// returns.
func (k *receiveKeys) erase() (streams map[*ReceiveStream]struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret != nil {
		k.secret.Erase()
		k.secret = nil
	}
	if k.datagrams != nil {
		k.datagrams.Erase()
	}
	for len(k.old) > 0 {
		k.forgetOldest()
	}
	k.arm()
	k.notify()
	for h := range k.streams {
		for _, key := range h.keys {
			key.Erase()
		}
		h.keys = nil
	}
	streams, k.streams = k.streams, nil
	return streams
}
