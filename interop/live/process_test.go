package live

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// callTimeout bounds each request, by far.
const callTimeout = time.Minute

// A process is another implementation, as a program that reads requests from
// its standard input and writes the answers to its standard output, in lines
// of JSON. It holds any number of members.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	mu   sync.Mutex
	dead error
}

func startProcess(name string, command ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(command[0], command[1:]...)}
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
	return p, p.cmd.Start()
}

// Close ends the program, which exits at the end of its input: so it does too if
// this process ends without a Close.
func (p *process) Close() error {
	killer := time.AfterFunc(10*time.Second, func() { p.cmd.Process.Kill() })
	defer killer.Stop()
	return errors.Join(p.in.Close(), p.cmd.Wait())
}

// call sends a request and decodes the result.
func (p *process) call(request map[string]any, result any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead != nil {
		return p.dead
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	killer := time.AfterFunc(callTimeout, func() { p.cmd.Process.Kill() })
	defer killer.Stop()
	var answer []byte
	if _, err = p.in.Write(append(line, '\n')); err == nil {
		answer, err = p.out.ReadBytes('\n')
	}
	if err != nil {
		p.dead = fmt.Errorf("%s ended: %w", p.name, err)
		return p.dead
	}
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  string          `json:"error"`
		Stack  string          `json:"stack"`
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return fmt.Errorf("%s answered %q: %w", p.name, answer, err)
	}
	if reply.Error != "" {
		return &peerError{p.name, reply.Error, reply.Stack}
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(reply.Result, result)
}

// A peerError is an error that the other implementation reports.
type peerError struct{ name, message, stack string }

func (e *peerError) Error() string {
	if e.stack != "" {
		return e.name + ": " + e.stack
	}
	return e.name + ": " + e.message
}

func (p *process) Name() string { return p.name }

// Suites returns the suites that the implementation has.
func (p *process) Suites() ([]ciphersuite.ID, error) {
	var r struct{ Suites []ciphersuite.ID }
	err := p.call(map[string]any{"op": "suites"}, &r)
	return r.Suites, err
}

func (p *process) NewMember(suite ciphersuite.ID, identity string) (member, error) {
	return p.newMember(map[string]any{"suite": suite, "identity": []byte(identity)})
}

func (p *process) newMember(options map[string]any) (member, error) {
	request := map[string]any{"op": "member", "padding": 64}
	for k, v := range options {
		request[k] = v
	}
	var r struct{ Member int }
	if err := p.call(request, &r); err != nil {
		return nil, err
	}
	return &peerMember{process: p, number: r.Member}, nil
}

// A peerMember is a member in a process.
type peerMember struct {
	process *process
	number  int
	context []extension // of the group that it creates
}

func (m *peerMember) call(op string, arguments map[string]any, result any) error {
	request := map[string]any{"op": op, "member": m.number}
	for k, v := range arguments {
		request[k] = v
	}
	return m.process.call(request, result)
}

// message makes a call whose result is a message.
func (m *peerMember) message(op string, arguments map[string]any) ([]byte, error) {
	var r struct{ Message []byte }
	err := m.call(op, arguments, &r)
	return r.Message, err
}

func (m *peerMember) KeyPackage() ([]byte, error) { return m.message("key_package", nil) }

func (m *peerMember) AddPSK(id, secret []byte) error {
	return m.call("psk", map[string]any{"id": id, "secret": secret}, nil)
}

func (m *peerMember) Create(groupID []byte) error {
	return m.call("create", map[string]any{"group_id": groupID, "context_extensions": append([]extension{}, m.context...)}, nil)
}

func (m *peerMember) Join(welcome, tree []byte) error {
	return m.call("join", map[string]any{"message": welcome, "tree": tree}, nil)
}

func (m *peerMember) JoinSuccessor(welcome []byte) error {
	return m.call("join", map[string]any{"message": welcome, "succeeds": true}, nil)
}

func (m *peerMember) Branch(groupID []byte, keyPackages [][]byte) ([]byte, error) {
	return m.message("branch", map[string]any{"group_id": groupID, "key_packages": keyPackages})
}

func (m *peerMember) Reinitialize(keyPackages [][]byte) ([]byte, error) {
	return m.message("reinitialize", map[string]any{"key_packages": keyPackages})
}

func (m *peerMember) Propose(p proposal, public bool) ([]byte, error) {
	return m.message("propose", map[string]any{"proposal": p, "public": public})
}

func (m *peerMember) Commit(o commit) (*committed, error) {
	r := new(committed)
	return r, m.call("commit", map[string]any{
		"proposals": append([]proposal{}, o.Proposals...), "public": o.Public, "without_tree": o.WithoutTree,
	}, r)
}

func (m *peerMember) Merge() error { return m.call("merge", nil, nil) }

func (m *peerMember) Protect(data, authenticatedData []byte) ([]byte, error) {
	return m.message("protect", map[string]any{"data": data, "authenticated_data": authenticatedData})
}

func (m *peerMember) Process(message []byte) (*received, error) {
	r := new(received)
	return r, m.call("process", map[string]any{"message": message}, r)
}

func (m *peerMember) GroupInfo(withoutTree bool) (*groupInfo, error) {
	r := new(groupInfo)
	err := m.call("group_info", map[string]any{"without_tree": withoutTree}, r)
	if !withoutTree {
		r.Tree = nil
	}
	return r, err
}

func (m *peerMember) ExternalJoin(info *groupInfo, resync bool) ([]byte, error) {
	return m.message("external_join", map[string]any{"message": info.Message, "tree": info.Tree, "resync": resync})
}

func (m *peerMember) ProposeJoin(info *groupInfo) ([]byte, error) {
	return m.message("propose_join", map[string]any{"message": info.Message, "tree": info.Tree})
}

func (m *peerMember) ExternalSender() ([]byte, error) {
	var r struct{ Sender []byte }
	err := m.call("external_sender", nil, &r)
	return r.Sender, err
}

func (m *peerMember) ProposeFromOutside(info *groupInfo, p proposal) ([]byte, error) {
	return m.message("propose_from_outside", map[string]any{"message": info.Message, "tree": info.Tree, "proposal": p})
}

func (m *peerMember) Status() (*status, error) {
	r := new(status)
	return r, m.call("status", map[string]any{
		"label": exportLabel, "context": exportContext, "length": exportLength,
	}, r)
}

func (m *peerMember) Close() error { return m.call("close", nil, nil) }
