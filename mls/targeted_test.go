package mls

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"pgregory.net/rapid"
)

// newTargetedCrowd is newCrowd with targeted messages.
func newTargetedCrowd(t failer, id ciphersuite.ID, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, id)
	c.configure = func(cfg *Config) { cfg.TargetedMessages = true }
	c.found(GroupOptions{})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

// newTargetedFleet is newFleet with targeted messages.
func newTargetedFleet(t failer, n int) *fleet {
	t.Helper()
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.configure = func(cfg *Config) { cfg.TargetedMessages = true }
	f.found(n)
	return f
}

// checkTargeted has each member send to each other, and to all others at once. Only
// the recipients read it, and nobody's state changes.
func (c *crowd) checkTargeted() {
	c.t.Helper()
	var before [][]byte
	for _, m := range c.members {
		before = append(before, mustMarshal(c.t, m.g))
	}
	for by, m := range c.members {
		var others []LeafIndex
		for to, other := range c.members {
			if to == by {
				continue
			}
			others = append(others, other.g.OwnLeaf())
			data := fmt.Sprintf("from %s to %s", m.name, other.name)
			message, err := m.g.ProtectTo(other.g.OwnLeaf(), []byte(data), []byte("for one"))
			if err != nil {
				c.t.Fatal(err)
			}
			c.checkRecipients(by, message, data, "for one", other.g.OwnLeaf())
		}
		for n := 1; n <= len(others); n++ {
			data := fmt.Sprintf("from %s to %d of them", m.name, n)
			recipients := slices.Clone(others[len(others)-n:])
			slices.Reverse(recipients)
			message, err := m.g.ProtectToSeveral(recipients, []byte(data), []byte("for some"))
			if err != nil {
				c.t.Fatal(err)
			}
			slices.Sort(recipients)
			c.checkRecipients(by, message, data, "for some", recipients...)
		}
	}
	for i, m := range c.members {
		if !bytes.Equal(mustMarshal(c.t, m.g), before[i]) {
			c.t.Errorf("%s: the state has changed", m.name)
		}
	}
}

// checkRecipients checks that the recipients of a message read it, twice, and the other
// members do not.
func (c *crowd) checkRecipients(by int, message []byte, data, authenticatedData string, recipients ...LeafIndex) {
	c.t.Helper()
	for i, m := range c.members {
		if i == by {
			continue
		}
		if !slices.Contains(recipients, m.g.OwnLeaf()) {
			if _, err := m.g.Process(message); !errors.Is(err, ErrNotRecipient) {
				c.t.Errorf("%s, who is no recipient: %v", m.name, err)
			}
			continue
		}
		for range 2 {
			got, ok := c.process(i, message).(*ReceivedTargeted)
			if !ok || got.Sender != c.members[by].g.OwnLeaf() || !slices.Equal(got.Recipients, recipients) ||
				string(got.Data) != data || string(got.AuthenticatedData) != authenticatedData {
				c.t.Errorf("%s received %+v from leaf %d", m.name, got, c.members[by].g.OwnLeaf())
			}
		}
	}
}

func TestTargetedMessagesReachTheirRecipientsAlone(t *testing.T) {
	for _, id := range ciphersuite.Default().IDs() {
		t.Run(id.String(), func(t *testing.T) {
			c := newTargetedCrowd(t, id, 4)
			c.checkTargeted()
			c.commit(1, CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}}) // a blank leaf, and new keys
			c.checkTargeted()
		})
	}
}

// Whatever happens to the members, they can send to each other.
func TestRandomHistoriesWithTargetedMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newTargetedCrowd(t, suite1, rapid.IntRange(2, 4).Draw(t, "members"))
		for range rapid.IntRange(1, 4).Draw(t, "epochs") {
			randomEpoch(t, c)
			if rapid.Bool().Draw(t, "restart") {
				c.restart()
			}
			c.checkTargeted()
		}
		c.checkMessages()
	})
}

// They are no application messages, which have to wait for a commit.
func TestTargetedMessagesDoNotWaitForCommits(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	c.proposeUpdate(1, LeafChanges{})
	if _, err := c.members[0].g.Protect(nil, nil); !errors.Is(err, ErrPendingProposals) {
		t.Fatalf("got %v, want ErrPendingProposals", err)
	}
	c.checkTargeted()
}

