package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mendlink/mendlink"

// mayImport lists, for each package of the root module, the packages of the
// module and of others that it may import. Imports run one way: downwards.
// A name that ends in "/..." stands for all below it.
var mayImport = map[string][]string{
	"internal/wire":         {},
	"internal/testvectors":  {},
	"internal/architecture": {},

	"mls/internal/parallel":   {},
	"mls/ciphersuite":         {"internal/wire", "mls/internal/parallel", "filippo.io/edwards25519", "github.com/cloudflare/circl/...", "github.com/oasisprotocol/curve25519-voi/...", "golang.org/x/crypto/..."},
	"mls/internal/treemath":   {},
	"mls/internal/keysched":   {"internal/wire", "mls/ciphersuite", "mls/internal/treemath"},
	"mls/internal/secrettree": {"internal/wire", "mls/ciphersuite", "mls/internal/treemath"},
	"mls/internal/hooks":      {"mls/ciphersuite", "mls/internal/treemath"},
	"mls":                     {"internal/wire", "mls/ciphersuite", "mls/internal/..."},
	"mls/conformance":         {"internal/wire", "mls", "mls/ciphersuite", "mls/internal/..."},
	"mls/storetest":           {"mls"},
	"channel/record":          {"internal/wire", "mls/ciphersuite"},
	"channel":                 {"internal/wire", "mls", "mls/ciphersuite", "channel/record"},
	"channel/storetest":       {"channel"},
	"store/seal":              {"internal/wire", "channel", "golang.org/x/crypto/chacha20poly1305"},
	"store/bolt":              {"store/seal", "channel", "go.etcd.io/bbolt", "go.etcd.io/bbolt/errors"},
	"identity":                {"mls", "mls/ciphersuite", "channel"},
	"internal/driver":         {"channel", "mls", "mls/ciphersuite"},
	"identity/sshagent":       {"identity", "golang.org/x/crypto/ssh", "golang.org/x/crypto/ssh/agent"},
	"netconn":                 {"internal/driver", "channel", "channel/record", "mls", "mls/ciphersuite"},
	"quicmls":                 {"internal/driver", "channel", "channel/record", "mls", "quicmls/tlspsk", "github.com/quic-go/quic-go", "github.com/quic-go/quic-go/..."},
	"quicmls/tlspsk":          {"channel"}, // quic-go in its tests
	"examples/...":            {"examples/internal/keyfile", "netconn", "quicmls", "github.com/quic-go/quic-go", "identity", "channel", "channel/record", "mls", "mls/ciphersuite"},
	"internal/netsim":         {},
}

// pure packages do no input or output and have no clock of their own.
var pure = []string{"internal/wire", "mls/...", "mls", "channel/...", "channel"}

// impureImports are what a pure package must not import.
var impureImports = []string{"net", "net/...", "os", "os/...", "syscall", "io/ioutil", "math/rand", "math/rand/..."}

// sourceFile is a Go file of the root module that is not a test.
type sourceFile struct {
	pkg  string // directory, relative to the root of the module
	name string
	ast  *ast.File
}

func TestPackagesImportDownwardsOnly(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range sourceFiles(t) {
		seen[f.pkg] = true
		allowed, ok := lookup(f.pkg)
		if !ok {
			t.Errorf("%s: package %q is not in the table of this test", f.name, f.pkg)
			continue
		}
		for _, imported := range f.imports() {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			if isStandard := !strings.Contains(strings.Split(imported, "/")[0], "."); isStandard {
				continue
			}
			if !isOwn {
				own = imported
			}
			if !matches(allowed, own) {
				t.Errorf("%s: package %q must not import %q", f.name, f.pkg, imported)
			}
		}
	}
	for _, want := range []string{"internal/wire", "mls", "mls/ciphersuite", "channel", "netconn"} {
		if !seen[want] {
			t.Errorf("package %q was not found: the test looks in the wrong place", want)
		}
	}
}

func TestCoreHasNoSocketsFilesOrClocks(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if !matches(pure, f.pkg) {
			continue
		}
		for _, imported := range f.imports() {
			if matches(impureImports, imported) {
				t.Errorf("%s: package %q must not import %q", f.name, f.pkg, imported)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" &&
					slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Sleep", "Tick"}, sel.Sel.Name) {
					t.Errorf("%s: package %q must not use time.%s", f.name, f.pkg, sel.Sel.Name)
				}
			}
			if startsGoroutine(n) && f.pkg != "mls/internal/parallel" { // which waits for them
				t.Errorf("%s: package %q must not start a goroutine", f.name, f.pkg)
			}
			return true
		})
	}
}

// startsGoroutine reports whether n is a go statement, or calls a method Go as
// that of [sync.WaitGroup].
func startsGoroutine(n ast.Node) bool {
	if call, ok := n.(*ast.CallExpr); ok {
		method, ok := call.Fun.(*ast.SelectorExpr)
		return ok && method.Sel.Name == "Go"
	}
	_, ok := n.(*ast.GoStmt)
	return ok
}

func (f *sourceFile) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

func lookup(pkg string) ([]string, bool) {
	if allowed, ok := mayImport[pkg]; ok {
		return allowed, true
	}
	for pattern, allowed := range mayImport {
		if matches([]string{pattern}, pkg) {
			return allowed, true
		}
	}
	return nil, false
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if below, ok := strings.CutSuffix(p, "/..."); ok {
			return strings.HasPrefix(name, below+"/")
		}
		return p == name
	})
}

// sourceFiles parses all files of the root module that are not tests. Nested
// modules have rules of their own.
func sourceFiles(t *testing.T) []*sourceFile {
	t.Helper()
	const root = "../.."
	var files []*sourceFile
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != root {
				return filepath.SkipDir
			}
			if name != root {
				if matched, _ := filepath.Glob(filepath.Join(name, "go.mod")); len(matched) > 0 {
					return filepath.SkipDir
				}
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		files = append(files, &sourceFile{pkg: path.Dir(rel), name: rel, ast: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
