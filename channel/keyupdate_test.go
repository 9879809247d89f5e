package channel

import (
	"bytes"
	"errors"
	"testing"
)

func (p *peer) updateKeys(t tb, request bool) {
	t.Helper()
	events, err := p.Session.UpdateKeys(request)
	p.carryOut(t, events, err)
}

func TestKeysStepInsideAnEpoch(t *testing.T) {
	a, b := established(t)
	sending, receiving := a.sendKey, a.receiveKey
	a.updateKeys(t, false)
	settle(t, a, b)
	if bytes.Equal(a.sendKey, sending) || !bytes.Equal(a.receiveKey, receiving) || !bytes.Equal(a.sendKey, b.receiveKey) {
		t.Error("not just one direction has stepped")
	}
	a.updateKeys(t, true)
	settle(t, a, b)
	if bytes.Equal(a.receiveKey, receiving) {
		t.Error("the peer has not stepped though it was asked to")
	}
	agree(t, a, b)
	if a.Epoch() != 1 {
		t.Errorf("epoch is %d", a.Epoch())
	}
	canUpdate(t, a, b)
}

// A step may fall anywhere into the updates of both ends.
func TestKeysStepAtAnyMomentOfAnUpdate(t *testing.T) {
	for _, who := range [][]int{{0}, {1}, {0, 1}} {
		for _, bFirst := range []bool{false, true} {
			for n, done := 0, false; !done; n++ {
				for _, request := range []bool{false, true} {
					a, b := established(t)
					updates(who...)(t, a, b)
					done = deliverSome(t, a, b, bFirst, n)
					a.updateKeys(t, request)
					b.updateKeys(t, request)
					settle(t, a, b)
					agree(t, a, b)
					canUpdate(t, a, b)
				}
			}
		}
	}
}

func TestMalformedKeyUpdateEndsTheSession(t *testing.T) {
	for _, body := range [][]byte{nil, {2}, {0, 0}} {
		a, _ := established(t)
		if _, err := a.Receive(ctx, Message{Type: MessageKeyUpdate, Body: body, Protected: true}); !errors.Is(err, ErrMalformed) || AlertOf(err) != AlertDecodeError {
			t.Errorf("%x: %v", body, err)
		}
	}
	p, _ := inState(t, StateAwaitingServerHello, 0)
	if _, err := p.Session.UpdateKeys(false); !errors.Is(err, ErrNotReady) {
		t.Errorf("before the handshake is complete: %v", err)
	}
	p.Close()
	if _, err := p.Session.UpdateKeys(false); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
