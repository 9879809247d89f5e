package channel

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// The tables of the page that a second implementation is written from are those of the code.

func readProtocolPage(t *testing.T) string {
	t.Helper()
	return string(must(os.ReadFile(protocolPage)))
}

func TestProtocolPageListsAllMessages(t *testing.T) {
	listed := make(map[MessageType]bool)
	for _, row := range regexp.MustCompile(`(?m)^\| 0x([0-9A-F]{2}) \| (\w+) \| .* \| (yes|no) \|$`).FindAllStringSubmatch(readProtocolPage(t), -1) {
		m := MessageType(must(strconv.ParseUint(row[1], 16, 8)))
		if listed[m] = true; messageNames[m] != row[2] || m.Protected() != (row[3] == "yes") {
			t.Errorf("the page has %q, the code %v, protected: %t", row[0], m, m.Protected())
		}
	}
	for m := range messageNames {
		if !listed[m] {
			t.Errorf("the page lacks %v", m)
		}
	}
}

func TestProtocolPageListsAllAlerts(t *testing.T) {
	listed := make(map[Alert]bool)
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \((\d+)\) \| .* \|$`).FindAllStringSubmatch(readProtocolPage(t), -1) {
		a := Alert(must(strconv.ParseUint(row[2], 10, 8)))
		if listed[a] = true; alertNames[a] != row[1] {
			t.Errorf("the page has %q, the code %v", row[0], a)
		}
	}
	for a := range alertNames {
		if !listed[a] {
			t.Errorf("the page lacks %v", a)
		}
	}
}

// The page names the states as the code does, and each takes the same messages.
func TestProtocolPageHasTheStateMachine(t *testing.T) {
	page := readProtocolPage(t)
	_, page, _ = strings.Cut(page, "\n### States\n")
	page, _, ok := strings.Cut(page, "\n## ")
	if !ok {
		t.Fatal("the page has no section of states")
	}
	states := make(map[string]State)
	for s := StateIdle; s <= StateClosed; s++ {
		states[s.String()] = s
	}
	types := make(map[string]MessageType)
	for m, name := range messageNames {
		types[name] = m
	}
	listed := make(map[string]bool)
	state := ""
	for _, row := range regexp.MustCompile(`(?m)^\|(?: (.*))? \| (\w+) \| .* \|$`).FindAllStringSubmatch(page, -1) {
		if row[1] != "" { // else that of the row above
			state = row[1]
		}
		if state == "state" {
			continue
		}
		of := []State{states[state]}
		if strings.HasPrefix(state, "synced, and the three states of updates") {
			of = []State{StateSynced, StateAcknowledged, StateUpdating, StateAcknowledgedUpdating}
		}
		for _, s := range of {
			m := types[row[2]]
			if transitions[s][m] == nil {
				t.Errorf("the page has %q, which the code does not take", row[0])
			}
			listed[fmt.Sprint(s, m)] = true
		}
	}
	for s, taken := range transitions {
		for m := range taken {
			if !listed[fmt.Sprint(s, m)] {
				t.Errorf("the page does not say that %q takes %v", s, m)
			}
		}
	}
}

func TestProtocolPageHasTheLimitsAndLabels(t *testing.T) {
	page := readProtocolPage(t)
	for _, want := range []string{
		thousands(DefaultMaxMessageSize) + " octets unless configured otherwise",
		thousands(record.MaxRecords) + " records",
		"of 1 to " + thousands(maxNameLength) + " octets, and there are at most " + thousands(maxNames),
		"at most " + thousands(maxEarlyDataLimit),
		"at least " + thousands(MinRecordSize+1),
		fmt.Sprintf("%d days", int(DefaultMaxSessionAge.Hours())/24),
		fmt.Sprintf("%d hours before now", int(helloLifetime.Hours())),
		fmt.Sprintf("| 0x%04X | `two_party_profile` |", uint16(componentTwoParty)),
		fmt.Sprintf("| 0x%04X | Mendlink parameters |", uint16(componentParameters)),
		fmt.Sprintf("MLS-Exporter(%q,", labelClientTraffic),
		fmt.Sprintf("MLS-Exporter(%q,", labelServerTraffic),
		fmt.Sprintf("MLS-Exporter(%q,", labelExporter),
		fmt.Sprintf("MLS-Exporter(%q,", labelEarlyData),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// The records of the transcript open by what the page says and the standard library: by Section 2 and
// the traffic secrets. Each KeySwitch has the confirmation of Section 6, and the fingerprint is that of
// Section 7.
func TestTranscriptOpensByThePageAlone(t *testing.T) {
	type direction struct {
		aead     cipher.AEAD
		iv       []byte
		sequence uint64
	}
	expandLabel := func(secret []byte, label string, n int) []byte {
		info := append([]byte{byte(n >> 8), byte(n), byte(6 + len(label))}, "tls13 "+label...)
		return must(hkdf.Expand(sha256.New, secret, string(append(info, 0)), n))
	}
	directions := make(map[string]*direction)
	var speaker string
	var content, acknowledgement, authenticator []byte
	hellos := make(map[string][]byte) // and other messages in the clear, by end and type
	drawn := make(map[string][][]byte)
	opened, confirmed := 0, 0
	_, page, _ := strings.Cut(readProtocolPage(t), transcripts[0].begin)
	page, _, _ = strings.Cut(page, transcripts[0].end)
	for _, block := range regexp.MustCompile(`(?m)^    (\S.*) \((\d+)\):\n((?:      [0-9a-f]+\n)+)`).FindAllStringSubmatch(page, -1) {
		name, size := block[1], must(strconv.Atoi(block[2]))
		octets := must(hex.DecodeString(strings.Join(strings.Fields(block[3]), "")))
		if len(octets) != size {
			t.Errorf("%s: %d octets, want %d", name, len(octets), size)
		}
		who, what, says := strings.Cut(name, ": ")
		switch {
		case strings.HasSuffix(what, ", record"): // in the clear, in the record layer of Section 2
			if want := []byte{22, 3, 3, byte((size - 5) >> 8), byte(size - 5)}; !bytes.Equal(octets[:5], want) {
				t.Errorf("%s: the header is %x, want %x", name, octets[:5], want)
			}
			delete(directions, who) // a new connection
			hellos[strings.TrimSuffix(name, ", record")] = octets
		case says:
			speaker, content = who, octets
			switch what {
			case "EpochKeyUpdate":
				acknowledgement = octets[4:]
			case "KeySwitch":
				if want := sha256.Sum256(acknowledgement); !bytes.Equal(octets[len(octets)-16:], want[:16]) {
					t.Errorf("%s confirms %x, want %x", name, octets[len(octets)-16:], want[:16])
				}
				confirmed++
			}
		case strings.HasPrefix(name, "epoch_authenticator"):
			authenticator = octets
		case name == "in the record":
			d := directions[speaker]
			nonce := binary.BigEndian.AppendUint64(make([]byte, 4), d.sequence)
			subtle.XORBytes(nonce, nonce, d.iv)
			d.sequence++
			inner, err := d.aead.Open(nil, nonce, octets[5:], octets[:5])
			if inner = bytes.TrimRight(inner, "\x00"); err != nil || !bytes.Equal(inner[:len(inner)-1], content) {
				t.Fatalf("record %d of %s: %x (%v), want %x", d.sequence-1, speaker, inner, err, content)
			}
			opened++
		default:
			if who, ok := strings.CutSuffix(name, " draws"); ok {
				drawn[who] = append(drawn[who], octets)
			} else if who, _, ok := strings.Cut(name, " sends under the traffic secret of epoch "); ok {
				aead := must(cipher.NewGCM(must(aes.NewCipher(expandLabel(octets, "key", 16)))))
				directions[who] = &direction{aead: aead, iv: expandLabel(octets, "iv", 12)}
			}
		}
	}
	s := must(ciphersuite.Default().Lookup(suite))
	for i, ikm := range drawn["alice"][:2] {
		if key := must(s.DeriveHPKEKeyPair(ikm)); !bytes.Contains(hellos["alice: ClientHello"], key.PublicKey()) {
			t.Errorf("the ClientHello does not have the key that draw %d gives", i)
		}
	}
	if id := drawn["bob"][0]; !bytes.Contains(hellos["alice: ResumptionRequest"], id) {
		t.Error("the ResumptionRequest does not have the group ID that was drawn")
	}
	sum := sha256.Sum256(append([]byte("Mendlink short fingerprint"), authenticator...))
	groups := make([]string, 6)
	for i := range groups {
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(append(make([]byte, 3), sum[5*i:5*i+5]...))%100_000)
	}
	if want := "ShortFingerprint of epoch 4: " + strings.Join(groups, " ") + "\n"; !strings.Contains(page, want) {
		t.Errorf("the page lacks %q", want)
	}
	if opened < 9 || confirmed < 1 {
		t.Errorf("%d records were opened and %d confirmations compared, want 9 and 1", opened, confirmed)
	}
}
