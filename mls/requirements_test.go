package mls

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What each draft asks for is in docs/validation.md, and each row names a rule that there is,
// a test, or who has to see to it.
func TestTheRequirementsOfTheDraftsAreShown(t *testing.T) {
	text, err := os.ReadFile("../docs/validation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(text, []byte("<!-- requirements: begin -->\n"))
	table, _, ok2 := bytes.Cut(rest, []byte("<!-- requirements: end -->\n"))
	if !ok || !ok2 {
		t.Fatal("docs/validation.md has no place for the requirements")
	}
	rules := make(map[string]bool)
	for _, r := range rulesInCode(t) {
		rules[r.id] = false
	}
	quoted, test := regexp.MustCompile("`([a-z0-9-]+)`"), regexp.MustCompile(`\bTest[A-Z]\w+`)
	rows := make(map[string]int) // by draft
	draft := ""
	for line := range strings.Lines(string(table)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "### "):
			draft = strings.Split(strings.TrimPrefix(line, "### "), ",")[0]
			continue
		case !strings.HasPrefix(line, "|"), strings.HasPrefix(line, "|---"), strings.HasPrefix(line, "| Section"):
			continue
		}
		columns := strings.Split(strings.Trim(line, "|"), " | ")
		if len(columns) != 3 {
			t.Errorf("%d columns, want 3: %s", len(columns), line)
			continue
		}
		rows[draft]++
		shown := test.MatchString(columns[2])
		for _, m := range quoted.FindAllStringSubmatch(columns[2], -1) {
			if _, ok := rules[m[1]]; ok {
				rules[m[1]], shown = true, true
			} else if !vectorsOfDrafts[m[1]] {
				t.Errorf("%s is no rule and no kind of vectors: %s", m[1], line)
			}
		}
		if !shown {
			t.Errorf("nothing shows: %s", line)
		}
	}
	for name, least := range map[string]int{
		"draft-ietf-mls-extensions-10": 45, "draft-ietf-mls-combiner": 32, "draft-kohbrok-mls-fewer-signatures-00": 11,
		"draft-ietf-mls-targeted-messages-02": 9, "draft-mahy-mls-sd-cwt-credential-02": 3,
	} {
		if rows[name] < least {
			t.Errorf("%s: %d requirements, want %d", name, rows[name], least)
		}
	}
	// A rule of a draft comes from something that the draft asks for.
	for id, seen := range rules {
		if section := checkSections[Check(id)]; !seen && strings.HasPrefix(section, "draft-") && !slices.Contains(rulesOfOurs, Check(id)) {
			t.Errorf("no requirement leads to the rule %s (%s)", id, section)
		}
	}
}

// vectorsOfDrafts are kinds of vectors that requirements name.
var vectorsOfDrafts = map[string]bool{"apq": true, "targeted-messages": true, "passive-client-fewer-signatures": true}

// rulesOfOurs are rules of drafts that no sentence of them states: each is what makes a format of
// theirs unambiguous. docs/extensions.md has the reasons.
var rulesOfOurs = []Check{CheckMultiCredential, CheckAPQHalves}