func TestTargetedMessagesArePadded(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	sizes := map[int]bool{}
	for _, m := range c.members {
		m.g.cfg.Padding = func(n int) int { return 100 - n }
	}
	for n := range 3 {
		sizes[len(must(c.members[0].g.ProtectTo(1, make([]byte, n), nil)))] = true
		sizes[-len(must(c.members[0].g.ProtectToSeveral([]LeafIndex{1, 2}, make([]byte, n), nil)))] = true
	}
	if len(sizes) != 2 {
		t.Errorf("the sizes tell what is inside: %v", slices.Sorted(maps.Keys(sizes)))
	}
	c.checkTargeted()
}

func TestTargetedMessagesAreOffUnlessAskedFor(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	for i, send := range c.members[0].g.targetedSenders() {
		message := must(send())
		off := c.members[1].clone(t)
		off.cfg = new(Config)
		*off.cfg = *c.members[1].g.cfg
		off.cfg.TargetedMessages = false
		before := mustMarshal(t, off)
		if _, err := off.Process(message); !errors.Is(err, ErrUnsupported) {
			t.Errorf("format %d: processing says %v, want ErrUnsupported", i, err)
		}
		if _, err := off.targetedSenders()[i](); !errors.Is(err, ErrUnsupported) {
			t.Errorf("format %d: sending says %v, want ErrUnsupported", i, err)
		}
		wantEqual(t, "state", mustMarshal(t, off), before)
		observer, err := NewObserver(c.members[0].cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{})), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := observer.Process(message); !errors.Is(err, ErrUnsupported) {
			t.Errorf("format %d: an observer says %v, want ErrUnsupported", i, err)
		}
		h, err := ParseHeader(message)
		if err != nil || !bytes.Equal(h.GroupID, c.members[0].g.GroupID()) || h.Epoch != 1 || h.ContentType != 0 {
			t.Errorf("format %d: header %+v, %v", i, h, err)
		}
	}
}

// targetedSenders sends from g to another member, in each format.
func (g *Group) targetedSenders() []func() ([]byte, error) {
	other := LeafIndex(1)
	if g.own == 1 {
		other = 0
	}
	return []func() ([]byte, error){
		func() ([]byte, error) { return g.ProtectTo(other, []byte("data"), nil) },
		func() ([]byte, error) { return g.ProtectToSeveral([]LeafIndex{other, 2}, []byte("data"), nil) },
	}
}

func TestTargetedMessagesThatCannotBeSent(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 4)
	c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 3}}})
	g := c.members[0].g
	for _, to := range []LeafIndex{g.own, 3, 4, 1<<32 - 1} {
		if _, err := g.ProtectTo(to, nil, nil); !errors.Is(err, ErrNoSuchMember) {
			t.Errorf("to leaf %d: %v, want ErrNoSuchMember", to, err)
		}
		if _, err := g.ProtectToSeveral([]LeafIndex{1, to}, nil, nil); !errors.Is(err, ErrNoSuchMember) {
			t.Errorf("to leaves 1 and %d: %v, want ErrNoSuchMember", to, err)
		}
	}
	if _, err := g.ProtectToSeveral(nil, nil, nil); err == nil {
		t.Error("a message to nobody was sent")
	}
	for i, send := range g.targetedSenders() {
		random := g.cfg.Rand
		for reads := range 3 { // more than that are signatures and further keys
			if i == 0 && reads > 0 {
				break
			}
			g.cfg.Rand = &shortReader{reads}
			if _, err := send(); err == nil {
				t.Errorf("format %d: sent with randomness for %d reads", i, reads)
			}
		}
		g.cfg.Rand = random
		signer := g.signer
		g.signer = faultySigner{signer, &faults{}}
		if _, err := send(); !errors.Is(err, errFault) {
			t.Errorf("format %d: sent without a signature: %v", i, err)
		}
		g.signer = signer

		without := c.members[0].clone(t)
		without.EraseExporterSecret()
		if _, err := without.targetedSenders()[i](); !errors.Is(err, ErrErased) {
			t.Errorf("format %d: without the exporter secret: %v, want ErrErased", i, err)
		}
		message := must(send())
		receiver := c.members[1].clone(t)
		receiver.EraseExporterSecret()
		if _, err := receiver.Process(message); !errors.Is(err, ErrErased) {
			t.Errorf("format %d: received without the exporter secret: %v, want ErrErased", i, err)
		}
		receiver.Erase()
		if _, err := receiver.targetedSenders()[i](); !errors.Is(err, ErrErased) {
			t.Errorf("format %d: sent by what was erased: %v, want ErrErased", i, err)
		}
	}
}

