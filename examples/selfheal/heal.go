package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/mendlink/mendlink/netconn"
)

// showHealing copies all secrets of the initiator, shows what the copy is good
// for, and that one update of the initiator makes it worthless.
func showHealing(ctx context.Context, ends *ends) error {
	tap := ends.link.listen()
	initiator, responder, err := ends.connect(ctx)
	if err != nil {
		return err
	}
	defer initiator.Close()
	defer responder.Close()
	if deadline, ok := ctx.Deadline(); ok {
		initiator.SetDeadline(deadline)
		responder.SetDeadline(deadline)
	}

	// An epoch whose records are captured from the first on.
	if err := initiator.Update(ctx); err != nil {
		return err
	}
	if err := converse(initiator, responder, "before the theft"); err != nil {
		return err
	}
	state := initiator.ConnectionState()
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
	if err := responder.Update(ctx); err != nil {
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
	log.Printf("theft: an update of the responder alone does not help: the copy follows into epoch %d", initiator.ConnectionState().Epoch)

	// 3. One update of the end that was robbed, and the copy is worthless.
	thief.reset()
	if err := initiator.Update(ctx); err != nil {
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
		initiator.ConnectionState().Epoch, thief.ears[fromInitiator].lost+thief.ears[fromResponder].lost)
	return nil
}

// converse sends a message each way, and checks that it arrives.
func converse(a, b *netconn.Conn, message string) error {
	say := func(from, to *netconn.Conn, text string) error {
		if _, err := io.WriteString(from, text); err != nil {
			return err
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(to, got); err != nil {
			return err
		}
		if string(got) != text {
			return fmt.Errorf("%q arrived as %q", text, got)
		}
		return nil
	}
	// The third brings the end of an update's messages to the first's sender.
	return errors.Join(say(a, b, message), say(b, a, message), say(a, b, message))
}

// listen takes in what was captured, and follows updates where it can.
func (t *thief) listen(captured [2][]byte) error {
	for d := range t.ears {
		if err := t.ears[d].overhear(captured[d]); err != nil {
			return err
		}
	}
	for d := range t.ears {
		if t.ears[d].commit != nil {
			if err := t.follow(direction(d)); err != nil {
				log.Printf("theft: the copy cannot process the update from %v: %v", direction(d), err)
			}
		}
	}
	for d := range t.ears {
		if err := t.ears[d].overhear(nil); err != nil {
			return err
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
