package floor

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const suitePackage = "github.com/mendlink/mendlink/mls/ciphersuite"

// The floor of an operation is what our implementation really calls, no more, or
// the ratio to it would flatter us; and no less, or there is something that can be
// left out.
func TestTheFloorIsWhatIsCalled(t *testing.T) {
	const members = 10
	folder := executeCounted(t, members)
	want := map[string]Counts{
		"handshake":       Handshake(),
		"create-fresh":    CreateFresh(members),
		"process-fresh":   Process(),
		"add-fresh":       AddMember(),
		"join-fresh":      Join(members),
		"protect-fresh":   Protect(),
		"unprotect-fresh": Unprotect(),
		"create-warm":     CreateWarm(members),
		"process-warm":    Process(),
		"add-warm":        AddMember(),
		"join-warm":       Join(members),
		"protect-warm":    Protect(),
		"unprotect-warm":  Unprotect(),
	}
	bodies := methodBodies(t)
	for operation, want := range want {
		entered := readCounters(t, filepath.Join(folder, operation))
		calls := func(function string) int {
			body, ok := bodies[function]
			if !ok {
				t.Fatalf("package ciphersuite has no %s any more", function)
			}
			return entered(body)
		}
		got := Counts{
			Generate: calls("Suite.GenerateHPKEKeyPair"),
			Derive:   calls("Suite.DeriveHPKEKeyPair") - calls("Suite.GenerateHPKEKeyPair"),
			Seal:     calls("HPKEPublicKey.seal"),
			Open:     calls("Suite.open"),
			Sign:     calls("Suite.SignWithLabel"),
			Verify:   calls("SignaturePublicKey.VerifyWithLabel"),
		}
		// The same functions serve new keys and longer messages. The AEAD is called by
		// others too.
		want.Sign, want.SignContent = want.Sign+want.SignContent, 0
		want.Verify, want.VerifyContent = want.Verify+want.VerifyContent, 0
		want.Seal, want.SealNew = want.Seal+want.SealNew, 0
		want.AEADSeal, want.AEADOpen = 0, 0
		if got != want {
			t.Errorf("%s: called %+v, the floor is %+v", operation, got, want)
		}
	}
}

// executeCounted executes all operations once in groups of a size, with coverage
// counters, and returns the folder where those are.
func executeCounted(t *testing.T, members int) string {
	t.Helper()
	folder := t.TempDir()
	program := filepath.Join(folder, "opcount")
	run(t, nil, "go", "build", "-cover", "-covermode=atomic", "-o", program,
		"-coverpkg="+suitePackage+",github.com/mendlink/mendlink/bench/cmd/opcount", "../../cmd/opcount")
	run(t, []string{"GOCOVERDIR=" + t.TempDir()}, program, folder, fmt.Sprint(members))
	return folder
}

// position is where a block of code starts, as counters name it.
type position struct {
	file         string
	line, column int
}

func (p position) compare(o position) int {
	return cmp.Or(strings.Compare(p.file, o.file), cmp.Compare(p.line, o.line), cmp.Compare(p.column, o.column))
}

// methodBodies returns where the bodies of the suite package's methods start.
func methodBodies(t *testing.T) map[string]position {
	t.Helper()
	dir := strings.TrimSpace(string(run(t, nil, "go", "list", "-f", "{{.Dir}}", suitePackage)))
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(map[string]position)
	set := token.NewFileSet()
	for _, file := range files {
		parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Body == nil {
				continue
			}
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if name, ok := receiver.(*ast.Ident); ok {
				at := set.Position(f.Body.Lbrace)
				bodies[name.Name+"."+f.Name.Name] = position{filepath.Base(file), at.Line, at.Column}
			}
		}
	}
	return bodies
}

// readCounters reads the counters of an operation. What it returns tells how often
// a body was entered: what the first counter in it says.
func readCounters(t *testing.T, folder string) func(body position) int {
	t.Helper()
	text := filepath.Join(t.TempDir(), "counters")
	run(t, nil, "go", "tool", "covdata", "textfmt", "-i", folder, "-o", text)
	content, err := os.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	type counter struct {
		position
		count int
	}
	var counters []counter
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		block, ok := strings.CutPrefix(lines.Text(), suitePackage+"/")
		if !ok {
			continue // the mode, or the program itself
		}
		file, block, _ := strings.Cut(block, ":")
		c := counter{position: position{file: file}}
		var endLine, endColumn, statements int
		if _, err := fmt.Sscanf(block, "%d.%d,%d.%d %d %d", &c.line, &c.column, &endLine, &endColumn, &statements, &c.count); err != nil {
			t.Fatalf("%q: %v", block, err)
		}
		counters = append(counters, c)
	}
	slices.SortFunc(counters, func(a, b counter) int { return a.compare(b.position) })
	return func(body position) int {
		i, _ := slices.BinarySearchFunc(counters, body, func(c counter, p position) int { return c.compare(p) })
		if i == len(counters) || counters[i].file != body.file {
			t.Fatalf("no counter in %v", body)
		}
		return counters[i].count
	}
}

func run(t *testing.T, env []string, command ...string) []byte {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, errors.String())
	}
	return out
}
