package mls

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var writeTable = flag.Bool("write", false, "write the tables of docs/validation.md")

//go:generate go test . -run ^TestEveryRuleIsEnforced$ -write

// A rule is a row of docs/validation.md.
type rule struct {
	id, section, says string
	function          string // that checks it
	test              string // that breaks it
}

// rulesInCode returns the rules that checks.go names, in its order, with what
// their comments say and the function that refers to each. It fails the test
// for a rule that none or several functions refer to.
func rulesInCode(t *testing.T) []rule {
	t.Helper()
	var rules []rule
	at := make(map[string]int) // position in rules by the constant's name
	functions := make(map[string][]string)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.GenDecl:
				if name != "checks.go" || d.Tok != token.CONST {
					continue
				}
				for _, spec := range d.Specs {
					v := spec.(*ast.ValueSpec)
					id := strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`)
					at[v.Names[0].Name] = len(rules)
					rules = append(rules, rule{id: id, section: checkSections[Check(id)], says: strings.Join(strings.Fields(v.Doc.Text()), " ")})
				}
			case *ast.FuncDecl:
				ast.Inspect(d, func(n ast.Node) bool {
					if i, ok := n.(*ast.Ident); ok && strings.HasPrefix(i.Name, "Check") && !slices.Contains(functions[i.Name], functionName(d)) {
						functions[i.Name] = append(functions[i.Name], functionName(d))
					}
					return true
				})
			}
		}
	}
	for name, i := range at {
		r := &rules[i]
		r.function = strings.Join(functions[name], ", ")
		if len(functions[name]) != 1 {
			t.Errorf("rule %s is checked in %d functions (%s), want 1", r.id, len(functions[name]), r.function)
		}
		if r.says == "" {
			t.Errorf("rule %s: %s has no comment", r.id, name)
		}
	}
	return rules
}

// functionName returns a function's name, with its receiver's type.
func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver = star.X
	}
	return receiver.(*ast.Ident).Name + "." + d.Name.Name
}

// Each rule that checks.go names is broken, by somebody who holds all keys to
// do so, and is refused under its name; and docs/validation.md has all of them.
func TestEveryRuleIsEnforced(t *testing.T) {
	tests := make(map[Check]string) // the first that breaks each rule
	names := make(map[string]bool)
	complete := true
	for _, r := range slices.Concat(
		messageRefusals(), proposalRefusals(), externalRefusals(), leafRefusals(), keyPackageRefusals(), pathRefusals(),
		welcomeRefusals(), safeRefusals(), successionRefusals(), customRefusals(),
		applicationPSKRefusals(), componentRefusals(), componentSupportRefusals(), mediaRefusals(),
		wireFormatRefusals(), selfRemoveRefusals(), webTokenRefusals(), apqRefusals(), apqJoinRefusals(), apqReceiverRefusals(),
		targetedRefusals(), appAckRefusals(), lastResortRefusals(), multiCredentialRefusals(),
		oneSignatureRefusals(),
	) {
		seen := false
		passed := t.Run(string(r.check)+"/"+r.name, func(t *testing.T) {
			if names[t.Name()] {
				t.Error("there is another test of this name")
			}
			names[t.Name()] = true
			wantCheck(t, r.try(t), r.check)
			if _, ok := tests[r.check]; !ok {
				tests[r.check] = t.Name()
			}
			seen = true
		})
		complete = complete && passed && seen
	}
	rules := rulesInCode(t)
	for i := range rules {
		r := &rules[i]
		r.test = tests[Check(r.id)]
		if r.section == "" {
			t.Errorf("rule %s has no section", r.id)
		}
		if r.test == "" && complete {
			t.Errorf("no test breaks the rule %s", r.id)
		}
	}
	for check := range maps.Keys(checkSections) {
		if !slices.ContainsFunc(rules, func(r rule) bool { return r.id == string(check) }) {
			t.Errorf("%s has a section but no constant", check)
		}
	}
	if complete { // not where -run picks some
		compareTable(t, "rules", ruleTable(rules))
	}
}

func ruleTable(rules []rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rules.\n\n| Check | Stated in | What it says | Function | Test |\n|---|---|---|---|---|\n", len(rules))
	for _, r := range rules {
		test := strings.TrimPrefix(r.test, "TestEveryRuleIsEnforced/")
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | `%s` |\n", r.id, strings.TrimPrefix(r.section, "RFC 9420, "), r.says, r.function, test)
	}
	return b.String()
}

// compareTable checks that docs/validation.md holds a table, between the two
// lines that name it, or writes it there.
func compareTable(t *testing.T, name, table string) {
	t.Helper()
	const file = "../docs/validation.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Appendf(nil, "<!-- %s: begin -->\n", name), fmt.Appendf(nil, "<!-- %s: end -->\n", name)
	before, rest, ok := bytes.Cut(text, begin)
	have, after, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table %q", file, name)
	}
	if string(have) == table {
		return
	}
	if !*writeTable {
		t.Errorf("the table %q in %s is not that of the code; run: go generate ./mls", name, file)
		return
	}
	if err := os.WriteFile(file, slices.Concat(before, begin, []byte(table), end, after), 0o644); err != nil {
		t.Fatal(err)
	}
}
