package main

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel/record"
)

// Everything can be measured; what comes out is not tested.
func TestRun(t *testing.T) {
	var out strings.Builder
	o := quick
	o.only = regexp.MustCompile("")
	if err := run(&out, &o); err != nil {
		t.Fatal(err)
	}
	for _, c := range comparisons() {
		if !strings.Contains(out.String(), c.name) {
			t.Errorf("no figure of %s", c.name)
		}
	}
	for name, want := range map[string]int{"keyed by the group": 4, "mutual certificates": 2, "throw-away certificate": 2, "records in a stream": 2, "update alone": 2} {
		if n := strings.Count(out.String(), name); n != want {
			t.Errorf("%d figures of %q, want %d", n, name, want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestOnlySome(t *testing.T) {
	var out strings.Builder
	o := quick
	o.only = regexp.MustCompile("^set-up, X25519")
	if err := run(&out, &o); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "bulk") || !strings.Contains(s, "mutual certificates") {
		t.Error(s)
	}
}

// The records are protected, and what is written comes out, in whatever pieces it arrives.
func TestRecordsProtect(t *testing.T) {
	var wire bytes.Buffer
	p, err := records(pipe{
		write: func(b []byte) error { _, err := wire.Write(b); return err },
		read:  func(b []byte) (int, error) { return wire.Read(b[:min(len(b), 1000)]) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("mendlink"), 5*record.MaxPlaintext)
	if err := p.write(want); err != nil {
		t.Fatal(err)
	}
	if records := len(want) / record.MaxPlaintext; wire.Len() != len(want)+records*record.Overhead {
		t.Errorf("%d octets on the wire", wire.Len())
	}
	if bytes.Contains(wire.Bytes(), want[:8]) {
		t.Error("plaintext on the wire")
	}
	var got []byte
	buffer := make([]byte, readSize)
	for {
		n, err := p.read(buffer)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, buffer[:n]...)
	}
	if !bytes.Equal(got, want) {
		t.Error("something else came out")
	}
}
