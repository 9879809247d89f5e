package channel

import "testing"

// Updates and pre-shared keys go by the configuration that was chosen as well.
func TestASelectedConfigurationHoldsAfterTheHandshake(t *testing.T) {
	chosen := newHost(t, "chosen")
	chosen.cfg.PSK = func([]byte) ([]byte, error) { return []byte("shared"), nil }
	a, b := shake(t, func(a, b *Config) {
		a.PSK, a.PSKIdentities = chosen.cfg.PSK, [][]byte{[]byte("psk")}
		b.Select = func(ClientHello) (*Config, error) { return &chosen.cfg, nil }
	})
	if a.err != nil || b.err != nil {
		t.Fatal(a.err, b.err)
	}
	if len(a.Negotiated().PSKs) != 1 {
		t.Errorf("pre-shared keys are %q", a.Negotiated().PSKs)
	}
	b.update(t, ReasonAge)
	settle(t, a, b)
	if name := string(a.Peer().Credential.Identity); name != "chosen" || len(a.changes) != 0 {
		t.Errorf("after an update the peer is %q, %d changes", name, len(a.changes))
	}
}

// The sizes of records are known with the first keys.
func TestKeysComeWithTheSizeOfRecords(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.MaxRecordSize, hb.cfg.MaxRecordSize = 100, 200
	sizes := make(map[Direction]int)
	note := func(events []Event) []Event {
		for _, e := range events {
			switch e := e.(type) {
			case SwitchSend:
				sizes[Sending] = e.RecordSize
			case SwitchReceive:
				sizes[Receiving] = e.RecordSize
			}
		}
		return events
	}
	a, b := initiate(t, ha, hb)
	a.start(t)
	events, err := b.Receive(ctx, b.in[0].Message)
	b.carryOut(t, note(events), err)
	if sizes[Sending] != 100 || sizes[Receiving] != 200 {
		t.Errorf("the responder's sizes are %v", sizes)
	}
	clear(sizes)
	events, err = a.Receive(ctx, a.in[0].Message)
	a.carryOut(t, note(events), err)
	if sizes[Sending] != 200 || sizes[Receiving] != 100 {
		t.Errorf("the initiator's sizes are %v", sizes)
	}
}