func TestTargetedMessagesToOthersAreRefused(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	other := newTargetedCrowd(t, suite1, 3)
	other.members[0].g.context.groupID = []byte("another group")
	old := must(c.members[0].g.ProtectTo(1, nil, nil))
	oldSeveral := must(c.members[0].g.ProtectToSeveral([]LeafIndex{1, 2}, nil, nil))
	c.commit(2, CommitOptions{})
	for what, refused := range map[string]struct {
		message []byte
		want    error
	}{
		"of the last epoch":             {old, ErrWrongEpoch},
		"to several, of the last epoch": {oldSeveral, ErrWrongEpoch},
		"of another group":              {must(other.members[0].g.ProtectTo(1, nil, nil)), ErrWrongGroup},
		"to several, of another group":  {must(other.members[0].g.ProtectToSeveral([]LeafIndex{1}, nil, nil)), ErrWrongGroup},
		"from oneself":                  {c.forgeTargeted(nil, func(f *forgedTargeted) { f.d.sender = 1 }, nil), ErrOwnMessage},
		"to several, from oneself":      {c.forgeMultiTargeted(nil, func(f *forgedMultiTargeted) { f.d.sender = 1 }, nil), ErrOwnMessage},
		"with another's content": {c.forgeTargeted(nil, func(f *forgedTargeted) {
			f.m.ciphertext = bytes.Repeat([]byte{1}, 40)
		}, nil), ErrDecrypt},
		"with a KEM output of no point": {c.forgeTargeted(nil, func(f *forgedTargeted) { f.d.kemOutput = nil }, nil), ErrDecrypt},
		"of less than a tag":            {c.forgeTargeted(nil, func(f *forgedTargeted) { f.m.ciphertext = []byte{1} }, nil), ErrDecrypt},
		"of nothing":                    {c.forgeTargeted(nil, func(f *forgedTargeted) { f.m.ciphertext = nil }, nil), ErrDecrypt},
		"to several, with the secret of another": {c.forgeMultiTargeted(nil, func(f *forgedMultiTargeted) {
			slices.Reverse(f.d.keys)
		}, nil), ErrDecrypt},
		"to several, with other content": {c.forgeMultiTargeted(nil, func(f *forgedMultiTargeted) {
			f.m.ciphertext = bytes.Repeat([]byte{1}, 40)
		}, nil), ErrDecrypt},
		"cut content": {c.forgeTargeted([]byte{4, 1}, nil, nil), wire.ErrTruncated},
		"no content":  {c.forgeTargeted([]byte{}, nil, nil), wire.ErrTruncated},
	} {
		if err := c.refused(refused.message); !errors.Is(err, refused.want) {
			t.Errorf("%s: %v, want %v", what, err, refused.want)
		}
	}
}

// Nothing of a message can be changed on its way.
func TestDamagedTargetedMessagesAreRefused(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	receiver := c.members[1].g
	for i, send := range c.members[0].g.targetedSenders() {
		message := must(send())
		for at := range message {
			damaged := bytes.Clone(message)
			damaged[at] ^= 1
			if received, err := receiver.Process(damaged); err == nil {
				t.Errorf("format %d: octet %d was changed, and %+v received", i, at, received)
			}
			if received, err := receiver.Process(message[:at]); err == nil {
				t.Errorf("format %d: %+v was received of %d octets", i, received, at)
			}
		}
		if _, err := receiver.Process(message); err != nil {
			t.Error(err)
		}
	}
}

// forgedTargeted is a message of member 0 to member 1 in the making.
type forgedTargeted struct {
	m      *targetedMessage
	d      *targetedSenderAuthData
	signer *client
}

