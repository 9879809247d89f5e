package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A keyLog holds the traffic secrets that an end has in use, as its memory does.
type keyLog struct {
	mu     sync.Mutex
	latest [2]struct {
		epoch  uint64
		secret []byte
	}
}

// Write takes lines of a label, the session, the epoch and the secret.
func (k *keyLog) Write(lines []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for line := range strings.Lines(string(lines)) {
		var label, session, secret string
		var epoch uint64
		if _, err := fmt.Sscan(line, &label, &session, &epoch, &secret); err != nil {
			return 0, fmt.Errorf("key log line %q: %w", line, err)
		}
		b, err := hex.DecodeString(secret)
		if err != nil {
			return 0, fmt.Errorf("key log line %q: %w", line, err)
		}
		d := fromResponder
		if strings.HasPrefix(label, "CLIENT") {
			d = fromInitiator
		}
		k.latest[d].epoch, k.latest[d].secret = epoch, b
	}
	return len(lines), nil
}

// A thief has copied all secrets of one end at one moment: its private
// signature key, the stored session with the group's state and private keys,
// and the traffic keys in memory. From then on it only listens.
type thief struct {
	suite *ciphersuite.Suite
	group *mls.Group
	ears  [2]*ear
}

// steal makes the copy.
func steal(ctx context.Context, cfg *channel.Config, id channel.SessionID, keys *keyLog) (*thief, error) {
	stored, err := cfg.Store.Load(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("copying the stored session: %w", err)
	}
	group, err := stored.Group(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the copy: %w", err)
	}
	t := &thief{suite: group.Suite(), group: group}
	keys.mu.Lock()
	defer keys.mu.Unlock()
	for d := range t.ears {
		if keys.latest[d].epoch != group.Epoch() {
			return nil, fmt.Errorf("traffic keys are of epoch %d, the group's state of epoch %d", keys.latest[d].epoch, group.Epoch())
		}
		protection, err := record.NewProtection(t.suite, keys.latest[d].secret)
		if err != nil {
			return nil, err
		}
		t.ears[d] = &ear{current: protection}
	}
	return t, nil
}

// An ear listens to one direction.
type ear struct {
	current  *record.Protection // keys that the thief holds; of epoch N
	next     *record.Protection // of epoch N+1, if the thief could derive them
	atSwitch bool               // what follows is under the next keys
	rest     []byte             // captured and not looked at yet
	heard    bytes.Buffer       // application data
	commit   []byte             // the last ConnectionUpdate
	lost     int                // records that the thief's keys do not open
}

// overhear decrypts what it can of new captured bytes. It stops after an update
// and where the direction changes its keys, for the thief to derive new ones:
// call it again with nil to go on.
func (e *ear) overhear(captured []byte) error {
	if e.atSwitch && e.next != nil {
		e.current, e.next = e.next, nil
	}
	e.atSwitch = false // without the next keys, the old ones are all there is to try
	e.rest = append(e.rest, captured...)
	for len(e.rest) >= record.HeaderSize {
		h, err := record.ParseHeader(e.rest)
		if err != nil {
			return fmt.Errorf("captured stream: %w", err)
		}
		size := record.HeaderSize + h.Length
		if len(e.rest) < size {
			return nil
		}
		sealed := e.rest[:size]
		e.rest = e.rest[size:]
		if h.Type != record.ContentApplicationData {
			continue // in the clear: the messages of a resumption
		}
		kind, content, err := e.current.Open(nil, sealed)
		switch {
		case errors.Is(err, record.ErrAuthentication):
			e.lost++
		case err != nil:
			return err
		case kind == record.ContentApplicationData:
			e.heard.Write(content)
		case kind == record.ContentHandshake:
			var update bool
			if e.atSwitch, update = e.control(content); e.atSwitch || update {
				return nil
			}
		}
	}
	return nil
}

// control looks at two-party messages. It reports whether they are the last
// under the present keys, and whether an update is among them.
func (e *ear) control(content []byte) (last, update bool) {
	a := channel.NewAssembler(0)
	a.Feed(content)
	for {
		m, ok, err := a.Next()
		if !ok || err != nil {
			return last, update
		}
		switch m.Type {
		case channel.MessageConnectionUpdate:
			e.commit, update = m.Body, true
		case channel.MessageEpochKeyUpdate, channel.MessageKeySwitch:
			last = true
		}
	}
}

// follow processes the commit that was overheard from d with the stolen state,
// as the owner of the state does, and derives the keys of the new epoch.
func (t *thief) follow(d direction) error {
	commit := t.ears[d].commit
	if commit == nil {
		return fmt.Errorf("no update was overheard from %v", d)
	}
	t.ears[d].commit = nil
	received, err := t.group.Process(commit)
	if err != nil {
		return err
	}
	c, ok := received.(*mls.ReceivedCommit)
	if !ok || c.Group() == nil {
		return errors.New("the update is not a commit")
	}
	t.group = c.Group()
	for d, label := range [...]string{fromInitiator: "MLS-TLS c ap traffic", fromResponder: "MLS-TLS s ap traffic"} {
		secret, err := t.group.Export(label, nil, t.suite.HashSize())
		if err != nil {
			return err
		}
		if t.ears[d].next, err = record.NewProtection(t.suite, secret); err != nil {
			return err
		}
	}
	return nil
}
