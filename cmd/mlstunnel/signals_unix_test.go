//go:build unix

package main

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// However many reloads are asked for while one goes on, an end is not forgotten because of them.
func TestTERMIsNotLostAmongHUPs(t *testing.T) {
	p := startPair(t)
	text, err := os.ReadFile(p.serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.serverConfig); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(p.serverConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	p.server.signal(syscall.SIGHUP)
	slow, err := os.OpenFile(p.serverConfig, os.O_WRONLY, 0) // returns when the reload reads
	if err != nil {
		t.Fatal(err)
	}
	testbed.Write(t, p.serverConfig+".next", text)
	if err := os.Rename(p.serverConfig+".next", p.serverConfig); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		p.server.signal(syscall.SIGHUP)
		time.Sleep(time.Millisecond) // the system makes one of those that come together
	}
	p.server.signal(syscall.SIGTERM)
	time.Sleep(10 * time.Millisecond)
	if _, err := slow.Write(text); err != nil {
		t.Fatal(err)
	}
	slow.Close()
	defer time.AfterFunc(testbed.HangBound, func() { p.server.cmd.Process.Kill() }).Stop()
	if err := p.server.ended(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}
