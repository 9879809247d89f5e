package architecture

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages name the tests that show what they promise: at least so many.
var pages = map[string]int{"security.md": 50, "quic-keying.md": 20, "stores.md": 5, "validation.md": 60}

// The tests that pages name have to be there.
func TestPagesNameTestsThatExist(t *testing.T) {
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range pages {
		page, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1)
		if len(named) < least {
			t.Errorf("docs/%s names %d tests only", name, len(named))
		}
		for _, test := range named {
			if !tests[test] {
				t.Errorf("docs/%s names %s, which is no test", name, test)
			}
		}
	}
}
