package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"

	"github.com/mendlink/mendlink/netconn"
)

// showHealing copies all secrets of the initiator, shows what the copy is good
// for, and that one update of the initiator makes it worthless.
func showHealing(ctx context.Context, ends *ends) error {
	ends.responder.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: -1} // one update at a time
	tap := ends.link.listen()
	i, r, err := ends.connect(ctx)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		i.SetDeadline(deadline)
		r.SetDeadline(deadline)
	}
	initiator, responder := newVoice(i), newVoice(r)
	defer initiator.close()
	defer responder.close()

	// An epoch whose records are captured from the first on.
	if err := initiator.conn.Update(ctx); err != nil {
		return err
	}
	if err := converse(initiator, responder, "before the theft"); err != nil {
		return err
	}
	state := initiator.conn.ConnectionState()
	thief, err := steal(ctx, ends.initiatorChannel(), state.SessionID, ends.keys)
	if err != nil {
		return err
	}
	log.Printf("theft: all secrets of the initiator in epoch %d are copied", state.Epoch)

	// 1. The copy opens what was captured in its epoch.
	if err := thief.listen(tap.take()); err != nil {
		return err
	}
	if err := thief.mustHear("before the theft"); err != nil {
		return err
	}
	log.Printf("theft: the copy decrypts captured records of epoch %d, in both directions", state.Epoch)

	// 2. The copy is complete: it follows when the other end updates.
	thief.reset()
	if err := responder.conn.Update(ctx); err != nil {
		return err
	}
	if err := converse(initiator, responder, "after an update of the other end"); err != nil {
		return err
	}
	if err := thief.listen(tap.take()); err != nil {
		return err
	}
	if err := thief.mustHear("after an update of the other end"); err != nil {
		return err
	}
	log.Printf("theft: an update of the responder alone does not help: the copy follows into epoch %d", initiator.conn.ConnectionState().Epoch)

	// 3. One update of the end that was robbed, and the copy is worthless.
	thief.reset()
	if err := initiator.conn.Update(ctx); err != nil {
		return err
	}
	if err := converse(initiator, responder, "after the healing"); err != nil {
		return err
	}
	if err := thief.listen(tap.take()); err != nil {
		return err
	}
	if err := thief.mustBeDeaf(); err != nil {
		return err
	}
	log.Printf("healed: after one update of the initiator, in epoch %d, the copy decrypts nothing (%d records tried)",
		initiator.conn.ConnectionState().Epoch, thief.ears[fromInitiator].lost+thief.ears[fromResponder].lost)
	return nil
}

// A voice is an end that talks. It reads all the time, as an update of the
// other end is confirmed only when it is read.
type voice struct {
	conn  *netconn.Conn
	heard chan byte
	done  chan struct{}
}

func newVoice(conn *netconn.Conn) *voice {
	v := &voice{conn: conn, heard: make(chan byte, 1<<10), done: make(chan struct{})}
	go func() {
		defer close(v.done)
		defer close(v.heard)
		buf := make([]byte, 256)
		for {
			n, err := conn.Read(buf)
			for _, b := range buf[:n] {
				v.heard <- b
			}
			if err != nil {
				return // the ends are closed when all is said; before that, somebody misses what was lost
			}
		}
	}()
	return v
}

// close closes the connection and waits for the reader.
func (v *voice) close() {
	v.conn.Close()
	<-v.done
}

// say sends text to another end and checks that it arrives.
func (v *voice) say(to *voice, text string) error {
	if _, err := io.WriteString(v.conn, text); err != nil {
		return err
	}
	got := make([]byte, 0, len(text))
	for len(got) < len(text) {
		b, ok := <-to.heard
		if !ok {
			return fmt.Errorf("%q arrived as %q", text, got)
		}
		got = append(got, b)
	}
	if string(got) != text {
		return fmt.Errorf("%q arrived as %q", text, got)
	}
	return nil
}

// converse sends a message each way.
func converse(a, b *voice, message string) error {
	if err := a.say(b, message); err != nil {
		return err
	}
	return b.say(a, message)
}

// listen takes in what was captured, and follows updates where it can.
func (t *thief) listen(captured [2][]byte) error {
	// An update and the two changes of keys that come with it: to be sure, one more.
	for range 4 {
		for d, e := range t.ears {
			if err := e.overhear(captured[d]); err != nil {
				return err
			}
			captured[d] = nil
		}
		for d, e := range t.ears {
			if e.commit != nil {
				if err := t.follow(direction(d)); err != nil {
					log.Printf("theft: the copy cannot follow the update of the %v: %v", [...]string{"initiator", "responder"}[d], err)
				}
			}
		}
	}
	return nil
}

// reset forgets what was heard so far.
func (t *thief) reset() {
	for _, e := range t.ears {
		e.heard.Reset()
		e.lost = 0
	}
}

// mustHear checks that message was heard in both directions.
func (t *thief) mustHear(message string) error {
	for d, e := range t.ears {
		if !bytes.Contains(e.heard.Bytes(), []byte(message)) {
			return fmt.Errorf("the copy should have decrypted %q from %v, but it did not", message, direction(d))
		}
	}
	return nil
}

// mustBeDeaf checks that records passed in both directions and none was opened
// that holds application data.
func (t *thief) mustBeDeaf() error {
	for d, e := range t.ears {
		if e.heard.Len() > 0 {
			return fmt.Errorf("the copy still decrypts from %v: %q", direction(d), e.heard.Bytes())
		}
		if e.lost == 0 {
			return fmt.Errorf("no record passed from %v, so nothing is shown", direction(d))
		}
	}
	return nil
}
