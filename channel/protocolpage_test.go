package channel

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel/record"
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
