package forward

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// rawHeader is a header of the PROXY protocol as it is on the wire.
func rawHeader(command, family byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family), uint16(len(body))), body...)
}

// ipv4 is the addresses 192.0.2.7:258 and 198.51.100.1:7000.
var ipv4 = []byte{192, 0, 2, 7, 198, 51, 100, 1, 1, 2, 27, 88}

func TestHeadersOfBalancersAreReadToTheOctet(t *testing.T) {
	ipv6 := make([]byte, 36)
	ipv6[15], ipv6[31], ipv6[33], ipv6[35] = 1, 2, 3, 4
	for _, test := range []struct {
		name   string
		header []byte
		want   string // source and destination; empty if it is the balancer's own
		err    error
	}{
		{"IPv4", rawHeader(0x21, 0x11, ipv4...), "192.0.2.7:258 198.51.100.1:7000", nil},
		{"IPv6", rawHeader(0x21, 0x21, ipv6...), "[::1]:3 [::2]:4", nil},
		{"with something that it says besides", rawHeader(0x21, 0x11, append(ipv4[:12:12], 0x05, 0, 1, 'x')...), "192.0.2.7:258 198.51.100.1:7000", nil},
		{"the longest", rawHeader(0x21, 0x11, append(ipv4[:12:12], make([]byte, maxHeader-12)...)...), "192.0.2.7:258 198.51.100.1:7000", nil},
		{"a check of health", rawHeader(0x20, 0x00), "", nil},
		{"a check of health with addresses", rawHeader(0x20, 0x11, ipv4...), "", nil},
		{"too long", rawHeader(0x21, 0x11, append(ipv4[:12:12], make([]byte, maxHeader-11)...)...), "", errHeaderTooLong},
		{"no addresses", rawHeader(0x21, 0x11), "", errNoHeader},
		{"half of the addresses", rawHeader(0x21, 0x11, ipv4[:6]...), "", errNoHeader},
		{"no family", rawHeader(0x21, 0x00, ipv4...), "", errNoHeader},
		{"UDP", rawHeader(0x21, 0x12, ipv4...), "", errNotTCP},
		{"a Unix socket", rawHeader(0x21, 0x31, make([]byte, 216)...), "", errNotTCP},
		{"another family", rawHeader(0x21, 0x41, ipv4...), "", errNoHeader},
		{"another command", rawHeader(0x22, 0x11, ipv4...), "", errNoHeader},
		{"version 1", []byte("PROXY TCP4 192.0.2.7 198.51.100.1 258 7000\r\n"), "", errNoHeader},
		{"version 3", rawHeader(0x31, 0x11, ipv4...), "", errNoHeader},
		{"something else", bytes.Repeat([]byte("x"), 100), "", errNoHeader},
	} {
		const next = "what comes next"
		r := bytes.NewReader(append(bytes.Clone(test.header), next...))
		e, err := readHeader(r)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.err)
		}
		if test.err != nil {
			continue
		}
		got := ""
		if e != nil {
			got = e.source.String() + " " + e.destination.String()
		}
		if rest, err := io.ReadAll(r); got != test.want || string(rest) != next || err != nil {
			t.Errorf("%s: got %q, and then %q, %v; want %q", test.name, got, rest, err, test.want)
		}
		for n := range test.header {
			if _, err := readHeader(bytes.NewReader(test.header[:n])); !errors.Is(err, errNoHeader) {
				t.Errorf("%s: got %v for the first %d octets", test.name, err, n)
			}
		}
	}
}

func TestHeadersForServicesSayWhereFromAndWho(t *testing.T) {
	address := func(text string) *net.TCPAddr {
		a, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, test := range []struct{ source, destination, name, family, want string }{
		{"192.0.2.7:258", "198.51.100.1:7000", "", "\x11", "192.0.2.7:258 198.51.100.1:7000"},
		{"192.0.2.7:258", "198.51.100.1:7000", "spiffe://example.org/web", "\x11", "192.0.2.7:258 198.51.100.1:7000"},
		{"192.0.2.7:258", "[::]:7000", "db.example", "\x11", "192.0.2.7:258 0.0.0.0:7000"},
		{"[2001:db8::7]:258", "[::]:7000", "", "\x21", "[2001:db8::7]:258 [::]:7000"},
		{"[2001:db8::7]:258", "198.51.100.1:7000", "", "\x21", "[2001:db8::7]:258 198.51.100.1:7000"},
	} {
		text, err := formatHeader(ends{address(test.source), address(test.destination)}, "SHA256:print", test.name)
		if err != nil {
			t.Fatal(err)
		}
		e, err := readHeader(bytes.NewReader(text))
		if err != nil || text[12] != 0x21 || string(text[13]) != test.family {
			t.Fatalf("%v: got %q, %v", test, text, err)
		}
		if got := e.source.String() + " " + e.destination.String(); got != test.want {
			t.Errorf("%v: got %s", test, got)
		}
		want := "\xe0\x00\x0cSHA256:print"
		if test.name != "" {
			want += "\xe1\x00" + string(rune(len(test.name))) + test.name
		}
		if got := string(text[len(text)-len(want):]); got != want {
			t.Errorf("%v: ends with %q, want %q", test, got, want)
		}
	}
	e := ends{address("192.0.2.7:258"), address("198.51.100.1:7000")}
	if _, err := formatHeader(e, "SHA256:print", strings.Repeat("x", maxPeerName)); err != nil {
		t.Error(err)
	}
	if _, err := formatHeader(e, "SHA256:print", strings.Repeat("x", maxPeerName+1)); !errors.Is(err, errNameTooLong) {
		t.Errorf("got %v for a name that is too long", err)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(rawHeader(0x21, 0x11, ipv4...))
	f.Add(rawHeader(0x20, 0x00))
	f.Add(rawHeader(0x21, 0x21, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		e, err := readHeader(r)
		if err != nil {
			return
		}
		if want := 16 + int(binary.BigEndian.Uint16(text[14:])); len(text)-r.Len() != want || !bytes.HasPrefix(text, proxyproto.SIGV2) {
			t.Errorf("read %d octets of a header of %d", len(text)-r.Len(), want)
		}
		if e != nil && (e.source == nil || e.destination == nil || len(e.source.IP) == 0) {
			t.Errorf("got %+v", e)
		}
	})
}
