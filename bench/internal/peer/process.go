// Package peer runs other implementations of MLS, as programs that execute the
// operations of package ours and say what they took. ../../README.md describes the
// requests.
package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Process is a peer that runs.
type Process struct {
	*Peer
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	suites []ciphersuite.ID // by the peer's numbers
}

func start(peer *Peer, command ...string) (*Process, error) {
	p := &Process{Peer: peer, cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.Name, err)
	}
	var r struct {
		Suites []ciphersuite.ID `json:"suites"`
	}
	if err := p.call(request{Op: "suites"}, &r); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.suites = r.Suites
	return p, nil
}

// Close ends the program, which exits at the end of its input.
func (p *Process) Close() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}

// A request asks for one of the following.
//
//	suites   which cipher suites there are
//	group    a fresh group, which takes the place of the one before
//	measure  what executions of an operation take
type request struct {
	Op        string         `json:"op"`
	Suite     ciphersuite.ID `json:"suite,omitempty"`
	Members   int            `json:"members,omitempty"`
	Operation string         `json:"operation,omitempty"`
	Times     int            `json:"times,omitempty"`
}

// call sends a request and decodes the result.
func (p *Process) call(r request, result any) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	answer, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return fmt.Errorf("%s answered %q: %w", p.Name, answer, err)
	}
	if reply.Error != "" {
		return fmt.Errorf("%s: %s", p.Name, reply.Error)
	}
	return json.Unmarshal(reply.Result, result)
}

// Has reports whether the implementation has a cipher suite.
func (p *Process) Has(suite ciphersuite.ID) bool { return slices.Contains(p.suites, p.number(suite)) }

// number returns the peer's number of a suite.
func (p *Process) number(suite ciphersuite.ID) ciphersuite.ID {
	if n, ok := p.Numbers[suite]; ok {
		return n
	}
	return suite
}

// NewGroup makes a fresh group, in which operations are executed from now on.
func (p *Process) NewGroup(suite ciphersuite.ID, members int) error {
	return p.call(request{Op: "group", Suite: p.number(suite), Members: members}, new(struct{}))
}

// Operation returns an operation in the group.
func (p *Process) Operation(name string) measure.Subject { return operation{p, name} }

type operation struct {
	process *Process
	name    string
}

func (o operation) Measure(n int) (measure.Cost, error) {
	var total struct {
		CPU  time.Duration `json:"cpu"` // nanoseconds, as Wall
		Wall time.Duration `json:"wall"`
	}
	if err := o.process.call(request{Op: "measure", Operation: o.name, Times: n}, &total); err != nil {
		return measure.Cost{}, err
	}
	return measure.Cost{CPU: total.CPU / time.Duration(n), Wall: total.Wall / time.Duration(n)}, nil
}
