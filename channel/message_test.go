package channel

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMessageEncoding(t *testing.T) {
	m := Message{Type: MessageKeySwitch, Body: []byte{1, 2, 3}}
	if got, want := m.AppendTo([]byte{9}), []byte{9, 0xE5, 0, 0, 3, 1, 2, 3}; !bytes.Equal(got, want) {
		t.Errorf("encoding is %x, want %x", got, want)
	}
}

// However a stream of messages is cut into records, the same messages come out.
func TestAssemblerPutsMessagesTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want []Message
		for _, body := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 0, 8).Draw(t, "bodies") {
			m := Message{Type: MessageType(0xE0 + len(want)), Body: body}
			want = append(want, m)
			stream = m.AppendTo(stream)
		}
		a := NewAssembler(300)
		var got []Message
		for len(stream) > 0 {
			n := min(len(stream), rapid.IntRange(1, 200).Draw(t, "record"))
			a.Feed(stream[:n])
			clear(stream[:n]) // the caller uses its buffer again
			stream = stream[n:]
			for {
				m, ok, err := a.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				got = append(got, m)
			}
		}
		if !a.Empty() || a.buf != nil {
			t.Fatalf("%d octets are left", len(a.buf))
		}
		if !slices.EqualFunc(got, want, func(x, y Message) bool { return x.Type == y.Type && bytes.Equal(x.Body, y.Body) }) {
			t.Fatalf("messages are %v, want %v", got, want)
		}
	})
}

func TestAssemblerRefusesLargeMessageAtItsHeader(t *testing.T) {
	for _, a := range []*Assembler{{}, NewAssembler(DefaultMaxMessageSize)} {
		a.Feed([]byte{0xE0, 2, 0})
		if _, ok, err := a.Next(); ok || err != nil || a.Empty() {
			t.Errorf("after part of a header: %t, %v, empty: %t", ok, err, a.Empty())
		}
		a.Feed([]byte{1})
		for range 2 {
			if _, _, err := a.Next(); !errors.Is(err, ErrMessageSize) || AlertOf(err) != AlertRecordOverflow {
				t.Errorf("error is %v", err)
			}
			a.Feed(make([]byte, 100))
		}
		if a.buf != nil {
			t.Error("what follows is kept")
		}
	}
}

func TestSessionRefusesLargeMessage(t *testing.T) {
	p, _ := inState(t, StateAwaitingHello, 0)
	if _, err := p.Receive(ctx, Message{Type: MessageClientHello, Body: make([]byte, DefaultMaxMessageSize+1)}); !errors.Is(err, ErrMessageSize) {
		t.Errorf("error is %v", err)
	}
}

func FuzzAssembler(f *testing.F) {
	f.Add([]byte{0xE0, 0, 0, 1, 7, 0xE5, 0, 0, 0}, 3)
	f.Fuzz(func(t *testing.T, stream []byte, n int) {
		a := NewAssembler(64)
		for n = max(1, n); len(stream) > 0; stream = stream[min(n, len(stream)):] {
			a.Feed(stream[:min(n, len(stream))])
			for {
				m, ok, err := a.Next()
				if err != nil {
					return
				}
				if !ok {
					break
				}
				if len(m.Body) > 64 {
					t.Fatalf("body of %d octets", len(m.Body))
				}
			}
			if len(a.buf) > 64+headerSize {
				t.Fatalf("%d octets are held", len(a.buf))
			}
		}
	})
}

// Whatever a session is sent in whatever state, it neither panics nor
// completes: but for what only records protect, which come under keys that are good.
func FuzzReceive(f *testing.F) {
	for state := range after {
		for m := range after[state] {
			_, body := inState(f, state, m)
			f.Add(uint8(state), uint8(m), body)
		}
	}
	f.Fuzz(func(t *testing.T, state, m uint8, body []byte) {
		if State(state) < StateIdle || State(state) > StateClosed {
			return
		}
		p, _ := inState(t, State(state), 0)
		for _, protected := range []bool{false, true} {
			q := p.clone(t)
			_, err := q.Session.receive(ctx, Message{Type: MessageType(m), Body: body, Protected: protected})
			if err == nil && q.State().complete() && !p.State().complete() &&
				MessageType(m) != MessageHandshakeDone && MessageType(m) != MessageEarlyDataStatus {
				t.Errorf("%v takes %v %x", p.State(), MessageType(m), body)
			}
		}
	})
}
