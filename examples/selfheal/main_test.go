package main

import (
	"context"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// TestRun runs the whole program, for as long as 64 MiB each way take.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if err := run(ctx, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 2*time.Second, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
}

// TestVerdictsCanFail shows that the program would notice a thief that reads on.
func TestVerdictsCanFail(t *testing.T) {
	silent := &thief{ears: [2]*ear{{}, {}}}
	if silent.mustBeDeaf() == nil {
		t.Error("deaf, although no record has passed")
	}
	if silent.mustHear("text") == nil {
		t.Error("heard what was not said")
	}
	deaf := &thief{ears: [2]*ear{{lost: 1}, {lost: 1}}}
	if err := deaf.mustBeDeaf(); err != nil {
		t.Error(err)
	}
	deaf.ears[fromResponder].heard.WriteString("text")
	if deaf.mustBeDeaf() == nil {
		t.Error("deaf, although something was heard")
	}
}

func TestParseSuite(t *testing.T) {
	for name, want := range map[string]ciphersuite.ID{
		"1":      ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
		"0xF001": ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
		"mls_256_dhkemp521_aes256gcm_sha512_p521": ciphersuite.MLS_256_DHKEMP521_AES256GCM_SHA512_P521,
	} {
		if got, err := parseSuite(name); err != nil || got != want {
			t.Errorf("parseSuite(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "8", "70000", "MLS"} {
		if got, err := parseSuite(name); err == nil {
			t.Errorf("parseSuite(%q) = %v, want an error", name, got)
		}
	}
}
