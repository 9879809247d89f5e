package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/mendlink/mendlink/interop/internal/mlsclient"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestRunServesUntilItIsTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout, printed := io.Pipe()
	status := make(chan int)
	go func() {
		defer printed.Close()
		status <- run(ctx, []string{"-addr", "127.0.0.1:0", "-padding", "16"}, printed, printed)
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening at ")
	if !ok {
		t.Fatalf("it prints %q, not the address", line)
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewMLSClientClient(conn)
	name, err := client.Name(ctx, new(pb.NameRequest))
	if err != nil || name.Name == "" {
		t.Errorf("the name is %q (%v)", name.GetName(), err)
	}
	suites, err := client.SupportedCiphersuites(ctx, new(pb.SupportedCiphersuitesRequest))
	if want := len(ciphersuite.Default().IDs()); err != nil || len(suites.Ciphersuites) != want {
		t.Errorf("%d cipher suites are announced, want %d (%v)", len(suites.GetCiphersuites()), want, err)
	}
	stop()
	if got := <-status; got != 0 {
		t.Errorf("the exit status is %d, want 0", got)
	}
}

func TestRunRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"-help"}, 0},
		{[]string{"-unknown"}, 2},
		{[]string{"-padding", "-1"}, 2},
		{[]string{"argument"}, 2},
		{[]string{"-addr", "nowhere"}, 1},
		{[]string{"-addr", taken.Addr().String()}, 1},
	} {
		var stderr bytes.Buffer
		if got := run(t.Context(), c.args, io.Discard, &stderr); got != c.status {
			t.Errorf("%q: the exit status is %d, want %d", c.args, got, c.status)
		}
		if stderr.Len() == 0 {
			t.Errorf("%q: nothing is said", c.args)
		}
	}
}