// forgeTargeted has member 0 send content, or an empty message if it is nil, to member 1.
// It is spoilt before it is signed, after that, or both. Apart from that, it is valid.
func (c *crowd) forgeTargeted(content []byte, early, late func(*forgedTargeted)) []byte {
	c.t.Helper()
	if content == nil {
		content = []byte{0}
	}
	g := c.members[0].g
	secrets, err := g.exportTargeted(targetedExporterLabel)
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := g.targetedKeyOf(1)
	if err != nil {
		c.t.Fatal(err)
	}
	f := &forgedTargeted{
		m: &targetedMessage{groupID: g.context.groupID, epoch: g.context.epoch, recipient: 1}, d: &targetedSenderAuthData{}, signer: c.members[0],
	}
	if f.d.kemOutput, f.m.ciphertext, err = key.SealPSK(c.rand, f.m.context(0), nil, content, secrets.psk, f.m.pskID()); err != nil {
		c.t.Fatal(err)
	}
	if early != nil {
		early(f)
	}
	tbs := wire.Encode(func(w *wire.Writer) { f.m.encodeToBeSigned(w, c.suite, f.d) })
	if f.d.signature, err = c.suite.SignWithLabel(c.rand, f.signer.g.signer, targetedSignatureLabel, tbs); err != nil {
		c.t.Fatal(err)
	}
	if late != nil {
		late(f)
	}
	if f.m.encryptedSenderAuthData, err = secrets.sealSenderAuthData(c.suite, f.m.ciphertext, wire.Encode(f.m.encodeSenderAuthDataAAD), f.d); err != nil {
		c.t.Fatal(err)
	}
	return marshal(&mlsMessage{wireFormat: WireFormatTargetedMessage, targetedMessage: f.m})
}

// forgedMultiTargeted is a message of member 0 to members 1 and 2 in the making.
type forgedMultiTargeted struct {
	c       *crowd
	secrets targetedSecrets
	secret  []byte // of the content
	m       *multiTargetedMessage
	d       *multiTargetedSenderAuthData
	signer  *client
}

// seal returns a secret sealed to a member.
func (f *forgedMultiTargeted) seal(to LeafIndex, secret []byte) (sealed hpkeCiphertext) {
	f.c.t.Helper()
	key, err := f.c.members[0].g.targetedKeyOf(to)
	if err != nil {
		f.c.t.Fatal(err)
	}
	sealed.kemOutput, sealed.ciphertext, err = key.SealPSK(f.c.rand, multiTargetedContext(to, 0), nil, secret, f.secrets.psk, f.m.pskID())
	if err != nil {
		f.c.t.Fatal(err)
	}
	return sealed
}

// forgeMultiTargeted is forgeTargeted to members 1 and 2.
func (c *crowd) forgeMultiTargeted(content []byte, early, late func(*forgedMultiTargeted)) []byte {
	c.t.Helper()
	if content == nil {
		content = []byte{0}
	}
	g := c.members[0].g
	secrets, err := g.exportTargeted(multiTargetedExporterLabel)
	if err != nil {
		c.t.Fatal(err)
	}
	f := &forgedMultiTargeted{
		c: c, secrets: secrets, secret: bytes.Repeat([]byte{7}, c.suite.HashSize()), signer: c.members[0],
		m: &multiTargetedMessage{groupID: g.context.groupID, epoch: g.context.epoch, recipients: []LeafIndex{1, 2}},
		d: &multiTargetedSenderAuthData{},
	}
	f.d.keys = []hpkeCiphertext{f.seal(1, f.secret), f.seal(2, f.secret)}
	if err := f.m.sealContent(c.suite, f.secret, bytes.Clone(content), f.d); err != nil {
		c.t.Fatal(err)
	}
	if early != nil {
		early(f)
	}
	signing := f.signer.g
	if err := signing.signMultiTargeted(f.m, f.d); err != nil {
		c.t.Fatal(err)
	}
	if late != nil {
		late(f)
	}
	if f.m.encryptedSenderAuthData, err = secrets.sealSenderAuthData(c.suite, f.m.ciphertext, wire.Encode(f.m.encodeSenderAuthDataAAD), f.d); err != nil {
		c.t.Fatal(err)
	}
	return marshal(&mlsMessage{wireFormat: WireFormatMultiTargetedMessage, multiTargetedMessage: f.m})
}

func TestForgedTargetedMessagesAreValidUnlessSpoilt(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	for _, message := range [][]byte{
		c.forgeTargeted(nil, nil, nil), c.forgeTargeted([]byte{1, 'x', 0, 0}, nil, nil),
		c.forgeMultiTargeted(nil, nil, nil), c.forgeMultiTargeted([]byte{1, 'x', 0, 0}, nil, nil),
	} {
		if _, err := c.members[1].g.Process(message); err != nil {
			t.Error(err)
		}
	}
}

