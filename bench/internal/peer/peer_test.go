package peer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// With this variable set, the test program is a peer itself.
const isPeer = "MENDLINK_BENCH_PEER"

func TestMain(m *testing.M) {
	if os.Getenv(isPeer) != "" {
		play()
		return
	}
	os.Exit(m.Run())
}

// play answers as a peer does that has one suite, and whose executions take 3 us of
// CPU time in as many microseconds as the group has members.
func play() {
	members := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Printf("not a request: %v\n", err)
			continue
		}
		switch {
		case r.Op == "suites":
			fmt.Println(`{"result": {"suites": [77]}}`)
		case r.Op == "group" && r.Suite == 77:
			members = r.Members
			fmt.Println(`{"result": {}}`)
		case r.Op == "measure" && r.Operation == "create":
			fmt.Printf(`{"result": {"cpu": %d, "wall": %d}}`+"\n", 3000*r.Times, 1000*members*r.Times)
		case r.Op == "measure" && r.Operation == "crash":
			return
		default:
			fmt.Println(`{"error": "cannot do that"}`)
		}
	}
}

func startSelf(t *testing.T) *Process {
	t.Helper()
	t.Setenv(isPeer, "yes")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(&Peer{Name: "self", Numbers: map[ciphersuite.ID]ciphersuite.ID{0xF001: 77}}, self)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPeerIsMeasured(t *testing.T) {
	p := startSelf(t)
	if !p.Has(0xF001) || p.Has(1) {
		t.Error("a peer has other suites than it says")
	}
	if err := p.NewGroup(0xF001, 5); err != nil {
		t.Fatal(err)
	}
	c, err := p.Operation("create").Measure(7)
	if want := (measure.Cost{CPU: 3 * time.Microsecond, Wall: 5 * time.Microsecond}); err != nil || c != want {
		t.Errorf("got %v, %v, want %v", c, err, want)
	}
	if err := p.NewGroup(1, 5); err == nil || !strings.Contains(err.Error(), "self: cannot do that") {
		t.Errorf("got %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAPeerThatEndsIsAnError(t *testing.T) {
	p := startSelf(t)
	if _, err := p.Operation("crash").Measure(1); err == nil {
		t.Error("no error")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestAPeerWithoutItsToolsIsMissing(t *testing.T) {
	p := &Peer{tools: []string{"go", "there-is-no-such-tool"}}
	if err := p.Missing(); err == nil || !strings.Contains(err.Error(), "there-is-no-such-tool") {
		t.Errorf("got %v", err)
	}
	p.tools = p.tools[:1]
	if err := p.Missing(); err != nil {
		t.Error(err)
	}
}
