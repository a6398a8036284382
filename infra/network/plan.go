package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A network is cut into 16 equal blocks: the first eight for public subnets, the others for private ones. A zone keeps
// its block for ever, since a subnet cannot be renumbered.
const (
	blockBits    = 4
	privateBlock = 8
)

// CheckCIDR refuses ranges that cannot be cut: a /16 is the largest VPC, and a block of a /22 has 59 addresses.
func CheckCIDR(p netip.Prefix) error {
	switch {
	case !p.Addr().Is4() || !p.Addr().IsPrivate():
		return fmt.Errorf("is not within 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16")
	case p != p.Masked():
		return fmt.Errorf("has bits after its prefix; the range is %s", p.Masked())
	case p.Bits() < 16 || p.Bits() > 22:
		return fmt.Errorf("is a /%d, it must be a /16 to /22", p.Bits())
	}
	return nil
}

// block is the n-th of the 16 parts of a network.
func block(network netip.Prefix, n int) netip.Prefix {
	bits := network.Bits() + blockBits
	at := network.Addr().As4()
	binary.BigEndian.PutUint32(at[:], binary.BigEndian.Uint32(at[:])+uint32(n)<<(32-bits))
	return netip.PrefixFrom(netip.AddrFrom4(at), bits)
}
