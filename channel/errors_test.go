package channel

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Errors go to logs, which a peer must not be able to fill with what it sends.
func TestErrorsAboutALargeMessageAreShort(t *testing.T) {
	large := make([]byte, 100_000)
	versions := make([]uint16, 50_000)
	both := mls.ComponentsList{componentTwoParty, componentParameters}
	one := mls.ComponentsList{componentTwoParty}
	names := bytes.Repeat(append([]byte{0x40, 255}, bytes.Repeat([]byte{0xFF}, 255)...), maxNames)
	offer := func(parameters []byte) func() (*peer, Message) {
		return func() (*peer, Message) {
			h := newHost(t, "bob")
			h.cfg.Protocols = []string{"echo"}
			return listen(t, h), hello(t, lists(t, both, one, parameters))
		}
	}
	in := func(s State, m MessageType, body []byte) func() (*peer, Message) {
		return func() (*peer, Message) {
			p, _ := inState(t, s, m)
			return p, Message{Type: m, Body: body, Protected: m.Protected()}
		}
	}
	for name, test := range map[string]func() (*peer, Message){
		"versions":        offer(rawOffer(versions)),
		"protocols":       offer(rawOffer([]uint16{ProfileVersion}, parameterALPN, names)),
		"suites":          in(StateAwaitingServerHello, MessageHelloRetry, suites(make([]ciphersuite.ID, 50_000)...)),
		"KeySwitch":       in(StateAcknowledged, MessageKeySwitch, large),
		"KeyUpdate":       in(StateSynced, MessageKeyUpdate, large),
		"EarlyDataStatus": in(StateAwaitingEarlyDataStatus, MessageEarlyDataStatus, large),
		"EpochKeyUpdate": func() (*peer, Message) {
			p, _ := inState(t, StateUpdating, MessageEpochKeyUpdate)
			content := append(p.pending.groups().name(), large...)
			body := must(p.other.group.Protect(content, purposeEpochKeyUpdate.authenticatedData()))
			return p, Message{Type: MessageEpochKeyUpdate, Body: body, Protected: true}
		},
		"credential": func() (*peer, Message) { // which anybody can send, and the validator quotes
			ha, hb := newHost(t, "alice"), newHost(t, "bob")
			ha.cfg.Identity.Credential = mls.BasicCredential(large)
			hb.cfg.Validator = &mls.BasicAuthenticationService{Accept: mls.AllowKeys(nil)}
			return listen(t, hb), must(must(NewInitiator(&ha.cfg)).Start(ctx))[0].(Send).Message
		},
	} {
		p, m := test()
		_, err := p.Receive(ctx, m)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		text := err.Error()
		limit := 1000
		if name == "protocols" || name == "credential" {
			limit = 5000 // an error has no more than 4096 of what led to it
		}
		if len(text) > limit {
			t.Errorf("%s: an error of %d octets, want at most %d: %.200s", name, len(text), limit, text)
		}
		if !strings.Contains(text, " more") && !strings.Contains(text, " octets)") {
			t.Errorf("%s: another error: %.200s", name, text)
		}
	}
}