func targetedRefusals() []refusal {
	one := func(content []byte, early, late func(*forgedTargeted)) func(t *testing.T) error {
		return func(t *testing.T) error {
			c := newTargetedCrowd(t, suite1, 3)
			return c.refused(c.forgeTargeted(content, early, late))
		}
	}
	several := func(content []byte, early, late func(*forgedMultiTargeted)) func(t *testing.T) error {
		return func(t *testing.T) error {
			c := newTargetedCrowd(t, suite1, 3)
			return c.refused(c.forgeMultiTargeted(content, early, late))
		}
	}
	return []refusal{
		{CheckTargetedRecipient, "to another", one(nil, func(f *forgedTargeted) { f.m.recipient = 2 }, nil)},
		{CheckTargetedRecipient, "to nobody", one(nil, func(f *forgedTargeted) { f.m.recipient = 1<<32 - 1 }, nil)},
		{CheckTargetedRecipient, "to several others", several(nil, func(f *forgedMultiTargeted) { f.m.recipients = []LeafIndex{2, 5} }, nil)},
		{CheckTargetedSender, "blank", one(nil, func(f *forgedTargeted) { f.d.sender = 3 }, nil)},
		{CheckTargetedSender, "out of the tree", one(nil, func(f *forgedTargeted) { f.d.sender = 1<<32 - 1 }, nil)},
		{CheckTargetedSender, "blank, to several", several(nil, func(f *forgedMultiTargeted) { f.d.sender = 3 }, nil)},
		{CheckTargetedSignature, "by another member", func(t *testing.T) error {
			c := newTargetedCrowd(t, suite1, 3)
			return c.refused(c.forgeTargeted(nil, func(f *forgedTargeted) { f.signer = c.members[2] }, nil))
		}},
		{CheckTargetedSignature, "says it is from another member", one(nil, nil, func(f *forgedTargeted) { f.d.sender = 2 })},
		{CheckTargetedSignature, "over another recipient", func(t *testing.T) error {
			c := newTargetedCrowd(t, suite1, 3)
			return c.refused(c.forgeTargeted(nil, func(f *forgedTargeted) { f.m.recipient = 2 }, func(f *forgedTargeted) { f.m.recipient = 1 }))
		}},
		{CheckTargetedSignature, "over other authenticated data", one(nil, nil, func(f *forgedTargeted) { f.m.authenticatedData = []byte("other") })},
		{CheckTargetedSignature, "over another KEM output", one(nil, nil, func(f *forgedTargeted) { f.d.kemOutput[0] ^= 1 })},
		// What would not decrypt either: the signature comes first.
		{CheckTargetedSignature, "over other content", one(nil, nil, func(f *forgedTargeted) { f.m.ciphertext[0] ^= 1 })},
		{CheckTargetedSignature, "missing", one(nil, nil, func(f *forgedTargeted) { f.d.signature = nil })},
		{CheckTargetedSignature, "under another label", func(t *testing.T) error {
			c := newTargetedCrowd(t, suite1, 3)
			return c.refused(c.forgeTargeted(nil, nil, func(f *forgedTargeted) {
				tbs := wire.Encode(func(w *wire.Writer) { f.m.encodeToBeSigned(w, c.suite, f.d) })
				f.d.signature = must(c.suite.SignWithLabel(c.rand, f.signer.g.signer, multiTargetedSignatureLabel, tbs))
			}))
		}},
		{CheckTargetedSignature, "to several, by another member", func(t *testing.T) error {
			c := newTargetedCrowd(t, suite1, 3)
			return c.refused(c.forgeMultiTargeted(nil, func(f *forgedMultiTargeted) { f.signer = c.members[2] }, nil))
		}},
		// A recipient has the secret and can encrypt what it likes, but not sign it.
		{CheckTargetedSignature, "to several, other content by a recipient", several(nil, nil, func(f *forgedMultiTargeted) {
			if err := f.m.sealContent(f.c.suite, f.secret, []byte{1, 'x'}, f.d); err != nil {
				f.c.t.Fatal(err)
			}
		})},
		{CheckTargetedSignature, "to several, another secret by a recipient", several(nil, nil, func(f *forgedMultiTargeted) {
			f.d.keys[0] = f.seal(1, bytes.Repeat([]byte{8}, f.c.suite.HashSize()))
		})},
		{CheckTargetedSignature, "to several, other authenticated data", several(nil, nil, func(f *forgedMultiTargeted) { f.m.authenticatedData = []byte{1} })},
		{CheckTargetedSignature, "to several, another commitment", several(nil, nil, func(f *forgedMultiTargeted) { f.d.commitment[0] ^= 1 })},
		{CheckTargetedSignature, "to several, fewer recipients", several(nil, nil, func(f *forgedMultiTargeted) {
			f.m.recipients, f.d.keys = f.m.recipients[:1], f.d.keys[:1]
		})},
		{CheckTargetedPadding, "not zero", one([]byte{1, 'x', 0, 1}, nil, nil)},
		{CheckTargetedPadding, "not zero, to several", several([]byte{1, 'x', 1, 0}, nil, nil)},
		{CheckMultiTargetedRecipients, "none", several(nil, func(f *forgedMultiTargeted) { f.m.recipients = nil }, nil)},
		{CheckMultiTargetedRecipients, "twice", several(nil, func(f *forgedMultiTargeted) { f.m.recipients = []LeafIndex{1, 1} }, nil)},
		{CheckMultiTargetedRecipients, "out of order", several(nil, func(f *forgedMultiTargeted) { f.m.recipients = []LeafIndex{2, 1} }, nil)},
		{CheckMultiTargetedKeys, "one too few", several(nil, func(f *forgedMultiTargeted) { f.d.keys = f.d.keys[:1] }, nil)},
		{CheckMultiTargetedKeys, "one too many", several(nil, func(f *forgedMultiTargeted) { f.d.keys = append(f.d.keys, f.d.keys[0]) }, nil)},
		{CheckMultiTargetedKeys, "none", several(nil, func(f *forgedMultiTargeted) { f.d.keys = nil }, nil)},
		// The sender has two recipients decrypt different things.
		{CheckMultiTargetedCommitment, "another secret for one", several(nil, func(f *forgedMultiTargeted) {
			f.d.keys[0] = f.seal(1, bytes.Repeat([]byte{8}, f.c.suite.HashSize()))
		}, nil)},
		{CheckMultiTargetedCommitment, "missing", several(nil, func(f *forgedMultiTargeted) { f.d.commitment = nil }, nil)},
	}
}

