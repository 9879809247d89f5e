package live

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// played counts the scenarios that were played, so that a report can say it.
var played atomic.Int64

func TestMain(m *testing.M) {
	code := m.Run()
	fmt.Printf("interop: %d scenarios played\n", played.Load())
	os.Exit(code)
}

// TestTSMLS plays all scenarios with ts-mls, in all suites that both have.
func TestTSMLS(t *testing.T) {
	playAll(t, tsMLS.start(t), []ciphersuite.ID{
		1, 2, 3, 4, 5, 6, 7, 0xF001, 0xF002, 0xF006, 0xF007, 0xF008, 0xF009, 0xF00A, 0xF00B,
	}, ciphersuite.Default())
}

// TestOpenMLS plays all scenarios with OpenMLS, in all suites that both have. The
// post-quantum ones go by OpenMLS's numbers.
func TestOpenMLS(t *testing.T) {
	registry, err := ciphersuite.Default().Renumber(map[ciphersuite.ID]ciphersuite.ID{
		0xF001: 0x004F, 0xF002: 0x004E, 0xF006: 0xF042, 0xF007: 0x0050, 0xF008: 0x0042,
		0xF009: 0x0052, 0xF00A: 0x0051, 0xF00B: 0x0907,
	})
	if err != nil {
		t.Fatal(err)
	}
	playAll(t, openMLS.start(t), []ciphersuite.ID{
		1, 2, 3, 0x0042, 0x004E, 0x004F, 0x0050, 0x0051, 0x0052, 0x0907, 0xF042,
	}, registry)
}

// TestMLSRS plays all scenarios with mls-rs, in all suites that both have.
func TestMLSRS(t *testing.T) {
	playAll(t, mlsRS.start(t), []ciphersuite.ID{1, 2, 3, 4, 5, 6, 7}, ciphersuite.Default())
}

// playAll plays all scenarios in each suite that both implementations have. These
// have to be the wanted ones.
func playAll(t *testing.T, theirs *process, want []ciphersuite.ID, registry *ciphersuite.Registry) {
	t.Helper()
	suites, err := theirs.Suites()
	if err != nil {
		t.Fatal(err)
	}
	suites = slices.DeleteFunc(suites, func(id ciphersuite.ID) bool {
		_, err := registry.Lookup(id)
		return err != nil
	})
	slices.Sort(suites)
	if !slices.Equal(suites, want) {
		t.Errorf("suites in common are %v, want %v", suites, want)
	}
	ours := mendlink{registry}
	for i, id := range suites {
		for _, sc := range scenarios {
			for _, run := range runsOf(sc, ours, theirs, i == 0) {
				t.Run(fmt.Sprintf("%v/%s/%s", id, sc.name, run), func(t *testing.T) {
					played.Add(1)
					sc.play(&stage{T: t, suite: id, public: run.public, roles: run.cast})
				})
			}
		}
	}
}

// A run is one way to play a scenario.
type run struct {
	public bool
	cast   []implementation
}

func (r run) String() string {
	framing := "private"
	if r.public {
		framing = "public"
	}
	var names []string
	for _, c := range r.cast {
		names = append(names, c.Name())
	}
	return framing + "/" + strings.Join(names, "+")
}

// runsOf returns the ways to play a scenario. All of them are all casts in which
// both implementations have a role, in both framings. Else there are two, in
// which the two take turns and change places: what a suite alone can break
// shows there too.
func runsOf(sc scenario, a, b implementation, all bool) []run {
	return slices.DeleteFunc(allRunsOf(sc, a, b, all), func(r run) bool {
		for role, c := range r.cast {
			if slices.Contains(sc.not[c.Name()], role) {
				return true
			}
		}
		return false
	})
}

func allRunsOf(sc scenario, a, b implementation, all bool) []run {
	if !all {
		runs := []run{{public: false}, {public: true}}
		for i := range sc.actors {
			turns := [][2]implementation{{a, b}, {b, a}}[i%2]
			runs[0].cast = append(runs[0].cast, turns[0])
			runs[1].cast = append(runs[1].cast, turns[1])
		}
		return runs
	}
	var runs []run
	for choice := 1; choice < 1<<sc.actors-1; choice++ {
		cast := make([]implementation, sc.actors)
		for i := range cast {
			cast[i] = [2]implementation{a, b}[choice>>i&1]
		}
		runs = append(runs, run{false, cast}, run{true, cast})
	}
	return runs
}
