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
	t.Parallel()
	playAll(t, tsMLS.start(t), []ciphersuite.ID{
		1, 2, 3, 4, 5, 6, 7, 0xF001, 0xF002, 0xF006, 0xF007, 0xF008, 0xF009, 0xF00A, 0xF00B,
	}, ciphersuite.Default())
}

// TestOpenMLS plays all scenarios with OpenMLS, in all suites that both have. The
// post-quantum ones go by OpenMLS's numbers.
func TestOpenMLS(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	ours := mendlink{suites: registry, grease: theirs.name != openMLS.name} // see TestOpenMLSRefusesGREASE
	for i, id := range suites {
		next := nextSuite(t, suites, i, registry, theirs.name)
		for _, sc := range scenarios {
			for _, run := range runsOf(sc, ours, theirs, i) {
				t.Run(fmt.Sprintf("%v/%s/%s", id, sc.name, run), func(t *testing.T) {
					played.Add(1)
					sc.play(&stage{T: t, suite: id, next: next, public: run.public, roles: run.cast})
				})
			}
		}
	}
}

// nextSuite returns the suite that a group in suite number i changes to. With
// mls-rs its hash is of the same size: see TestMLSRSReInitializesWithANonceOfTheOldSuite.
func nextSuite(t *testing.T, suites []ciphersuite.ID, i int, registry *ciphersuite.Registry, theirs string) ciphersuite.ID {
	t.Helper()
	hashSize := func(id ciphersuite.ID) int {
		s, err := registry.Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		return s.HashSize()
	}
	for j := 1; ; j++ { // which ends with the suite itself
		next := suites[(i+j)%len(suites)]
		if theirs != mlsRS.name || hashSize(next) == hashSize(suites[i]) {
			return next
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

// runsOf returns the ways to play a scenario in suite number i: in the first one
// all casts, in both framings; else one cast for each framing, others in each
// suite. What a suite alone can break shows there too.
func runsOf(sc scenario, a, b implementation, i int) []run {
	casts := castsOf(sc, a, b)
	n := len(casts)
	var runs []run
	switch {
	case n == 0:
	case i == 0:
		for _, cast := range casts {
			runs = append(runs, run{false, cast}, run{true, cast})
		}
	default:
		runs = []run{{false, casts[i%n]}, {true, casts[n-1-i%n]}}
	}
	return runs
}

// castsOf returns all ways to give the roles to two implementations, such that
// both have some and none has one that it cannot play. If all are possible, each
// cast's opposite is as far from the end as it is from the beginning.
func castsOf(sc scenario, a, b implementation) [][]implementation {
	var casts [][]implementation
	for choice := 1; choice < 1<<sc.actors-1; choice++ {
		cast := make([]implementation, sc.actors)
		possible := true
		for role := range cast {
			cast[role] = [2]implementation{a, b}[choice>>role&1]
			possible = possible && !slices.Contains(sc.not[cast[role].Name()], role)
		}
		if possible {
			casts = append(casts, cast)
		}
	}
	return casts
}

// Each implementation plays each role that it can play, in both framings, and
// each suite has every scenario.
func TestEveryRoleIsPlayed(t *testing.T) {
	const suites = 7 // that any two have at least
	ours := mendlink{}
	peers := []string{tsMLS.name, openMLS.name, mlsRS.name}
	for _, sc := range scenarios {
		for name := range sc.not {
			if !slices.Contains(peers, name) {
				t.Errorf("%s: there is no %q", sc.name, name)
			}
		}
		for _, name := range peers {
			played := make(map[string]bool)
			for i := range suites {
				runs := runsOf(sc, ours, &process{name: name}, i)
				if len(runs) == 0 && len(sc.not[name]) < sc.actors {
					t.Errorf("%s with %s is not played in suite number %d", sc.name, name, i)
				}
				for _, run := range runs {
					for role, c := range run.cast {
						played[fmt.Sprint(run.public, role, c.Name())] = true
					}
				}
			}
			for role := range sc.actors {
				for _, public := range []bool{false, true} {
					can := !slices.Contains(sc.not[name], role)
					if played[fmt.Sprint(public, role, name)] != can {
						t.Errorf("%s: that %s plays role %d is %t, want %t", sc.name, name, role, !can, can)
					}
				}
			}
		}
	}
}