// What is read late is read as long as the past epoch is kept.
func TestTargetedMessagesOfPastEpochs(t *testing.T) {
	for _, restarting := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarting %t", restarting), func(t *testing.T) {
			f := newTargetedFleet(t, 4)
			f.restarting = restarting
			sender, d := f.devices[0], f.devices[1]
			one := must(sender.m.ProtectTo(1, []byte("one"), []byte("a")))
			several := must(sender.m.ProtectToSeveral([]LeafIndex{1, 2}, []byte("several"), []byte("b")))
			other := must(sender.m.ProtectTo(2, nil, nil))
			forged := bytes.Clone(one)
			forged[len(forged)-1] ^= 1
			removed := must(f.devices[3].m.ProtectTo(1, []byte("from who left"), nil))
			d.readsTargeted(one, "one", 0)
			f.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 3}}})
			f.commit(1, CommitOptions{}) // with another leaf key
			for range 2 {
				d.readsTargeted(one, "one", 0)
				d.readsTargeted(several, "several", 0)
				d.refuses(other, ErrNotRecipient)
				d.refuses(forged, nil)
				d.readsTargeted(removed, "from who left", 3)
				d.restart()
			}
			f.commit(0, CommitOptions{})
			d.refuses(one, ErrWrongEpoch)
			f.checkMessages()
		})
	}
}

// readsTargeted checks that a device receives a targeted message, which changes nothing.
func (d *device) readsTargeted(message []byte, want string, from LeafIndex) {
	d.f.t.Helper()
	before, stored := d.remembers(), d.stored()
	got, ok := d.process(message).(*ReceivedTargeted)
	if !ok || string(got.Data) != want || got.Sender != from {
		d.f.t.Errorf("%s received %+v, want %q of leaf %d", d.name, got, want, from)
	}
	if !bytes.Equal(d.remembers(), before) || !maps.Equal(d.stored(), stored) {
		d.f.t.Errorf("%s: a targeted message has changed something", d.name)
	}
}

