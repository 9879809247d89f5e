package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// parseNetwork reads an address, which stands for itself alone, or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("wants an IP address or a network such as 10.0.0.0/8, got %q", text)
		}
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("wants an IP address or a network such as 10.0.0.0/8, got %q", text)
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("wants a network, which is %v, or an address without a length, got %q", network.Masked(), text)
	case network.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("wants a network of IPv4 as such, got %q", text)
	}
	return network, nil
}

// IsFrom reports whether an address is that of a balancer. p may be nil.
func (p *ProxyProtocol) IsFrom(address netip.Addr) bool {
	return p != nil && slices.ContainsFunc(p.From, func(text string) bool {
		network, err := parseNetwork(text)
		return err == nil && network.Contains(address.Unmap().WithZone("")) // it was checked
	})
}
