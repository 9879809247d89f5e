package bolt

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// kills is how often each test kills a process. Those of the link take longer.
var kills = flag.Int("kills", 200, "how often to kill a process that uses a store")

const (
	killedSessions = 8
	killedSavers   = 4
)

// Each session goes through the same operations in each run, which have numbers
// from 1: saves of different sizes, and deletions.
func isDeletion(op uint64) bool { return op%7 == 0 }

// payload is what operation op saves.
func payload(session int, op uint64) []byte {
	data := binary.BigEndian.AppendUint64([]byte{byte(session)}, op)
	rng := rand.New(rand.NewPCG(uint64(session), op))
	for range rng.IntN(1500) {
		data = append(data, byte(rng.Uint32()))
	}
	return data
}

func killedID(session int) channel.SessionID { return id(1000 + session) }

func killedLabel(session int) string { return "peer " + strconv.Itoa(session) }

// A process that is killed at any moment leaves a file that has all that was
// acknowledged, and of what was under way all or nothing.
func TestKilledAtAnyMomentNothingIsLost(t *testing.T) {
	if path := os.Getenv("BOLT_TEST_KILLED_SAVER"); path != "" {
		saveUntilKilled(t, path)
		return
	}
	path := newPath(t)
	acked := make([]acknowledged, killedSessions)
	rng := rand.New(rand.NewPCG(3, 4))
	acknowledgements, neverOpened := 0, 0
	for round := range *kills {
		if round%20 == 0 { // so that it is killed while it makes the file as well
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			clear(acked)
		}
		n := killSaver(t, path, acked, rng)
		acknowledgements += n
		if n == 0 {
			neverOpened++
		}
		verifyAfterKill(t, path, acked)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	t.Logf("%d kills, %d acknowledged operations, %d kills before the first of them", *kills, acknowledgements, neverOpened)
	if acknowledgements < *kills {
		t.Errorf("%d operations only were acknowledged: too few to show anything", acknowledgements)
	}
}

// acknowledged is the last operation on a session that was acknowledged, and the version that it led to.
type acknowledged struct{ op, version uint64 }

// killSaver starts a process that saves, and kills it after a while. It notes
// what that has acknowledged, and returns how many operations that were.
func killSaver(t *testing.T, path string, acked []acknowledged, rng *rand.Rand) (n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAtAnyMomentNothingIsLost$")
	cmd.Env = append(os.Environ(), "BOLT_TEST_KILLED_SAVER="+path)
	out := startChild(t, cmd)
	kill := func() { cmd.Process.Kill() }
	after, pause := rng.IntN(40), time.Duration(rng.IntN(3000))*time.Microsecond
	if rng.IntN(5) == 0 { // while it opens the file
		after = -1
		time.AfterFunc(time.Duration(rng.IntN(40_000))*time.Microsecond, kill)
	}
	hangs := time.AfterFunc(2*time.Minute, kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var session int
		var a acknowledged
		if _, err := fmt.Sscanf(lines.Text(), "%d %d %d.", &session, &a.op, &a.version); err != nil {
			t.Fatalf("a process says %q: %v", lines.Text(), err)
		}
		acked[session] = a
		if n++; n == after+1 {
			time.AfterFunc(pause, kill)
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Fatalf("a process ended before it was killed: %v", err)
	}
	if !hangs.Stop() {
		t.Fatal("a process hangs")
	}
	return n
}

// startChild starts a process that lasts no longer than this one, and returns what it says.
func startChild(t *testing.T, cmd *exec.Cmd) io.Reader {
	t.Helper()
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // its end is the end of the child
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return out
}

// endWithParent ends the process when the one that has started it has ended.
func endWithParent() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}

// verifyAfterKill checks what is in the file, and brings acked up to it.
func verifyAfterKill(t *testing.T, path string, acked []acknowledged) {
	t.Helper()
	s, err := Open(path, &Config{Keys: keyring(t, 1)})
	if err != nil {
		t.Fatalf("opening what a killed process left: %v", err)
	}
	defer s.Close()
	for n, a := range acked {
		got, err := s.Load(t.Context(), killedID(n))
		absent := errors.Is(err, channel.ErrNoSession)
		if err != nil && !absent {
			t.Fatal(err)
		}
		found, err := s.FindByPeer(t.Context(), killedLabel(n))
		if err != nil || absent != (len(found) == 0) || !absent && !slices.Equal(found, []channel.SessionID{killedID(n)}) {
			t.Errorf("session %d: absent: %t, found by its label: %v, %v", n, absent, found, err)
		}
		// The operation behind the last acknowledged one may have taken effect.
		op := a.op
		switch {
		case absent && (op == 0 || isDeletion(op)):
			got.Version = 0
		case absent:
			op++
			if got.Version = 0; !isDeletion(op) {
				t.Errorf("session %d is gone: operation %d saved it", n, a.op)
			}
		default:
			if len(got.Data) < 9 {
				t.Fatalf("session %d has data of %d octets", n, len(got.Data))
			}
			if op = binary.BigEndian.Uint64(got.Data[1:]); op != a.op && op != a.op+1 || isDeletion(op) {
				t.Errorf("session %d is at operation %d, %d was acknowledged", n, op, a.op)
			}
			if !bytes.Equal(got.Data, payload(n, op)) || got.Peer != killedLabel(n) {
				t.Errorf("session %d: operation %d was written in part", n, op)
			}
			if op == a.op && got.Version != a.version || op != a.op && got.Version <= a.version {
				t.Errorf("session %d: version %d at operation %d, acknowledged was %d at %d", n, got.Version, op, a.version, a.op)
			}
		}
		for _, stale := range []uint64{got.Version + 1, a.version - 1} {
			if stale == got.Version {
				continue
			}
			if _, err := s.Save(t.Context(), channel.StoredSession{ID: killedID(n), Version: stale}); !errors.Is(err, channel.ErrConflict) {
				t.Errorf("session %d of version %d: replacing version %d: %v", n, got.Version, stale, err)
			}
		}
		acked[n] = acknowledged{op, got.Version}
		if absent {
			acked[n].version = 0
		}
	}
}

// saveUntilKilled goes on with the operations on each session and says which were done.
func saveUntilKilled(t *testing.T, path string) {
	endWithParent()
	s, err := Open(path, &Config{Keys: keyring(t, 1), LockTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for saver := range killedSavers {
		wg.Go(func() {
			var at [killedSessions]acknowledged
			for n := saver; n < killedSessions; n += killedSavers {
				at[n] = resumeOperations(t, s, n)
			}
			for {
				for n := saver; n < killedSessions; n += killedSavers {
					at[n] = operate(t, s, n, at[n])
					// One system call: the line is there as a whole or not at all.
					fmt.Printf("%d %d %d.\n", n, at[n].op, at[n].version)
				}
			}
		})
	}
	wg.Wait()
}

// resumeOperations finds out where a session is. A deletion may have been the last
// operation, or none yet, of which the number is kept beside.
func resumeOperations(t *testing.T, s *Store, n int) acknowledged {
	got, err := s.Load(t.Context(), killedID(n))
	if err == nil {
		return acknowledged{binary.BigEndian.Uint64(got.Data[1:]), got.Version}
	}
	number, err := s.Load(t.Context(), id(2000+n))
	if err != nil {
		return acknowledged{}
	}
	return acknowledged{op: binary.BigEndian.Uint64(number.Data)}
}

// operate performs the next operation on a session.
func operate(t *testing.T, s *Store, n int, at acknowledged) acknowledged {
	op := at.op + 1
	if isDeletion(op) {
		number, err := s.Load(t.Context(), id(2000+n))
		if err != nil && !errors.Is(err, channel.ErrNoSession) {
			t.Fatal(err)
		}
		save(t, s, channel.StoredSession{ID: id(2000 + n), Version: number.Version, Data: binary.BigEndian.AppendUint64(nil, op)})
		if err := s.Delete(t.Context(), killedID(n)); err != nil {
			t.Fatal(err)
		}
		return acknowledged{op: op}
	}
	version := save(t, s, channel.StoredSession{ID: killedID(n), Peer: killedLabel(n), Version: at.version, Data: payload(n, op)})
	return acknowledged{op, version}
}