// What an epoch did not keep cannot be read: the exporter secret was erased, or the
// client had no targeted messages then.
func TestTargetedMessagesOfPastEpochsThatWereNotKept(t *testing.T) {
	f := newTargetedFleet(t, 3)
	d := f.devices[1]
	first := must(f.devices[0].m.ProtectTo(1, nil, nil))
	d.do("erases the exporter secret", func() error { return d.m.EraseExporterSecret(background) })
	f.commit(0, CommitOptions{})
	d.refuses(first, ErrErased)
	if d.m.state.past[0].targeted != nil {
		t.Error("something is kept of an epoch without an exporter secret")
	}

	second := must(f.devices[0].m.ProtectTo(1, nil, nil))
	f.commit(0, CommitOptions{})
	d.readsTargeted(second, "", 0)
	d.cfg.TargetedMessages = false
	d.restart()
	d.refuses(second, ErrUnsupported)
	if _, err := d.m.ProtectToSeveral([]LeafIndex{0}, nil, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("sending says %v, want ErrUnsupported", err)
	}
	third := must(f.devices[0].m.ProtectTo(1, nil, nil))
	f.commit(0, CommitOptions{})
	d.cfg.TargetedMessages = true
	d.restart()
	d.refuses(third, ErrErased)

	d.m.Close()
	if _, err := d.m.ProtectTo(0, nil, nil); !errors.Is(err, ErrErased) {
		t.Errorf("closed: %v, want ErrErased", err)
	}
	if _, err := d.m.ProtectToSeveral([]LeafIndex{0}, nil, nil); !errors.Is(err, ErrErased) {
		t.Errorf("closed: %v, want ErrErased", err)
	}
}

// The leaf key of a past epoch is erased with the last epoch that has it, and the
// secrets at once.
func TestSecretsForLateTargetedMessagesAreErased(t *testing.T) {
	f := newTargetedFleet(t, 2)
	d := f.devices[1]
	f.commit(0, CommitOptions{})
	p := d.m.state.past[0].targeted
	f.commit(1, CommitOptions{}) // the leaf key of the first epoch lives in the past alone
	if p.leafKey.Bytes() == nil {
		t.Fatal("the key is gone already")
	}
	f.commit(0, CommitOptions{})
	f.commit(0, CommitOptions{})
	if len(p.secrets) != 2 {
		t.Errorf("secrets for %d formats, want 2", len(p.secrets))
	}
	for label, s := range p.secrets {
		if len(bytes.Trim(s.psk, "\x00")) > 0 || len(bytes.Trim(s.senderAuthData, "\x00")) > 0 {
			t.Errorf("%s: %x and %x are still in memory", label, s.psk, s.senderAuthData)
		}
	}
	if p.leafKey.Bytes() != nil {
		t.Error("the leaf key is still there")
	}
}

func TestPastEpochsOfOtherVersionsAreRefused(t *testing.T) {
	f := newTargetedFleet(t, 2)
	f.commit(0, CommitOptions{})
	d := f.devices[1]
	state := wire.Encode(d.m.state.past[0].encode)
	if state[1] != byte(pastTargetedVersion) {
		t.Fatalf("version %d, want %d", state[1], pastTargetedVersion)
	}
	for n := range state {
		if _, err := restorePastEpoch(d.m.client.cfg, bytes.Clone(state[:n])); err == nil {
			t.Errorf("restored from %d of %d octets", n, len(state))
		}
	}
	state[1] = 3
	if _, err := restorePastEpoch(d.m.client.cfg, state); !errors.Is(err, ErrUnsupported) {
		t.Errorf("version 3: %v, want ErrUnsupported", err)
	}
}

