package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A way leads to the database.
type way struct {
	name      string
	address   string // to connect to
	processes []*process
	admins    []string // of mlstunnel's ends: the client's first
}

func (w *way) close() (err error) {
	for _, p := range w.processes {
		err = errors.Join(err, p.end())
	}
	return err
}

// cpu returns the processor time that the tunnel has taken.
func (w *way) cpu() (sum time.Duration, err error) {
	for _, p := range w.processes {
		t, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// ways opens all ways to the database. The first is the direct one.
func (b *bed) ways(ctx context.Context) (all []*way, err error) {
	all = []*way{{name: "direct", address: b.database.host + ":" + b.database.port}}
	defer func() {
		if err != nil {
			for _, w := range all {
				err = errors.Join(err, w.close())
			}
		}
	}()
	through, err := b.throughStunnel(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, through)
	for _, transport := range []string{"tcp", "quic"} {
		server := freeAddress()
		through, err := b.throughMLSTunnel(ctx, transport, server, server)
		if err != nil {
			return nil, err
		}
		all = append(all, through)
	}
	return all, nil
}

// keepAlive is a third of the time after which a link over QUIC that hears nothing is given up.
const keepAlive = time.Second

// throughMLSTunnel starts both ends of mlstunnel. The client dials the address front, which leads to that of the server.
func (b *bed) throughMLSTunnel(ctx context.Context, transport, server, front string) (*way, error) {
	w := &way{name: "mlstunnel over " + transport, address: freeAddress(), admins: []string{freeAddress(), freeAddress()}}
	ends := []struct{ role, listen, forward, peer string }{
		{"client", w.address, front, "server"},
		{"server", server, b.database.host + ":" + b.database.port, "client"},
	}
	for i, end := range ends {
		text := fmt.Sprintf("admin: %s\ndrain: 1s\nlog: {level: error}\nidentity: {key: %s.key}\npeers: {fingerprints: [%q]}\nrekey: {every: 1s}\nforwards:\n  - {name: db, role: %s, transport: %s, listen: %q, forward: %q, keep_alive: %v}\n",
			w.admins[i], end.role, b.prints[end.peer], end.role, transport, end.listen, end.forward, keepAlive)
		file := b.file(end.role + "-" + transport + ".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, errors.Join(err, w.close())
		}
		p, err := start(exec.Command(b.mlstunnel, "run", "--config", file), syscall.SIGTERM)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.processes = append(w.processes, p)
	}
	if err := w.awaitDatabase(ctx, b.database); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *way) awaitDatabase(ctx context.Context, d *database) error {
	err := await(ctx, func() error { return d.commandTo(ctx, w.address, "psql", "-c", "select 1").Run() })
	if err != nil {
		said := ""
		for _, p := range w.processes {
			said += p.said.String()
		}
		return errors.Join(fmt.Errorf("%s does not lead to the database: %w: %s", w.name, err, said), w.close())
	}
	return nil
}

// tunnelStatus is what mlstunnel's ends say of themselves, as far as it is of interest here.
type tunnelStatus struct {
	Forwards []struct {
		HandshakesFull    int `json:"handshakes_full"`
		HandshakesResumed int `json:"handshakes_resumed"`
		UpdatesOwn        int `json:"updates_own"`
	} `json:"forwards"`
}

// status returns the counts of both ends, which are added up; but a link is counted once.
func (w *way) status(ctx context.Context, b *bed) (full, resumed, updates int, err error) {
	for i, admin := range w.admins {
		out, err := exec.CommandContext(ctx, b.mlstunnel, "status", "--json", "--admin", admin).Output()
		if err != nil {
			return 0, 0, 0, fmt.Errorf("mlstunnel status: %w", err)
		}
		var s tunnelStatus
		if err := json.Unmarshal(out, &s); err != nil {
			return 0, 0, 0, err
		}
		for _, f := range s.Forwards {
			updates += f.UpdatesOwn
			if i == 0 {
				full, resumed = full+f.HandshakesFull, resumed+f.HandshakesResumed
			}
		}
	}
	return full, resumed, updates, nil
}

// throughStunnel starts both ends of stunnel, each with a certificate that the other one expects.
func (b *bed) throughStunnel(ctx context.Context) (*way, error) {
	program, err := exec.LookPath("stunnel")
	if err != nil {
		return nil, fmt.Errorf("stunnel is needed: %w", err)
	}
	for _, end := range []string{"server", "client"} {
		if err := writeCertificate(b.file(end + ".pem")); err != nil {
			return nil, err
		}
	}
	w := &way{name: "stunnel", address: freeAddress()}
	middle := freeAddress()
	for _, end := range []struct{ role, peer, client, accept, connect string }{
		{"server", "client", "no", middle, b.database.host + ":" + b.database.port},
		{"client", "server", "yes", w.address, middle},
	} {
		text := fmt.Sprintf("foreground = yes\npid =\ndebug = err\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n[db]\nclient = %s\naccept = %s\nconnect = %s\ncert = %s\nCAfile = %s\nverifyPeer = yes\nsslVersionMin = TLSv1.3\nciphersuites = TLS_AES_128_GCM_SHA256\n",
			end.client, end.accept, end.connect, b.file(end.role+".pem"), b.file(end.peer+".pem"))
		file := b.file(end.role + ".stunnel")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, errors.Join(err, w.close())
		}
		p, err := start(exec.Command(program, file), syscall.SIGTERM)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.processes = append(w.processes, p)
	}
	if err := w.awaitDatabase(ctx, b.database); err != nil {
		return nil, err
	}
	return w, nil
}

// writeCertificate writes a new key and its certificate, which nobody else has signed.
func writeCertificate(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	return os.WriteFile(file, text.Bytes(), 0o600)
}
