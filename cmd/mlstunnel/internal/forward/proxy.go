package forward

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
)

// The PROXY protocol, version 2: https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt
//
//	balancer --header--> [server] --header, with who the peer is--> service

const (
	// typeFingerprint and typeName are the types of what says who the peer is, among those that the protocol leaves to
	// applications: the fingerprint of its key, and the name in its certificate, if it has one.
	typeFingerprint proxyproto.PP2Type = 0xE0
	typeName        proxyproto.PP2Type = 0xE1
	// maxPeerName bounds that name, in octets, so that services take the header.
	maxPeerName = 1024
	// maxHeader bounds the part of a balancer's header that it says the length of, in octets.
	maxHeader = 2048
	// headerTimeout is how long a balancer may take for the header.
	headerTimeout = 5 * time.Second
)

var (
	errNoHeader      = errors.New("forward: a balancer's connection does not begin with a header of the PROXY protocol, version 2")
	errHeaderTooLong = errors.New("forward: header of the PROXY protocol is too long")
	errNotTCP        = errors.New("forward: header of the PROXY protocol is not about a TCP connection")
	errNameTooLong   = errors.New("forward: peer's name is too long for a header of the PROXY protocol")
)

// ends are where a connection comes from and where it was made to.
type ends struct{ source, destination *net.TCPAddr }

// endsOf returns those of a connection over TCP or QUIC.
func endsOf(c interface {
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}) ends {
	return ends{tcpAddr(c.RemoteAddr()), tcpAddr(c.LocalAddr())}
}

// tcpAddr is an address of UDP or TCP as one of TCP: a service behind QUIC sees connections all the same.
func tcpAddr(a net.Addr) *net.TCPAddr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return &net.TCPAddr{IP: a.IP, Port: a.Port, Zone: a.Zone}
	case *net.TCPAddr:
		return a
	}
	return &net.TCPAddr{}
}

// reachService connects to the service and tells it who comes, if it is to know. An error is in the log.
func (f *Forward) reachService(e ends, link *links.Link, log *slog.Logger) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(f.living, f.config.Load().ConnectTimeout)
	defer cancel()
	service, err := dial(ctx, f.config.Load().Forward)
	if err != nil {
		f.stats.DialsFailed.Add(1)
		log.Error("the service cannot be reached", "error", err)
		return nil, err
	}
	if err := f.introduce(service, e, link); err != nil {
		log.Error("telling the service about the peer", "error", err)
		reset(service)
		return nil, err
	}
	return service, nil
}

// introduced returns the ends of an accepted connection: as the header says if it comes from a balancer, which
// then has been read.
func (f *Forward) introduced(c net.Conn) (ends, error) {
	e := endsOf(c)
	if !f.config.Load().ProxyProtocol.IsFrom(e.source.AddrPort().Addr()) {
		return e, nil
	}
	defer context.AfterFunc(f.living, func() { c.Close() })()
	if err := c.SetReadDeadline(time.Now().Add(headerTimeout)); err != nil {
		return e, err
	}
	told, err := readHeader(c)
	if err != nil {
		return e, err
	}
	if told != nil {
		e = *told
	}
	return e, c.SetReadDeadline(time.Time{})
}

// readHeader reads a header, and not an octet more. It returns nil if the connection is the balancer's own.
func readHeader(r io.Reader) (*ends, error) {
	header := make([]byte, 16)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoHeader, err)
	}
	if !bytes.HasPrefix(header, proxyproto.SIGV2) {
		return nil, errNoHeader
	}
	length := int(binary.BigEndian.Uint16(header[14:]))
	if length > maxHeader {
		return nil, fmt.Errorf("%w: want at most %d octets, got %d", errHeaderTooLong, maxHeader, length)
	}
	header = append(header, make([]byte, length)...)
	if _, err := io.ReadFull(r, header[16:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoHeader, err)
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(header)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoHeader, err)
	}
	if h.Command.IsLocal() {
		return nil, nil
	}
	source, destination, ok := h.TCPAddrs()
	if !ok {
		return nil, errNotTCP
	}
	return &ends{source, destination}, nil
}

// introduce tells the service where a connection comes from and who the peer is, if it wants to know.
func (f *Forward) introduce(service net.Conn, e ends, link *links.Link) error {
	c := f.config.Load()
	if c.ProxyProtocol == nil || !c.ProxyProtocol.Send {
		return nil
	}
	header, err := formatHeader(e, link.Peer(), link.PeerName())
	if err != nil {
		return err
	}
	if err := service.SetWriteDeadline(time.Now().Add(c.ConnectTimeout)); err != nil {
		return err
	}
	if _, err := service.Write(header); err != nil {
		return &pipeError{"writing to the plain end", err}
	}
	return service.SetWriteDeadline(time.Time{})
}

// formatHeader makes a header. name is empty if nobody attests one.
func formatHeader(e ends, fingerprint, name string) ([]byte, error) {
	if len(name) > maxPeerName {
		return nil, fmt.Errorf("%w: want at most %d octets, got %d", errNameTooLong, maxPeerName, len(name))
	}
	destination := *e.destination
	if e.source.IP.To4() != nil && destination.IP.IsUnspecified() {
		destination.IP = net.IPv4zero // a socket for both families does not make the source one of IPv6
	}
	h := proxyproto.HeaderProxyFromAddrs(2, e.source, &destination)
	tlvs := []proxyproto.TLV{{Type: typeFingerprint, Value: []byte(fingerprint)}}
	if name != "" {
		tlvs = append(tlvs, proxyproto.TLV{Type: typeName, Value: []byte(name)})
	}
	if err := h.SetTLVs(tlvs); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	header, err := h.Format()
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	return header, nil
}
