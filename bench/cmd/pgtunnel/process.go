package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A process is a server that runs until end is called.
type process struct {
	cmd      *exec.Cmd
	politely os.Signal
	said     tail
	ended    chan struct{}
	err      error
}

// start starts a server that a signal asks to end.
func start(cmd *exec.Cmd, politely os.Signal) (*process, error) {
	p := &process{cmd: cmd, politely: politely, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.said, &p.said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// end ends the process, and returns an error if it had ended by itself.
func (p *process) end() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %v: %s", p.cmd.Path, p.err, p.said.String())
	default:
	}
	p.cmd.Process.Signal(p.politely)
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
	return nil
}

// cpu returns the processor time that the process has taken. See proc(5).
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const utime, stime, ticks = 11, 12, 100
	var sum int64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}

// tail keeps the end of what is written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if n := len(t.b) - 4096; n > 0 {
		t.b = t.b[n:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// freePort returns a port that nobody listens on, below those that systems give to outgoing connections.
func freePort() string {
	const low, high = 15000, 32000
	for range 1000 {
		port := strconv.Itoa(low + rand.IntN(high-low))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		l.Close()
		return port
	}
	panic("no port is free")
}

func freeAddress() string { return "127.0.0.1:" + freePort() }