// A hostile member has the keys and signs, and writes what it likes inside.
func FuzzTargetedSenderAuthData(f *testing.F) {
	c := newTargetedCrowd(f, suite1, 3)
	var one, several []byte
	c.forgeTargeted(nil, nil, func(x *forgedTargeted) { one = marshal(x.d) })
	c.forgeMultiTargeted(nil, nil, func(x *forgedMultiTargeted) { several = marshal(x.d) })
	f.Add(false, one)
	f.Add(true, several)
	f.Fuzz(func(t *testing.T, toSeveral bool, encoded []byte) {
		c.t = t
		var message []byte
		if toSeveral {
			message = c.forgeMultiTargeted(nil, nil, func(x *forgedMultiTargeted) {
				if unmarshal(encoded, x.d) == nil {
					wantEqual(t, "sender auth data", marshal(x.d), encoded)
				}
			})
		} else {
			message = c.forgeTargeted(nil, nil, func(x *forgedTargeted) {
				if unmarshal(encoded, x.d) == nil {
					wantEqual(t, "sender auth data", marshal(x.d), encoded)
				}
			})
		}
		before := mustMarshal(t, c.members[1].g)
		_, _ = c.members[1].g.Process(message)
		wantEqual(t, "state", mustMarshal(t, c.members[1].g), before)
	})
}

// A hostile member encrypts and signs any content.
func FuzzTargetedContent(f *testing.F) {
	c := newTargetedCrowd(f, suite1, 3)
	f.Add([]byte{1, 'x', 0, 0})
	f.Add([]byte{0x40, 1})
	f.Fuzz(func(t *testing.T, content []byte) {
		c.t = t
		if content == nil {
			content = []byte{}
		}
		data, wrong := decodeTargetedContent(content)
		for _, message := range [][]byte{c.forgeTargeted(content, nil, nil), c.forgeMultiTargeted(content, nil, nil)} {
			received, err := c.members[1].g.Process(message)
			if (err == nil) != (wrong == nil) {
				t.Fatalf("received %v, %v; the content is %v", received, err, wrong)
			}
			if err == nil {
				wantEqual(t, "data", received.(*ReceivedTargeted).Data, data)
			}
		}
	})
}

// A past epoch has the same checks, and is as it was after each message.
func TestPastEpochsCheckTargetedMessages(t *testing.T) {
	c := newTargetedCrowd(t, suite1, 3)
	past := c.members[1].g.retire(testTime)
	defer past.erase()
	before := wire.Encode(past.encode)
	messages := [][]byte{c.forgeTargeted(nil, nil, nil), c.forgeMultiTargeted(nil, nil, nil)}
	for range 2 {
		for _, message := range messages {
			if _, err := past.process(message); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := past.process(c.forgeTargeted(nil, func(f *forgedTargeted) { f.d.sender = 3 }, nil))
	wantCheck(t, err, CheckTargetedSender)
	_, err = past.process(c.forgeMultiTargeted(nil, func(f *forgedMultiTargeted) { f.signer = c.members[2] }, nil))
	wantCheck(t, err, CheckTargetedSignature)
	wantEqual(t, "state", wire.Encode(past.encode), before)
}

var writePastTargeted = flag.Bool("write-past-targeted", false, "write testdata/pasttargeted.json anew")

// storedPastTargeted is an encoded past epoch of version 2, with messages that it
// has to read for ever.
type storedPastTargeted struct {
	State    hexBytes
	Messages []hexBytes
}

// A past epoch that was stored by an earlier program is still readable.
func TestStoredPastEpochsReadTargetedMessages(t *testing.T) {
	const file = "testdata/pasttargeted.json"
	c := newTargetedCrowd(t, suite1, 3)
	if *writePastTargeted {
		past := c.members[1].g.retire(testTime)
		s := storedPastTargeted{State: wire.Encode(past.encode)}
		for _, send := range c.members[0].g.targetedSenders() {
			s.Messages = append(s.Messages, must(send()))
		}
		if err := os.WriteFile(file, must(json.MarshalIndent(s, "", "\t")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s storedPastTargeted
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	past, err := restorePastEpoch(c.members[1].g.cfg, bytes.Clone(s.State))
	if err != nil {
		t.Fatal(err)
	}
	defer past.erase()
	wantEqual(t, "state", wire.Encode(past.encode), s.State)
	if len(s.Messages) != 2 {
		t.Fatalf("%d messages, want 2", len(s.Messages))
	}
	for _, message := range s.Messages {
		received, err := past.process(message)
		if err != nil {
			t.Fatal(err)
		}
		if got := received.(*ReceivedTargeted); string(got.Data) != "data" || got.Sender != 0 {
			t.Errorf("received %+v", got)
		}
	}
}
