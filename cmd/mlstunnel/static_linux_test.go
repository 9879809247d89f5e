package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// What docs/operations.md says to type installs one binary that needs no library, of the size that stands there.
func TestOneStaticBinaryIsInstalled(t *testing.T) {
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?m)^    CGO_ENABLED=0 go -C cmd/mlstunnel (install .*) \. +# ([0-9.]+) MB on linux/amd64$`).FindSubmatch(manual)
	if said == nil {
		t.Fatal("docs/operations.md does not say how mlstunnel is installed, or how large it is")
	}
	directory := t.TempDir()
	install := exec.CommandContext(t.Context(), "sh", "-c", "go "+string(said[1])+" .") // here is cmd/mlstunnel
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+directory)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", install.Args, err, out)
	}
	path := filepath.Join(directory, "mlstunnel")
	binary, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	libraries, err := binary.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("it needs the libraries %q, %v", libraries, err)
	}
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
	if out, err := exec.CommandContext(t.Context(), path, "keygen", filepath.Join(directory, "key")).CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "SHA256:") {
		t.Errorf("it does not run: %q, %v", out, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stated, err := strconv.ParseFloat(string(said[2]), 64)
	if err != nil {
		t.Fatal(err)
	}
	if megabytes := float64(info.Size()) / 1e6; runtime.GOARCH == "amd64" && (megabytes < 0.9*stated || megabytes > 1.1*stated) {
		t.Errorf("it has %.1f MB, and docs/operations.md says %.1f", megabytes, stated)
	}
}
